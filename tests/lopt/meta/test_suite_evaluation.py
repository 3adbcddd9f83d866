"""A suite of tiny tasks: what is kept, what is chosen, what is computed together."""

import json
import math
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.cli import main
from lopt.meta.evaluation import records, suite
from lopt.meta.evaluation.curves import Runs, held_out_keys
from lopt.meta.evaluation.entrants import (
    Candidate,
    Entrant,
    adam_entrant,
    learned_entrant,
    nadamw_entrant,
    nominal_factors,
    stacked,
)
from lopt.meta.evaluation.outcome import Row, TaskOutcome, outcome
from lopt.meta.evaluation.records import Record, binned, edges, key_of
from lopt.meta.evaluation.suite import evaluate_suite
from lopt.optimizers.star_update import make_star

STEPS, RATES = 40, (1e-3, 0.1, 1e3)
DATA = jnp.arange(12.0).reshape(6, 2) / 6


def _loss(phi, key, batch):
    """A least-squares problem with batches and a random loss; NaN where it has run away."""
    noise = 0.01 * jax.random.normal(key, phi.shape)
    value = jnp.mean((batch @ (phi + noise) - 1.0) ** 2)
    return value * jnp.where(jnp.max(jnp.abs(phi)) > 100, jnp.nan, 1.0)


TASK = lopt.Task(
    "line", lambda key: jax.random.normal(key, (2,)), _loss, DATA, batch_size=3, loss_ceiling=50.0
)


