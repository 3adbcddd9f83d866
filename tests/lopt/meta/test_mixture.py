"""Meta-training on mixtures and families, and meta-losses on batches that no step learns from."""

import subprocess
import sys
from dataclasses import replace
from itertools import count

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nqm
from lopt.cli import main
from lopt.meta.config import TrainConfig
from lopt.meta.estimators import PES
from lopt.meta.estimators.exact import expected_meta_gradient
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train
from lopt.meta.training.mixture import monitor
from lopt.meta.training.trainer import Trainer
from lopt.tasks import Task, TaskFamily, augmented, quadratic_task, with_validation
from tests.lopt.meta.quick import bowl, quick

ALPHA, HORIZON, PAIRS = 0.2, 5, 512
MODELS = [
    nqm.NoisyQuadratic([[1.0, 0.3], [0.3, 0.5]], [[0.5, 0.0], [0.0, 0.2]], [1.0, -1.0]),
    nqm.NoisyQuadratic([[0.4, 0.0], [0.0, 1.5]], [[0.1, 0.0], [0.0, 0.1]], [0.5, 2.0]),
]
THETA = np.array([[0.1, 0.2], [0.0, 0.3]], np.float32)


class Plain(TrainConfig):
    """The meta-gradient itself is the step."""

    def make_meta_optimizer(self):
        return optax.apply_if_finite(optax.sgd(1.0), max_consecutive_errors=10)


def linear(**fields) -> TrainConfig:
    values = {
        "task": "quadratic", "optimizer": "linear", "nominal_step": ALPHA, "horizon": HORIZON,
        "truncation": HORIZON, "pairs": PAIRS, "sigma": 1e-3, "weight_decay": 0.0,
    }  # fmt: skip
    return Plain(**{**values, **fields})


def exact() -> np.ndarray:
    """The mean over both quadratics, in closed form."""
    theta = THETA.astype(np.float64)
    each = [expected_meta_gradient(m, theta, ALPHA, horizon=HORIZON) for m in MODELS]
    return np.mean(each, axis=0)


def assert_within_four_errors(samples: list[np.ndarray]) -> None:
    found = np.array(samples, np.float64)
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - exact()) <= 4 * error).all()
    assert (4 * error < 0.5 * np.abs(exact()).max()).all()  # the test can fail


def test_a_mixture_follows_the_mean_of_the_exact_meta_gradients() -> None:
    trainer = Trainer(linear(), [quadratic_task(model) for model in MODELS])
    assert trainer.names == ("quadratic 1", "quadratic 2")
    state = trainer.init()
    samples = []
    for step in range(30):
        state = state._replace(theta=jnp.asarray(THETA))
        state, seen = trainer.step(state, step)
        samples.append(THETA - np.asarray(state.theta))
    assert_within_four_errors(samples)
    losses = [float(one["meta_loss"]) for one in seen["tasks"].values()]
    assert float(seen["meta_loss"]) == pytest.approx(np.mean(losses), rel=1e-6)
    assert trainer.inner_steps == 2 * 2 * PAIRS * HORIZON


def test_pes_over_a_family_has_the_mean_of_the_exact_meta_gradients() -> None:
    tasks = [quadratic_task(model) for model in MODELS]

    def make(which: jax.Array) -> Task:
        def init(key):
            return jnp.where(which, tasks[1].init(key), tasks[0].init(key))

        def loss(params, key, batch):
            return jnp.where(which, *(t.loss(params, key, batch) for t in reversed(tasks)))

        return Task("either", init, loss)

    family = TaskFamily.around(tasks[0], lambda key: jax.random.bernoulli(key), make)
    pes = PES(family, linear().make_optimizer, HORIZON, HORIZON, 30 * PAIRS, 1e-3)

    @jax.jit
    def gradients(key):
        state = pes.init(THETA, key)
        one = jax.vmap(lambda s, k: pes._pair(jnp.asarray(THETA), s, (), k)[0].gradient)
        return one(state, jax.random.split(key, 30 * PAIRS))

    assert_within_four_errors(list(np.asarray(gradients(jax.random.key(5)))))


