"""Everyone on one schedule: the schedule, the rates that are tried, and the tables."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.cli import main
from lopt.meta.evaluation import scheduled
from lopt.meta.evaluation.curves import Runs, held_out_keys
from lopt.meta.evaluation.records import binned
from lopt.meta.evaluation.suite import evaluate_scheduled

STEPS, RATES = 60, (0.01, 0.1)
TASK = lopt.Task(
    "bowl",
    lambda key: {"w": 2 + jax.random.normal(key, (2, 3)), "b": jnp.ones(3)},
    lambda phi, key, batch: sum(jnp.mean((x - 0.1 * jax.random.normal(key, x.shape)) ** 2)
                                for x in phi.values()),
    loss_ceiling=100.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def learned() -> dict[str, lopt.Saved]:
    config = lopt.StarConfig(nominal_term="AdamAggMo", blackbox_step=0.0, normalize_update=True)
    theta = lopt.init_meta_parameters(jax.random.key(0), config)
    return {"mine": lopt.Saved(theta, config, {})}


@pytest.fixture(scope="module")
def both(learned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return evaluate_scheduled(
        learned, [TASK], folder, seeds=2, rates=RATES, baselines=["Muon"], steps=STEPS
    )


def test_the_schedule_warms_up_and_ends_at_zero() -> None:
    rate = scheduled.cosine(0.3, 200)
    assert [float(rate(t)) for t in (0, 5, 10)] == pytest.approx([0.0, 0.15, 0.3], abs=1e-6)
    assert float(rate(105)) == pytest.approx(0.15, abs=1e-6)
    assert float(rate(200)) == pytest.approx(0.0, abs=1e-6)


def test_the_tuned_have_the_least_final_loss_and_the_untuned_their_default(both) -> None:
    tuned, untuned = (found.tasks[0] for found in both)
    assert [row.name for row in tuned.rows] == ["AdamW", "Muon", "mine"]
    for row, plain in zip(tuned.rows, untuned.rows, strict=True):
        default = scheduled.DEFAULTS.get(row.name, 1e-3)
        assert plain.constants == {"learning_rate": default}
        # From a distance of 2, 60 steps need a rate of 0.1; smaller ones do not arrive.
        assert row.constants == {"learning_rate": 0.1}
        assert row.final.mean() < plain.final.mean()


def test_screened_rates_run_on_all_seeds_only_where_they_are_best(both, learned, tmp_path) -> None:
    """Of three rates the best on one seed, and the default, run on both seeds."""
    rates, taken = (1e-4, *RATES), []

    def run(**options):
        return evaluate_scheduled(
            learned, [TASK], tmp_path, seeds=2, rates=rates, baselines=["Muon"], steps=STEPS,
            advance=taken.append, **options,
        )  # fmt: skip

    found = run(screening_seeds=1)
    # On the first seed three rates and the default, on the second two of them, of all three.
    assert sum(taken) == 3 * (4 + 2) * STEPS
    for screened, whole in zip(found, both, strict=True):
        for row, expected in zip(screened.tasks[0].rows, whole.tasks[0].rows, strict=True):
            assert (row.name, row.constants) == (expected.name, expected.constants)
            np.testing.assert_allclose(row.curves, expected.curves, rtol=1e-4)
    again = run(screening_seeds=1)
    assert sum(taken) == 3 * (4 + 2) * STEPS
    assert [one.to_json() for one in again] == [one.to_json() for one in found]
    with pytest.raises(ValueError, match="screening_seeds must be from 1 to the 2 seeds"):
        run(screening_seeds=3)


def test_the_runs_after_a_screening_find_their_program_compiled(
    learned, tmp_path, monkeypatch
) -> None:
    """They have the shapes of the first ones, however many there are."""
    shapes: dict[int, list[Any]] = {}
    curves = Runs.curves

    def recorded(self, *arguments):
        shapes.setdefault(id(self), []).append(
            [np.shape(leaf) for leaf in jax.tree.leaves(arguments[:4])]
        )
        kept.append(self)  # so that no other one gets its id
        return curves(self, *arguments)

    kept: list[Runs] = []
    monkeypatch.setattr(Runs, "curves", recorded)
    evaluate_scheduled(
        learned, [TASK], tmp_path, seeds=3, rates=(1e-4, *RATES), baselines=[], steps=STEPS,
        screening_seeds=1,
    )  # fmt: skip
    assert len(shapes) == 2
    for found in shapes.values():
        assert len(found) == 2
        assert found[0] == found[1]


def test_a_learned_optimizer_runs_as_a_chain_of_optax(both, learned) -> None:
    """Against a plain loop from the first held-out seed."""
    saved = learned["mine"]
    schedule = optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, STEPS)
    optimizer = optax.chain(
        lopt.scale_by_star(saved.meta_parameters, saved.config),
        optax.add_decayed_weights(0.01),
        optax.scale_by_learning_rate(schedule),
    )
    init_key, key = jax.random.split(held_out_keys(2)[0])
    params = TASK.init(init_key)
    state, losses = optimizer.init(params), []

    @jax.jit
    def step(params, state, key):
        _, loss_key = jax.random.split(key)
        value, gradient = jax.value_and_grad(TASK.loss)(params, loss_key, ())
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    for each in jax.random.split(key, STEPS):
        params, state, value = step(params, state, each)
        losses.append(float(value))
    expected = binned(np.array(losses))
    found = both[0].tasks[0].rows[-1].curves[0]
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_the_command_prints_both_tables(tmp_path, learned, capsys, monkeypatch) -> None:
    lopt.save(tmp_path / "mine.npz", learned["mine"].meta_parameters, learned["mine"].config)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scheduled, "BASELINES", {"AdamW": scheduled.BASELINES["AdamW"]})
    monkeypatch.setattr("lopt.meta.evaluation.suite.BASELINES", scheduled.BASELINES)
    arguments = ["evaluate", "mine.npz", "--tasks", "quadratic", "--scheduled", "--seeds", "1"]
    assert main([*arguments, "--steps", "10", "--rates", "0.1", "--json", "out.json"]) == 0
    printed = capsys.readouterr().out
    assert "below tuned AdamW's" in printed
    assert "everyone at the default learning rate" in " ".join(printed.split())
    assert (tmp_path / "runs/suite-scheduled/quadratic/mine.10.json").exists()
    assert "untuned" in (tmp_path / "out.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--scheduled"], "--scheduled belongs to --suite or --tasks"),
        (["--scheduled", "--tune", "--tasks", "quadratic"], "--tune chooses beta_1"),
        (
            ["--scheduled", "--tasks", "quadratic", "--rates", "-1"],
            "each of rates must be positive",
        ),
    ],
)
def test_what_does_not_go_together_is_said(arguments, says, capsys) -> None:
    assert main(["evaluate", "fashion-mnist-mlp", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_an_unknown_baseline_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="each of baselines must be one of AdamW, NAdamW"):
        evaluate_scheduled({}, [TASK], tmp_path, baselines=["Sophia"])
