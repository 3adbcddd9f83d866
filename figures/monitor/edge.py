"""Training at the edge of stability (Cohen et al. 2021, 2022), measured with `lopt.monitor`.

Gradient descent, heavy ball and Adam, with two step sizes each, train a tanh MLP on embedded images
with squared error and full batches.
"""

from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax

from figures.engine.figure import Data, Figure
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREY, ORANGE, plt, use_style
from lopt.keys import random_key
from lopt.monitor import (
    InspectSettings,
    KrylovFactorization,
    arnoldi,
    hessian_operator,
    inspect,
    ritz_values,
    update_map,
)
from lopt.tasks.data.datasets import fashion_mnist_8x8

SETTINGS = InspectSettings(hessian_vectors=24, vectors=16)


@dataclass(frozen=True)
class Run:
    """One training run: an optimizer, its step and its momentum."""

    optimizer: str
    step: float
    steps: int
    momentum: float = 0.9

    @property
    def threshold(self) -> float:
        """The edge of stability: 2/step, 2 (1 + b)/step, 2 (1 + b)/((1 - b) step).

        For Adam it is that of the preconditioned Hessian.
        """
        b = self.momentum
        factor = {"sgd": 2.0, "momentum": 2 * (1 + b), "adam": 2 * (1 + b) / (1 - b)}
        return factor[self.optimizer] / self.step

    def make(self) -> optax.GradientTransformation:
        """Return the optimizer."""
        if self.optimizer == "adam":
            return optax.adam(self.step, b1=self.momentum, eps=1e-7)
        return optax.sgd(self.step, self.momentum if self.optimizer == "momentum" else None)


RUNS = (
    Run("sgd", 0.12, 6000),
    Run("sgd", 0.15, 6000),
    Run("momentum", 0.16, 3000),
    Run("momentum", 0.2, 3000),
    Run("adam", 5e-3, 2000),
    Run("adam", 1e-2, 2000),
)
TITLES = {
    "sgd": "Gradient descent",
    "momentum": "Heavy ball, β = 0.9",
    "adam": "Adam, β₁ = 0.9",
}


def loss(params: Any, batch: Any) -> jax.Array:
    """Half the mean squared distance of a tanh network's output from the one-hot label."""
    inputs, targets = batch
    *hidden, last = params
    for layer in hidden:
        inputs = jnp.tanh(inputs @ layer["w"] + layer["b"])
    return jnp.mean(jnp.sum((inputs @ last["w"] + last["b"] - targets) ** 2, axis=1)) / 2


def problem(images: int, width: int) -> tuple[Any, Any]:
    """Return initial parameters and the full batch; inputs have mean 0 and variance 1."""
    data = fashion_mnist_8x8().train
    inputs = jnp.asarray(data.images[:images], jnp.float32).reshape(images, -1)
    inputs = (inputs - inputs.mean()) / inputs.std()
    targets = jax.nn.one_hot(jnp.asarray(data.labels[:images], jnp.int32), 10)
    sizes = (inputs.shape[1], width, 10)
    keys = jax.random.split(random_key(0), 2)
    params = [
        {"w": jax.random.normal(key, (fan_in, fan_out)) / fan_in**0.5, "b": jnp.zeros(fan_out)}
        for key, fan_in, fan_out in zip(keys, sizes, sizes[1:], strict=False)
    ]
    return params, (inputs, targets)


@jax.jit
def _lanczos(params: Any, batch: Any) -> KrylovFactorization:
    """Lanczos on the Hessian, which suffices for descent without a preconditioner."""
    apply = hessian_operator(loss, params, batch)
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    start = jax.random.normal(random_key(0), flat.shape)
    product = lambda v: jax.flatten_util.ravel_pytree(apply(unravel(v)))[0]  # noqa: E731
    return arnoldi(product, start, SETTINGS.hessian_vectors)


