"""What a run watches: its own particles, at the unperturbed meta-parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.meta.training.processes import host_copy
from lopt.meta.training.trainer import Trainer
from lopt.meta.training.watch import Watch, held, live_particles, targets
from tests.lopt.meta.quick import bowl, quick

PAIRS, HORIZON, TRUNCATION = 4, 12, 3


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(quick(pairs=PAIRS, horizon=HORIZON, truncation=TRUNCATION), bowl())


@pytest.fixture(scope="module")
def states(trainer) -> list:
    """On the host, after 0 .. 5 outer steps."""
    state, kept = trainer.init(), []
    for step in range(6):
        kept.append((host_copy(state), jax.tree.map(jnp.copy, state.pairs.episode)))
        state, _ = trainer.step(state, step)
    return kept


def test_particles_are_those_nearest_to_the_steps_really_taken(states) -> None:
    """Pair i of 4 began as if 3 i steps had passed; its first episode is so much shorter, and what
    it has really taken is at most three steps an outer step.
    """
    for done, (_, episode) in enumerate(states):
        counts = np.asarray(episode.inner_step)
        really = np.minimum(counts, done * TRUNCATION)
        for wanted in (0, 4, 9, 100):
            (found,) = live_particles(episode, done, TRUNCATION, (wanted,))
            assert abs(found.inner_step - wanted) == np.abs(really - wanted).min()
            (places,) = np.nonzero(really == found.inner_step)
            held_params = np.asarray(episode.params)[places, 0]
            assert any(np.array_equal(found.params, p) for p in held_params)


def test_no_particle_comes_twice_and_they_are_in_order(states) -> None:
    found = live_particles(states[4][1], 4, TRUNCATION, (9, 9, 0))
    assert [p.inner_step for p in found] == sorted({p.inner_step for p in found})
    assert len(found) == 2


def test_a_measurement_is_one_step_of_theta_from_the_particle(trainer, states) -> None:
    """Heavy ball of rate r on a bowl of curvature 1: eigenvalues of [[1 - r, -.9 r], [1, .9]]."""
    saved, episode = states[3]
    config, task = trainer.config, trainer.task
    watch = Watch(config, task)
    report = watch.measure(saved.theta, trainer.place(saved).pairs, 3)
    particles = live_particles(episode, 3, TRUNCATION, targets(config))
    assert [p.inner_step for p in report.points] == [p.inner_step for p in particles]
    rate = 1e-2 * np.exp(saved.theta.log_nominal_scale[0])
    exact = np.linalg.eigvals(np.array([[1 - rate, -0.9 * rate], [1.0, 0.9]]))
    loss, _, batch = held(task)
    for point, particle in zip(report.points, particles, strict=True):
        assert point.loss == pytest.approx(float(loss(particle.params, batch)), rel=1e-5)
        assert len(point.joint.values) == 6
        for value in point.joint.values:
            assert np.abs(exact - value).min() < 1e-5
        assert point.sharpness == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("estimator", ["truncated-backprop", "full-es"])
def test_every_estimator_is_watched(estimator) -> None:
    """Those without live particles on a trajectory of their own, to the horizon; the others before
    the first outer step after one truncation.
    """
    config = quick(estimator=estimator, horizon=HORIZON, truncation=TRUNCATION)
    trainer = Trainer(config, bowl())
    state = trainer.init()
    report = Watch(config, trainer.task).measure(host_copy(state.theta), state.pairs, 0)
    fresh = estimator == "truncated-backprop"
    assert [p.inner_step for p in report.points] == ([TRUNCATION] if fresh else [1, HORIZON])
    assert report.verdict == "stable"
