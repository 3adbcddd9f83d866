"""P as meta-parameters on the paper's quadratic: runs, the exact gradient, what does not go
together.
"""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest

import lopt
import nqm
from lopt.cli import main
from lopt.meta.config import TrainConfig
from lopt.meta.estimators.exact import expected_meta_gradient, expected_meta_loss
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train
from lopt.meta.training.trainer import Trainer
from lopt.meta.training.watch import Watch, probe
from lopt.optimizers.linear import LinearConfig
from lopt.tasks.quadratic import quadratic_task
from tests.lopt.meta.quick import bowl

MODEL = nqm.example("paper").quadratic
ALPHA = 0.4
LINEAR = ["--optimizer", "linear", "--task", "quadratic"]
EXACT = TrainConfig(
    task="quadratic",
    optimizer="linear",
    nominal_step=ALPHA,
    estimator="exact",
    horizon=20,
    truncation=20,
    pairs=1,
    weight_decay=0.0,
    learning_rate=0.01,
    final_learning_rate=1.0,
    outer_steps=12,
    monitor_every=4,
    checkpoint_every=6,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunDirectory:
    run = RunDirectory(tmp_path_factory.mktemp("linear") / "run")
    watch = Watch(EXACT, EXACT.make_task())
    assert train(EXACT, run, monitor=watch.measure) == EXACT.outer_steps
    return run


def test_a_run_follows_the_exact_gradient(run) -> None:
    """The same steps of clipped Adam in float64 with the closed form of the gradient."""
    transformation = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(EXACT.learning_rate))
    P = np.zeros((2, 2), np.float32)
    state = transformation.init(P)
    losses = []
    for _ in range(EXACT.outer_steps):
        losses.append(float(expected_meta_loss(MODEL, P.astype(float), ALPHA, horizon=20)))
        gradient = expected_meta_gradient(MODEL, P.astype(float), ALPHA, horizon=20)
        updates, state = transformation.update(np.asarray(gradient, np.float32), state, P)
        P = np.asarray(optax.apply_updates(P, updates))
    saved = lopt.load(run.result)
    assert saved.config == LinearConfig(2, ALPHA)
    np.testing.assert_allclose(saved.meta_parameters, P, atol=1e-5)
    seen = [line["meta_loss"] for line in run.read_metrics() if "meta_loss" in line]
    np.testing.assert_allclose(seen, losses, rtol=1e-4)
    assert losses[-1] < losses[0]


def test_the_run_is_watched_exactly(run) -> None:
    """Eigenvalues of I - (alpha I + P) H, before and after."""
    seen = [line["monitor"]["points"] for line in run.read_metrics() if "monitor" in line]
    assert len(seen) == 4
    for points, theta in ((seen[0], run.initial), (seen[-1], run.result)):
        P = np.asarray(lopt.load(theta).meta_parameters, np.float64)
        exact = np.linalg.eigvals(np.eye(2) - (ALPHA * np.eye(2) + P) @ MODEL.hessian)
        radius = np.abs(exact).max()
        assert points[0]["radius"] == pytest.approx(radius, rel=1e-12)


def test_pes_estimates_the_exact_gradient() -> None:
    """An episode of one truncation; the mean of 4096 pairs within four standard errors."""
    sampled = replace(EXACT, estimator="pes", pairs=4096, sigma=1e-3)
    P = jax.numpy.array([[0.1, 0.2], [0.0, 0.3]])

    @jax.jit
    def estimate(key):
        estimator = sampled.make_estimator(sampled.make_task())
        state = estimator.init(P, key)
        one = jax.vmap(lambda s, k: estimator._pair(P, s, (), k)[0].gradient)
        return one(state, jax.random.split(key, 4096))

    gradients = np.asarray(estimate(jax.random.key(5)), np.float64)
    exact = expected_meta_gradient(MODEL, np.asarray(P, np.float64), ALPHA, horizon=20)
    spread = gradients.std(axis=0, ddof=1) / np.sqrt(len(gradients))
    assert (np.abs(gradients.mean(axis=0) - exact) <= 4 * spread).all()


def test_weight_decay_acts_on_all_of_P() -> None:
    """With a vanishing step of Adam, only decay is left: each entry shrinks by 1 - rate * decay."""
    config = replace(EXACT, weight_decay=0.5)
    optimizer = config.make_meta_optimizer()
    P = np.array([[1.0, -2.0], [3.0, 4.0]], np.float32)
    updates, _ = optimizer.update(np.zeros_like(P), optimizer.init(P), P)
    np.testing.assert_allclose(updates, -0.5 * config.learning_rate * P, rtol=1e-5)


def test_star_trains_on_the_quadratic() -> None:
    config = replace(
        EXACT, optimizer="hyperparam", nominal_step=0.01, estimator="pes", pairs=2, outer_steps=2
    )
    trainer = Trainer(config)
    state, seen = trainer.step(trainer.init(), 0)
    assert np.isfinite(seen["meta_loss"])
    watch = probe(config, trainer.task)
    point = watch.measure(state.theta).points[-1]
    assert point.joint.invariant  # all of the eigenvalues, from the matrix itself
    assert point.sharpness == pytest.approx(np.linalg.eigvalsh(MODEL.hessian)[-1], rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--optimizer", "linear"], "needs a task that is a quadratic"),
        (["--estimator", "exact"], "estimator exact needs optimizer linear"),
        (
            [*LINEAR, "--blackbox-step", "1"],
            "blackbox_step is no part of the linear optimizer",
        ),
        (
            [
                *LINEAR,
                "--estimator",
                "exact",
                "--horizon-schedule",
                "growing",
                "--horizon-min",
                "5",
            ],
            "horizon_schedule must be constant",
        ),
    ],
)
def test_what_does_not_go_together(flags, message, capsys) -> None:
    assert main(["train", "--show-config", *flags]) == 2
    assert message in capsys.readouterr().err


def test_other_commands_know_it(run, tmp_path, capsys) -> None:
    assert main(["evaluate", str(run.path), "--search", "0", "--seeds", "2"]) == 0
    assert "linear, meta-trained" in capsys.readouterr().out
    assert main(["convert", str(run.result), str(tmp_path / "x.npz")]) == 2
    assert "which the released layout lacks" in capsys.readouterr().err


def test_the_exact_gradient_is_of_the_task_at_hand() -> None:
    """A quadratic of one's own in the place of the paper's; what is none is refused."""
    own = nqm.NoisyQuadratic(np.diag([3.0, 1.0]), np.eye(2), [1.0, 2.0])
    estimator = EXACT.make_estimator(quadratic_task(own))
    P = np.full((2, 2), 0.05)
    estimate, _ = estimator.estimate(P, estimator.init(P, jax.random.key(0)), (), None)
    exact = expected_meta_gradient(own, P, ALPHA, horizon=20)
    np.testing.assert_allclose(estimate.gradient, exact, rtol=1e-4)
    with pytest.raises(ValueError, match="estimator exact needs a quadratic; 'bowl' is none"):
        EXACT.make_estimator(bowl())