def measure(run: Run, images: int, width: int, every: int) -> dict[str, Any]:
    """Measure loss and sharpness every so many steps; for Adam, the sharpness of P^-1 H."""
    optimizer = run.make()
    params, batch = problem(images, width)
    state = optimizer.init(params)

    value_of = jax.jit(loss)

    @jax.jit
    def advance(params: Any, state: Any, batch: Any) -> Any:
        step = update_map(optimizer, loss, batch)
        return jax.lax.fori_loop(0, every, lambda _, carry: step(*carry), (params, state))

    seen: dict[str, Any] = {"step": [], "loss": [], "sharpness": [], "converged": []}
    for count in range(every, run.steps + 1, every):
        params, state = advance(params, state, batch)
        if run.optimizer == "adam":
            found = inspect(optimizer, loss, params, state, batch, settings=SETTINGS)
            sharpness = found.normalized_sharpness(run.step, run.momentum)
            # Converged means that it is an eigenvalue; the error says whether it is the largest.
            converged = bool(found.product.converged[found.product.values.real.argmax()])
        else:
            values = ritz_values(_lanczos(params, batch), symmetric=True)
            top = int(values.values.argmax())
            sharpness, converged = float(values.values[top]), bool(values.converged[top])
        measured = (count, float(value_of(params, batch)), sharpness, converged)
        for name, value in zip(seen, measured, strict=True):
            seen[name].append(value)
    return seen


def compute(part: str) -> dict[str, Any]:
    """Train and measure one run."""
    run = NAMED[part]
    every = run.steps // CONFIG["measurements"]
    found = measure(run, CONFIG["images"], CONFIG["width"], every)
    return rounded(found, 5) | {
        "threshold": run.threshold,
        "optimizer": run.optimizer,
        "rate": run.step,
    }


def draw(data: Data) -> Any:
    """Draw the converged sharpness over the steps, a panel per optimizer, with dashed edges."""
    use_style()
    figure, panels = plt.subplots(1, 3, figsize=(7.4, 2.5))
    for axes, (name, title) in zip(panels, TITLES.items(), strict=True):
        runs = [run for run in data.values() if run["optimizer"] == name]
        for run, colour in zip(runs, (BLUE, ORANGE), strict=True):
            seen = zip(run["step"], run["sharpness"], run["converged"], strict=True)
            steps, heights = zip(*((s, h) for s, h, sure in seen if sure), strict=True)
            axes.plot(steps, heights, color=colour, label=f"step {run['rate']:g}")
            axes.axhline(run["threshold"], color=colour, ls="--", lw=1)
        top = max(run["threshold"] for run in runs)
        axes.set(title=title, xlabel="step", ylim=(0, 1.25 * top), xlim=(0, None))
        axes.set_ylabel("preconditioned sharpness" if name == "adam" else "sharpness")
        axes.legend(loc="lower right")
    for axes, text in zip(panels, ("2/step", "2(1+β)/step", "38/step"), strict=True):
        axes.text(
            0.02,
            0.97,
            f"dashed: {text}",
            transform=axes.transAxes,
            va="top",
            color=GREY,
            fontsize=8,
        )
    figure.tight_layout(w_pad=1)
    return figure


def caption(data: Data) -> str:
    """Describe the picture, the paper's claim, and the differences."""
    late = {
        name: float(np.mean(run["sharpness"][-20:])) / run["threshold"]
        for name, run in data.items()
    }
    losses = [run["loss"][-1] / run["loss"][0] for run in data.values()]
    listed = ", ".join(f"{name}: {share:.3f}" for name, share in late.items())
    return f"""
**Seen.** Sharpness rises to the edge of stability and stays there. The solid curves are the largest
eigenvalue of the Hessian (for Adam, of the preconditioned Hessian) over the steps of full-batch
training; the dashed lines are the edges that the exact condition for the quadratic gives. The mean
over the last fifth of the steps, divided by the edge, is, by optimizer and step: {listed}. At the
end, the loss has fallen to between {min(losses):.2g} and {max(losses):.2g} of its first
measurement.

**Paper.** Section 4.1 says that the training of neural networks tends to reach the upper bound
(10). There is no figure.

**Differs.** It reaches the bound, and stays there instead of diverging. With momentum the edge is
that of the joint system, 2(1 + β)/step, and with Adam it is 2(1 + β₁)/((1 - β₁) step) instead of
(10).
"""


NAMED = {f"{run.optimizer} {run.step:g}": run for run in RUNS}
CONFIG: dict[str, Any] = {
    "seed": 0,
    "images": 1000,
    "width": 32,
    "measurements": 100,
    "runs": [asdict(run) for run in RUNS],
}
FIGURE = Figure(
    name="edge",
    title="Networks train at the edge of stability",
    seen="Sharpness rises to the dashed line at which theory puts the edge of stability and stays "
    "there, for gradient descent, heavy ball and Adam",
    config=CONFIG,
    parts=tuple(NAMED),
    compute=compute,
    draw=draw,
    caption=caption,
)