def test_a_member_is_drawn_anew_where_an_episode_begins() -> None:
    """Both runs of a pair train the same member, to the end of their episode and no longer."""
    family = augmented(bowl(), "global", 0.1, 10.0)
    pes = PES(family, quick().make_optimizer, 6, 3, 4, 0.01)
    theta = quick().optimizer_config.init(jax.random.key(0))
    state = pes.init(theta, jax.random.key(1))
    step = jax.jit(pes.estimate)
    seen = []
    for k in range(6):
        assert state.episode.member[1].shape == (4,)
        seen.append(np.asarray(state.episode.member[1]))
        _, state = step(theta, state, (), jax.random.key(2 + k))
    changes = np.diff(np.array(seen), axis=0) != 0
    # Half of the pairs begin in the middle of an episode of two truncations; a new one begins
    # with the first step of a truncation.
    assert changes.sum(axis=0).tolist() in ([2, 2, 3, 3], [3, 3, 2, 2], [2, 2, 2, 2])
    assert len(np.unique(seen)) > 8


TASKS = [bowl(), replace(bowl(), name="other bowl", init=lambda key: jnp.full(3, 2.0))]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> RunDirectory:
    run = RunDirectory(tmp_path_factory.mktemp("mixture") / "run")
    assert train(quick(), run, task=TASKS) == 12
    return run


def lines(run: RunDirectory) -> list[dict]:
    return [
        {k: v for k, v in m.items() if k != "inner_steps_per_second"} for m in run.read_metrics()
    ]