@pytest.fixture(scope="module")
def learned() -> dict[str, lopt.Saved]:
    """Two hyperparameter controllers that share a program."""
    thetas = [lopt.init_meta_parameters(jax.random.key(k), lopt.HYPERPARAM) for k in (0, 1)]
    return {f"h{k}": lopt.Saved(theta, lopt.HYPERPARAM, {}) for k, theta in enumerate(thetas)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def found(learned, folder):
    """Three rates, three draws, and two learned optimizers with as many values of beta_1."""
    return evaluate_suite(
        learned, [TASK], folder, seeds=2, rates=RATES, draws=3, tune=True, steps=STEPS
    )


def alone(optimizer, seed, steps=STEPS):
    """A plain loop of optax from a held-out seed, one step after the other."""
    init_key, key = jax.random.split(held_out_keys(seed + 1)[seed])
    params = TASK.init(init_key)
    state, losses = optimizer.init(params), []

    @jax.jit
    def step(params, state, key):
        batch_key, loss_key = jax.random.split(key)
        batch = TASK.sample(batch_key, TASK.data)
        value, gradient = jax.value_and_grad(TASK.loss)(params, loss_key, batch)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, value

    for key_of_step in jax.random.split(key, steps):
        params, state, value = step(params, state, key_of_step)
        losses.append(float(value))
    return np.array(losses)


@pytest.mark.parametrize("kind", ["Adam", "NAdamW", "learned"])
def test_runs_that_are_computed_together_are_those_of_optax_alone(kind, learned) -> None:
    """Settings and seeds in one batch, in an order of its own, against a plain loop."""
    saved = learned["h1"]
    entrant = {
        "Adam": adam_entrant((1e-3, 0.1)),
        "NAdamW": nadamw_entrant(2, STEPS),
        "learned": learned_entrant("h1", saved, tried=2),
    }[kind]
    thetas = stacked([c.theta for c in entrant.candidates])
    runs = Runs(TASK, entrant.make, chunk=15)
    curves = runs.curves(thetas, held_out_keys(2), [1, 0, 1], [0, 1, 1], STEPS)
    constants = entrant.candidates[1].constants
    if kind == "Adam":
        expected = optax.adam(0.1)
    elif kind == "NAdamW":
        c = constants
        expected = optax.chain(
            optax.add_decayed_weights(c["l2"]),
            optax.scale_by_adam(c["b1"], c["b2"], c["eps"], nesterov=bool(c["nesterov"])),
            optax.add_decayed_weights(c["weight_decay"]),
            optax.scale_by_learning_rate(
                lambda t: lopt.optimizers.scheduled_rate(
                    lopt.optimizers.ScheduledNAdamW(**c), STEPS, t
                )
            ),
        )
    else:
        config = lopt.StarConfig(blackbox_term=False, nominal_step=constants["nominal_step"])
        assert constants["nominal_step"] == pytest.approx(
            10 / 3 * lopt.HYPERPARAM.nominal_step, rel=1e-5
        )
        expected = make_star(saved.meta_parameters, config)
    for curve, seed in ((curves[0], 0), (curves[2], 1)):
        np.testing.assert_allclose(curve, alone(expected, seed), rtol=2e-4)
    assert not np.allclose(curves[0], curves[1])


def test_the_chosen_constants_have_the_least_final_loss(found, folder) -> None:
    """By a plain minimum over what the folder holds; NaN counts as the ceiling."""
    (task,) = found.tasks
    kept = json.loads((folder / "line" / "Adam.40.json").read_text("utf-8"))
    assert {len(one["losses"]) for one in kept["curves"]} == {STEPS}
    ends = {}
    for one in kept["curves"]:
        last = [50.0 if x is None else min(x, 50.0) for x in one["losses"][-4:]]
        ends.setdefault(one["constants"]["learning_rate"], []).append(np.mean(last))
    assert set(ends) == set(RATES)
    best = min(ends, key=lambda rate: np.mean(ends[rate]))
    assert task.adam.constants == {"learning_rate": best}
    np.testing.assert_allclose(task.adam.final, ends[best])
    assert task.ratio(task.adam, "final") == task.ratio(task.adam, "mean") == 1.0
    names = [row.name for row in task.rows]
    assert names == ["Adam", "NAdamW", "h0", "h0, β₁ chosen", "h1", "h1, β₁ chosen"]
    shipped, chosen = task.rows[2:4]
    assert shipped.constants == {"nominal_step": lopt.HYPERPARAM.nominal_step}
    assert chosen.final.mean() <= shipped.final.mean()


def test_a_rate_that_is_far_too_large_is_a_result(folder, found) -> None:
    """Rate 1000 leaves the region where the loss is a number, and is kept as such."""
    wild = records.load(folder / "line" / "Adam.40.json").of({"learning_rate": 1e3}, 2)
    row = Row("Adam", {}, wild, TASK.loss_ceiling)
    assert np.isnan(wild[:, -1]).all()
    assert row.diverged.all()
    np.testing.assert_array_equal(row.final, 50.0)
    assert not found.tasks[0].adam.diverged.any()


def test_nothing_that_is_kept_is_computed_again(learned, folder, found, monkeypatch) -> None:
    def never(*_):
        raise AssertionError("a run was computed again")

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    monkeypatch.setattr(Runs, "curves", never)
    again = evaluate_suite(
        learned, [TASK], folder, seeds=2, rates=RATES, draws=3, tune=True, steps=STEPS
    )
    assert again.to_json() == found.to_json()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")} == before


def test_an_interrupted_search_goes_on_with_what_is_missing(folder, found, tmp_path, monkeypatch):
    """Groups of two of the six runs, the second of which is interrupted; the numbers in the end are
    those of one piece.
    """
    del found
    monkeypatch.setattr(suite, "TOGETHER", 2)
    compute, sizes = Runs.curves, []

    def interrupted(self, thetas, keys, theta_of, *rest):
        sizes.append(len(theta_of))
        if len(sizes) == 2:
            raise KeyboardInterrupt
        return compute(self, thetas, keys, theta_of, *rest)

    monkeypatch.setattr(Runs, "curves", interrupted)
    settings = {"seeds": 2, "rates": RATES, "steps": STEPS}
    with pytest.raises(KeyboardInterrupt):
        evaluate_suite({}, [TASK], tmp_path, **settings)
    file = tmp_path / "line" / "Adam.40.json"
    assert len(records.load(file).curves) == 2
    evaluate_suite({}, [TASK], tmp_path, **settings)
    assert sizes == [2, 2, 2, 2]
    whole, parts = (records.load(path) for path in (folder / "line" / "Adam.40.json", file))
    assert parts.curves.keys() == whole.curves.keys()
    for key, curve in whole.curves.items():
        np.testing.assert_allclose(parts.curves[key], curve, rtol=2e-4)


def test_more_seeds_keep_the_curves_of_the_fewer(folder, found, tmp_path) -> None:
    """A seed fixes its run, however many there are."""
    del found
    more = evaluate_suite({}, [TASK], tmp_path, seeds=3, rates=RATES[:2], steps=STEPS)
    kept = records.load(folder / "line" / "Adam.40.json")
    new = records.load(tmp_path / "line" / "Adam.40.json")
    assert len(new.curves) == 6
    assert more.seeds == 3
    for key in (key_of({"learning_rate": r}, s) for r in RATES[:2] for s in (0, 1)):
        np.testing.assert_allclose(new.curves[key], kept.curves[key], rtol=2e-4)


def record(name, curves, own=None, steps=20):
    """A record with one seed; the values of `curves` by learning rate or beta_1."""
    head = {"task": "t", "optimizer": name, "steps": steps, "identity": "", "own": own}
    keys = {key_of({"r": r}, 0): np.array(curve, float) for r, curve in curves.items()}
    return Record(head, 3.0, 1, keys)


def test_outcomes_of_curves_that_are_known() -> None:
    """Twenty points: the final loss is the mean of the last two."""
    down = np.linspace(2.0, 0.1, 20)
    adam = record("Adam", {1.0: np.full(20, 2.0), 2.0: np.where(np.arange(20) < 18, 2.0, 1.0)})
    star = record("star", {3.0: np.full(20, np.nan), 4.0: down}, own={"r": 3.0})
    task = outcome([star, adam], 1)
    assert [row.name for row in task.rows] == ["Adam", "star", "star, β₁ chosen"]
    assert task.adam.constants == {"r": 2.0}
    _, shipped, chosen = task.rows
    assert shipped.diverged.tolist() == [True]
    assert shipped.final == shipped.mean == 3.0
    assert task.ratio(shipped, "final") == 3.0
    assert chosen.constants == {"r": 4.0}
    np.testing.assert_allclose(task.ratio(chosen, "final"), down[-2:].mean())
    np.testing.assert_allclose(task.ratio(chosen, "mean"), 1.05 / 1.9)
    # The means of two neighbours fall by 0.1 from 1.95; the tenth one after that is 0.95.
    assert task.steps_to_adam(chosen) == 12
    assert task.steps_to_adam(shipped) is None
    assert task.steps_to_adam(task.adam) == 20


def test_bins_are_means_that_cover_every_step() -> None:
    curve = np.random.default_rng(0).normal(size=257)
    at = edges(257)
    assert (at[0], at[-1], len(at)) == (0, 257, 101)
    np.testing.assert_allclose(
        binned(curve), [curve[a:b].mean() for a, b in pairwise(at)], rtol=1e-4
    )
    curve[100] = np.inf
    assert np.isnan(binned(curve)).sum() == 1


def test_beta_1_has_as_many_values_as_adam_has_rates() -> None:
    for count in range(1, 9):
        factors = nominal_factors(count)
        assert len(factors) == count
        assert factors.count(1.0) == 1
        np.testing.assert_allclose(np.diff(np.log10(factors)), 0.5, atol=0.03)


def test_a_mean_that_overflows_has_no_ratio() -> None:
    row = Row("Adam", {}, np.full((1, 10), np.nan), math.inf)
    task = TaskOutcome("t", 10, (row,))
    assert math.isnan(task.ratio(row, "final"))
    assert task.steps_to_adam(row) is None
    assert task.to_json()["optimizers"][0]["final"] == [None]


def test_curves_of_another_optimizer_or_of_other_data_are_not_mixed_in(learned, folder, found):
    del found
    other = {"h0": learned["h1"]}
    with pytest.raises(ValueError, match=r"h0\.40\.json holds curves of another identity"):
        evaluate_suite(other, [TASK], folder, seeds=1, rates=RATES, steps=STEPS)
    more = lopt.Task("line", TASK.init, _loss, jnp.ones((7, 2)), 3)
    with pytest.raises(ValueError, match="curves on 6 examples, but line now has 7"):
        evaluate_suite({}, [more], folder, seeds=3, rates=RATES, steps=STEPS)


def test_programs_are_shared_by_optimizers_of_one_configuration(learned) -> None:
    first, second = (learned_entrant(name, saved, 3) for name, saved in learned.items())
    assert first.program == second.program
    assert first.identity != second.identity
    fixed = lopt.StarConfig(blackbox_term=False, learned_nominal_scale=False)
    theta = lopt.init_meta_parameters(jax.random.key(0), fixed)
    each = learned_entrant("x", lopt.Saved(theta, fixed, {}), 2).candidates
    assert all(c.theta.log_nominal_scale.shape == (1,) for c in each)
    assert isinstance(first, Entrant)
    assert isinstance(each[0], Candidate)


def test_the_command_resumes_skips_and_reports(tmp_path, capsys, monkeypatch) -> None:
    """A task without data is skipped by name; the second call reads what the first has kept."""
    monkeypatch.setenv("LOPT_DATA_DIR", str(tmp_path / "absent"))
    monkeypatch.chdir(tmp_path)
    theta = lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM)
    lopt.save("own.npz", theta, lopt.HYPERPARAM)
    command = [
        *("evaluate", "own.npz", "--tasks", "quadratic", "cifar10-mlp-layernorm"),
        *("--steps", "4", "--seeds", "1", "--rates", "0.01", "--draws", "0"),
    ]
    assert main([*command, "--json", "out.json"]) == 0
    first = capsys.readouterr().out
    for word in ("quadratic", "own", "Skipped: cifar10-mlp-layernorm", "final below"):
        assert word in first
    document = json.loads(Path("out.json").read_text("utf-8"))
    assert [task["task"] for task in document["tasks"]] == ["quadratic"]
    assert set(document["skipped"]) == {"cifar10-mlp-layernorm"}
    monkeypatch.setattr(Runs, "curves", None)
    assert main(command) == 0
    assert capsys.readouterr().out == first
    assert main([*command[:3], "cifar10-mlp-layernorm", *command[5:]]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(err) == 1
    assert "cifar10" in err[0]


BAD = {
    "unknown task": (["--tasks", "cifar11-mlp"], "no task is called"),
    "several without a suite": (["fashion-mnist-mlp-blackbox"], "several need --suite or --tasks"),
    "one name twice": (["fashion-mnist-mlp", "--tasks", "quadratic"], "two optimizers are called"),
    "no such optimizer": (["absent.npz", "--tasks", "quadratic"], "does not exist"),
    "a rate of zero": (["--tasks", "quadratic", "--rates", "0"], "each of rates must be positive"),
    "negative draws": (["--tasks", "quadratic", "--draws", "-1"], "--draws must be at least 0"),
    "no steps": (["--tasks", "quadratic", "--steps", "0"], "--steps must be at least 1"),
    "both flags": (["--tasks", "quadratic", "--task", "quadratic"], "a suite takes --tasks"),
    "small of what": (["--small"], "name it with --suite"),
    "no such suite": (["--suite", "nonsense"], "invalid choice"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, tmp_path, capsys, monkeypatch) -> None:
    more, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["evaluate", "fashion-mnist-mlp", *more])
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no JSON"), ("{}", "it lacks"), ('{"format": 9}', "format"), ("[]", "it must be")],
)
def test_a_damaged_file_of_results_is_one_line(text, said, tmp_path) -> None:
    path = tmp_path / "line" / "Adam.40.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        evaluate_suite({}, [TASK], tmp_path, seeds=1, rates=RATES, steps=STEPS)
    assert "Remove it." in str(error.value)
    assert "\n" not in str(error.value)
