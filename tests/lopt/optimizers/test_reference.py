"""A float64 reference written from the equations, (20)-(22) and section 5.1, one loop per decay,
head and hidden unit, agrees on random shapes and at scales from 1e-12 to 1e6.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt
from tests.xla import SHIPPED

TIMES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000)
STEPS = 4
ERROR = 2e-4
DECAYS = {"momentum": (0.9, 0.99, 0.999), "rms": (0.999,), "adafactor": (0.9, 0.99, 0.999)}


def other_means(square, axis, decay, old):
    """The moving average of the mean over one axis, that axis kept."""
    return decay * old + (1 - decay) * (square.mean(axis=axis, keepdims=True) + 1e-30)


class Reference:
    """One tensor of one optimizer, in float64."""

    def __init__(self, theta, config, shape):
        self.theta = jax.tree.map(lambda x: np.asarray(x, np.float64), theta)
        self.config, self.t = config, 0
        self.decays = {}
        for kind, initial in DECAYS.items():
            offset = getattr(self.theta, f"{kind}_offsets")
            d = 1 - np.exp(10 * (np.log(1 - np.array(initial)) / 10 + offset))
            self.decays[kind] = d if kind == "momentum" else np.clip(d, 0, 1)
        self.m = [np.zeros(shape) for _ in range(3)]
        self.v = np.zeros(shape)
        self.factored = len(shape) >= 2
        self.row, self.column = [0.0] * 3, [0.0] * 3
        order = np.argsort(shape, kind="stable")
        self.axes = (order[-2], order[-1]) if self.factored else None

    def accumulate(self, g):
        for i, d in enumerate(self.decays["momentum"]):
            self.m[i] = d * self.m[i] + (1 - d) * g
        d = self.decays["rms"][0]
        self.v = d * self.v + (1 - d) * g**2
        for i, d in enumerate(self.decays["adafactor"]):
            if self.factored:
                self.row[i] = other_means(g**2, self.axes[1], d, self.row[i])
                self.column[i] = other_means(g**2, self.axes[0], d, self.column[i])
            else:
                self.row[i] = d * self.row[i] + (1 - d) * (g**2 + 1e-30)
                self.column[i] = self.row[i]

    def scale(self, i, gradient):
        if not self.factored:
            return 1 / np.sqrt(self.row[i] + (1e-9 if gradient else 1e-6))
        mean = self.row[i].mean(axis=self.axes[0], keepdims=True)
        rows = np.maximum(self.row[i] / (mean + 1e-9), 1e-9)
        return 1 / np.sqrt(rows) / np.sqrt(np.maximum(self.column[i], 1e-9))

    def features(self, g, p):
        inverse = 1 / np.sqrt(self.v + 1e-6)
        x = [g, p, *self.m, self.v, *[m * inverse for m in self.m], inverse]
        x += [g * self.scale(i, gradient=True) for i in range(3)]
        x += [*self.row, *self.column]
        x += [1 / np.sqrt(r + 1e-8) for r in self.row] + [
            1 / np.sqrt(c + 1e-8) for c in self.column
        ]
        x += [self.m[i] * self.scale(i, gradient=False) for i in range(3)]
        x = [np.broadcast_to(f, g.shape) for f in x]
        x = [f / np.sqrt(1e-5 + np.mean(f**2)) for f in x]
        return x + [np.full(g.shape, np.tanh(self.t / s - 1)) for s in TIMES]

    def step(self, g, p):
        """The update ``-(f_g + f_b)`` and what its terms are at most, for the tolerance."""
        self.accumulate(g)
        units = np.stack(self.features(g, p), axis=-1)
        self.t += 1
        network = self.theta.network
        for layer, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
            units = (np.maximum(units, 0) if layer else units) @ w + b
        c, v = self.config, np.sqrt(self.v + 1e-6)
        update = np.zeros(g.shape)
        if c.blackbox_term:
            f_b = c.blackbox_step * units[..., 0] * np.exp(c.blackbox_exponent * units[..., 1])
            update = update - (f_b / v if c.precondition else f_b)
        if c.nominal_term is not None:
            m_g = units[..., -1]
            scale = np.exp(self.theta.log_nominal_scale[0])
            direction = sum(self.m) / 3 / v
            update = update - c.nominal_step * scale * np.exp(c.nominal_exponent * m_g) * direction
        if c.normalize_update:
            length = np.sqrt(np.mean(update**2))
            moves = np.any(g) and length > 0
            update = c.normalized_step * update / length if moves else np.zeros(g.shape)
        return update - c.weight_decay * p


CONFIGS = {
    "star": replace(lopt.STAR, blackbox_exponent=0.1, nominal_exponent=0.1),
    "decayed": replace(lopt.STAR, weight_decay=0.01),
    "blackbox": lopt.BLACKBOX,
    "hyperparam": lopt.HYPERPARAM,
    "normalized": replace(lopt.STAR, normalize_update=True, normalized_step=0.3, weight_decay=0.01),
    "normalized blackbox": replace(lopt.BLACKBOX, normalize_update=True),
    "normalized hyperparam": replace(lopt.HYPERPARAM, normalize_update=True),
}
SHAPES = [(), (7,), (5, 3), (3, 5), (1, 6), (4, 4), (2, 3, 3), (3, 1, 2, 5, 2)]


# The normalized STAR has a weight decay, too.
IN_BRIEF = ("star", "blackbox", "hyperparam", "normalized")


@pytest.mark.parametrize(
    "name",
    [
        name if name in IN_BRIEF else pytest.param(name, marks=pytest.mark.thorough)
        for name in CONFIGS
    ],
)
def test_agrees_on_random_shapes_and_scales(name) -> None:
    """Gradients of every scale from 1e-12 to 1e6, one step of zeros among them."""
    config, random = CONFIGS[name], np.random.default_rng(11)
    theta = lopt.init_meta_parameters(jax.random.key(2), config)
    theta = jax.tree.map(lambda x: x + 0.01 * jnp.sin(jnp.arange(x.size)).reshape(x.shape), theta)
    optimizer = lopt.star(theta, config, fused=False)
    update = jax.jit(optimizer.update)
    for scale in 10.0 ** np.arange(-12, 7, 3):
        params = {str(k): random.standard_normal(s).astype("f4") for k, s in enumerate(SHAPES)}
        state = optimizer.init(params)
        references = {k: Reference(theta, config, p.shape) for k, p in params.items()}
        for step in range(STEPS):
            size = 0.0 if step == 2 else scale
            gradients = {
                k: np.asarray(size * random.standard_normal(p.shape), np.float32)
                for k, p in params.items()
            }
            updates, state = update(gradients, state, params)
            for k, reference in references.items():
                expected = reference.step(
                    gradients[k].astype(np.float64), params[k].astype(np.float64)
                )
                error = np.abs(np.asarray(updates[k]) - expected).max()
                assert error <= ERROR * np.abs(expected).max(), (scale, SHAPES[int(k)], step)


@pytest.mark.parametrize(
    "shape",
    [(1024, 520), pytest.param((2**19 + 2**10,), marks=pytest.mark.thorough), (1031, 512)],
)
def test_a_tensor_swept_in_blocks(shape) -> None:
    """Larger than the cache: in blocks where the leading axis has a divisor (1031 is prime)."""
    from lopt.optimizers.parts.sweep import block_count

    assert (block_count(shape) > 1) == (shape[0] != 1031)
    random = np.random.default_rng(3)
    theta = lopt.init_meta_parameters(jax.random.key(2))
    optimizer = lopt.star(theta)
    params = random.standard_normal(shape).astype("f4")
    state, reference = optimizer.init(params), Reference(theta, lopt.STAR, shape)
    lowered = jax.jit(optimizer.update).lower(params, state, params)
    update = lowered.compile(compiler_options=SHIPPED)
    if shape == (1024, 520):  # one array more of the tensor's size would be written and read
        assert update.cost_analysis()["bytes accessed"] < 26.5 * params.nbytes
    for _ in range(2):
        gradient = random.standard_normal(shape).astype("f4")
        updates, state = update(gradient, state, params)
        expected = reference.step(gradient.astype(np.float64), params.astype(np.float64))
        assert np.abs(updates - expected).max() <= ERROR * np.abs(expected).max()