@pytest.mark.parametrize("after", [1, 3, 8])
def test_resume_over_a_mixture_is_bit_for_bit(tmp_path, whole: RunDirectory, after: int) -> None:
    run, counter = RunDirectory(tmp_path / "run"), count(1)
    assert train(quick(), run, task=TASKS, stop=lambda: next(counter) == after) == after
    assert train(quick(), run, task=TASKS, resume=True) == 12
    assert lines(run) == lines(whole)
    for a, b in zip(
        *(jax.tree.leaves(r.read_result(quick()).meta_parameters) for r in (run, whole)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_metrics_tell_the_tasks_apart(whole: RunDirectory) -> None:
    line = lines(whole)[-1]
    assert list(line["tasks"]) == ["bowl", "other bowl"]
    losses = [seen["meta_loss"] for seen in line["tasks"].values()]
    assert losses[0] != losses[1]
    assert line["meta_loss"] == pytest.approx(np.mean(losses), rel=1e-6)


def test_a_loss_that_is_not_finite_is_told_with_its_task() -> None:
    broken = replace(bowl(nan_above=0.0), name="broken bowl")
    trainer = Trainer(quick(), [bowl(), broken])
    _, seen = trainer.step(trainer.init(), 0)
    assert np.all(np.asarray(seen["nonfinite_step"]["bowl"]) == -1)
    assert np.any(np.asarray(seen["nonfinite_step"]["broken bowl"]) >= 0)


def test_the_monitor_measures_every_task(tmp_path, capsys) -> None:
    """On quadratics: the joint radius of heavy ball is that of each task's own curvature."""
    steep = quadratic_task(nqm.NoisyQuadratic(np.diag([1.0, 2.0, 4.0])), "steep")
    flat = quadratic_task(nqm.NoisyQuadratic(np.diag([0.1, 0.2, 0.4])), "flat")
    config = quick(outer_steps=2, monitor_every=2)
    run = RunDirectory(tmp_path / "run")
    train(config, run, task=[steep, flat], monitor=monitor(config, [steep, flat]).measure)
    points = [line for line in run.read_metrics() if "monitor" in line][-1]["monitor"]["points"]
    sharpness = {point["task"]: point["sharpness"] for point in points}
    assert sharpness == {"steep": pytest.approx(4.0), "flat": pytest.approx(0.4)}
    assert main(["monitor", str(run.path)]) == 0
    printed = capsys.readouterr().out
    assert "steep, inner step" in printed
    assert "flat, inner step" in printed


def numbered(others: float) -> Task:
    """The loss has the mean of the batch as its slope: 1 of the data, `others` of the rest."""
    return Task(
        "slope", lambda key: jnp.ones(()), lambda phi, key, batch: phi * jnp.mean(batch),
        jnp.ones(8), 2, validation=jnp.full(8, others),
    )  # fmt: skip


def test_the_meta_loss_is_measured_on_validation_examples() -> None:
    """Steps learn from the data: phi = 1, 0.75, 0.5, 0.25; the losses are three times that."""
    task = numbered(3.0)
    losses = {}
    for objective in ("train", "validation"):
        pes = PES(task, optax.sgd, 4, 4, 1, 1e-6, objective=objective)
        data = (task.data, task.validation) if objective == "validation" else task.data
        state = pes.init(jnp.float32(0.25), jax.random.key(0))
        found, _ = pes.estimate(jnp.float32(0.25), state, data, jax.random.key(1))
        losses[objective] = float(found.meta_loss)
    assert losses["train"] == pytest.approx(0.625, rel=1e-4)
    assert losses["validation"] == pytest.approx(3 * 0.625, rel=1e-4)


def test_a_fresh_batch_is_independent_of_the_one_that_is_learned_from() -> None:
    """phi' = phi - (phi - x) = x: on the same batch the next loss would be (x' - x)^2 / 2, of mean
    1 for unit variance; at phi_0 = 0 it is x^2 / 2 either way. Correlated batches would tell.
    """
    data = jnp.asarray(np.random.default_rng(0).normal(size=4000).astype(np.float32))
    data = (data - data.mean()) / data.std()

    def loss(phi, key, batch):
        return 0.5 * jnp.mean((phi - batch) ** 2)

    task = Task("mean", lambda key: jnp.zeros(()), loss, data)
    found, states = {}, {}
    for objective in ("train", "fresh-batch"):
        pes = PES(task, optax.sgd, 2, 2, 2000, 1e-6, objective=objective)
        state = pes.init(jnp.float32(1.0), jax.random.key(0))
        estimate, after = jax.jit(pes.estimate)(jnp.float32(1.0), state, data, jax.random.key(1))
        found[objective], states[objective] = float(estimate.meta_loss), after.episode.params
    # The inner trajectories are the same, and both losses have the mean (1/2 + 1) / 2.
    np.testing.assert_array_equal(states["train"], states["fresh-batch"])
    assert found["train"] != found["fresh-batch"]
    for value in found.values():
        assert value == pytest.approx(0.75, abs=0.08)


def test_a_meta_objective_needs_its_examples() -> None:
    with pytest.raises(
        ValueError, match=r"task 'bowl' has none\. Make them with lopt\.tasks\.with_v"
    ):
        PES(bowl(), optax.sgd, 2, 2, 1, 0.1, objective="validation").init(1.0, jax.random.key(0))


def test_the_trainer_hands_over_the_validation_examples() -> None:
    config = quick(meta_objective="validation")
    task = with_validation(Task(
        "sum", lambda key: jnp.ones(3), lambda p, key, batch: jnp.mean(batch) * jnp.sum(p) / 3,
        jnp.asarray([1.0] * 9 + [5.0]),
    ))  # fmt: skip
    trainer = Trainer(config, task)
    _, seen = trainer.step(trainer.init(), 0)
    assert 4.0 < float(seen["meta_loss"]) < 5.01


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tasks": ("mnist-mlp", "mnist-mlp")}, "tasks names 'mnist-mlp' twice"),
        ({"tasks": ("mnist-mlp", "nonsense")}, "no task is called 'nonsense'"),
        ({"task": "cifar10-mlp", "tasks": ("mnist-mlp",)}, "Name all of them in tasks"),
        ({"augmentation": "layer"}, "augmentation must be one of none, global"),
        ({"augmentation_min": 2.0, "augmentation_max": 1.0}, "augmentation_max must be finite"),
        ({"meta_objective": "test"}, "meta_objective must be one of train, fresh-batch"),
    ],
)
def test_what_is_wrong_with_a_mixture_is_said(fields: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TrainConfig(**fields)


def test_the_first_of_several_tasks_is_the_task() -> None:
    config = TrainConfig(tasks=("mnist-mlp", "quadratic"))
    assert config.task == "mnist-mlp"
    assert config.task_names == ("mnist-mlp", "quadratic")
    assert replace(config, seed=1).tasks == config.tasks
    assert TrainConfig.from_mapping({"tasks": ["mnist-mlp", "quadratic"]}) == config


ON_TWO_DEVICES = """
import sys, jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from lopt.meta.training.trainer import Trainer
from tests.lopt.meta.quick import quick
from tests.lopt.meta.test_mixture import TASKS
found = []
for devices in (1, 2):
    trainer = Trainer(quick(devices=devices), TASKS)
    state = trainer.init()
    for step in range(5):
        state, seen = trainer.step(state, step)
    leaves = jax.tree.leaves((state.theta, seen["tasks"]))
    found.append(np.concatenate([np.ravel(x) for x in leaves]))
np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
"""


@pytest.mark.thorough
def test_devices_take_the_same_steps_over_a_mixture() -> None:
    subprocess.run([sys.executable, "-c", ON_TWO_DEVICES], check=True, timeout=300)
