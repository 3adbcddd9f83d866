"""How well the monitor at the horizon predicts what a learned optimizer does beyond it.

Learned optimizers from several outer steps of short meta-training runs are used on two tasks. The
monitor measures each of them at the horizon, and held-out seeds train for ten horizons.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

import lopt
from figures.engine.averages import smooth
from figures.engine.figure import PICTURES, Data, Figure
from figures.engine.style import BLUE, GREY, ORANGE, PURPLE, plt, use_style
from figures.monitor.association import survival
from figures.monitor.prediction_page import page, summary
from figures.monitor.prediction_table import OUTCOMES, RISE, Row, counted, trend, worst
from lopt.meta.choices import STARS
from lopt.meta.evaluation.curves import clipped, held_out_keys, training_curves
from lopt.meta.training.watch import probe
from lopt.tasks.data.datasets import fashion_mnist_8x8
from lopt.tasks.images import image_task
from lopt.tasks.networks import MLP

PAGE = PICTURES.parent / "predictions.md"
OUTER_STEPS = (0, 50, 150, 400)
HORIZON, HORIZONS, SEEDS = 200, 10, 6
NUMBERS = ("radius", "oscillatory_radius", "ascent_radius", "growth", "sharpness")
BETAS = ("nominal_step", "nominal_exponent", "blackbox_step", "blackbox_exponent")


@dataclass(frozen=True)
class Run:
    """A learned optimizer with its constants, meta-trained on the embedded task.

    `used` is a constant, by name and value, that is changed after meta-training.
    """

    name: str
    optimizer: str
    seed: int
    blackbox_step: float = 0.0
    exponent: float = 1e-3
    used: tuple[str, float] | None = None

    def config(self) -> lopt.TrainConfig:
        """The configuration of its short meta-training."""
        return lopt.TrainConfig(
            optimizer=self.optimizer,
            nominal_step=0.01,
            nominal_exponent=self.exponent,
            blackbox_step=self.blackbox_step,
            blackbox_exponent=self.exponent,
            horizon=HORIZON,
            pairs=4,
            learning_rate=3e-3,
            outer_steps=max(OUTER_STEPS),
            seed=self.seed,
        )

    def constants(self) -> dict[str, jax.Array]:
        """Return beta_1 to beta_4 in use, as arrays, so that one compilation serves all runs."""
        config = self.config().optimizer_config
        found = {name: jnp.float32(getattr(config, name)) for name in BETAS}
        return found | ({self.used[0]: jnp.float32(self.used[1])} if self.used else {})


def _with(run: Run, said: str, constant: str, *values: float) -> list[Run]:
    """The same meta-trained run, used with other values of a constant."""
    return [
        replace(run, name=f"{run.name}; used at {said} = {value:g}", used=(constant, value))
        for value in values
    ]


_STAR = [
    Run("STAR, β₃ = 1e-5", "star", 0, 1e-5),
    Run("STAR, β₃ = 1e-4", "star", 1, 1e-4),
    Run("STAR, β₃ = 1e-4, β₂ = β₄ = 0.1", "star", 2, 1e-4, exponent=0.1),
    Run("STAR, β₃ = 1e-3", "star", 3, 1e-3),
]
_BLACKBOX = [
    Run("Blackbox, β₃ = 1e-4", "blackbox", 4, 1e-4),
    Run("Blackbox, β₃ = 1e-3", "blackbox", 5, 1e-3),
]
_HYPERPARAM = [Run("Hyperparam, β₁ = 0.01", "hyperparam", 6)]
# Constants between those that are always stable and those that never are.
RUNS = (
    *_STAR,
    *_with(_STAR[0], "β₁", "nominal_step", 0.1),
    *_with(_STAR[1], "β₃", "blackbox_step", 2e-4, 4e-4),
    *_with(_STAR[2], "β₃", "blackbox_step", 2e-4),
    *_BLACKBOX,
    *_with(_BLACKBOX[1], "β₃", "blackbox_step", 2e-3, 4e-3),
    *_HYPERPARAM,
    *_with(_HYPERPARAM[0], "β₁", "nominal_step", 0.1, 0.5),
)


def tasks() -> tuple[lopt.Task, ...]:
    """The task of meta-training, and a deeper and narrower network on the same images."""
    data = fashion_mnist_8x8().train
    other = image_task("fashion-mnist-8x8-mlp, 16-16", data, MLP((16, 16), 10), classes=10)
    return lopt.make_task("fashion-mnist-8x8-mlp"), other


def meta_train(run: Run) -> list[lopt.MetaParameters]:
    """Meta-train; return the meta-parameters at each of `OUTER_STEPS`."""
    return _checkpoints(run.config())


@lru_cache
def _checkpoints(config: lopt.TrainConfig) -> list[lopt.MetaParameters]:
    trainer, found = lopt.Trainer(config), []
    state = trainer.init()
    for step in range(max(OUTER_STEPS) + 1):
        if step in OUTER_STEPS:
            found.append(jax.tree.map(np.asarray, jax.device_get(state.theta)))
        if step < max(OUTER_STEPS):
            state, _ = trainer.step(state, step)
    return found


def make_optimizer(optimizer: str, used: Any, *, fused: bool) -> optax.GradientTransformation:
    """Make an optimizer from meta-parameters and constants, which may be traced."""
    theta, constants = used
    return lopt.star(theta, replace(STARS[optimizer], **constants), fused=fused)


def numbers(found: lopt.monitor.ProbeReport) -> dict[str, Any]:
    """The numbers of the monitor at the last point of its trajectory, or None."""
    point = found.points[-1].to_json()
    return {name: _short(point[name]) for name in ("verdict", "direction", *NUMBERS)}


def outcome(curves: NDArray[np.float32], ceiling: float) -> dict[str, list[Any]]:
    """Return lists over the seeds: the steps until the loss stays above the ceiling ("survival") or
    above `RISE` times that at the horizon ("held"), and losses at half the horizon, the horizon and
    the end.
    """
    width = HORIZON // 10
    smoothed = smooth(clipped(curves, 10 * ceiling), width)
    at = {"half": HORIZON // 2, "horizon": HORIZON, "end": curves.shape[1]}
    return {
        "survival": survival(curves, smoothed, ceiling),
        "held": survival(curves, smoothed, RISE * smoothed[:, HORIZON - 1 : HORIZON]),
        **{name: [_short(float(v)) for v in smoothed[:, step - 1]] for name, step in at.items()},
    }


def measure(
    task: lopt.Task, optimizer: str, cases: list[tuple[Run, int, lopt.MetaParameters]]
) -> Iterator[dict[str, Any]]:
    """Measure optimizers of one kind on a task with the monitor, and their outcomes."""
    used = [(theta, run.constants()) for run, _, theta in cases]
    watch = probe(cases[0][0].config(), task)
    assert isinstance(watch, lopt.monitor.Probe)  # not the exact one of the linear optimizer
    watch = replace(
        watch, make_transformation=lambda one: make_optimizer(optimizer, one, fused=False)
    )
    curves = training_curves(
        task,
        lambda one: make_optimizer(optimizer, one, fused=True),
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *used),
        HORIZONS * HORIZON,
        held_out_keys(SEEDS),
    )
    for (run, step, _), one, losses in zip(cases, used, curves, strict=True):
        named = {"task": task.name, "run": run.name, "optimizer": optimizer}
        origin = {"trained": run.seed, "outer_step": step, "steps": losses.shape[1]}
        yield named | origin | numbers(watch.measure(one)) | outcome(losses, task.loss_ceiling)


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def compute(optimizer: str) -> list[Row]:
    """Measure every case of a kind of optimizer, on both tasks."""
    runs = [run for run in RUNS if run.optimizer == optimizer]
    cases = [(r, s, t) for r in runs for s, t in zip(OUTER_STEPS, meta_train(r), strict=True)]
    return [row for task in tasks() for row in measure(task, optimizer, cases)]


def cases_of(data: Data) -> list[Row]:
    """The cases of all optimizers."""
    return [row for rows in data.values() for row in rows]


KINDS = {
    "star": (BLUE, "o", "STAR"),
    "blackbox": (ORANGE, "s", "Blackbox"),
    "hyperparam": (PURPLE, "^", "Hyperparam"),
}
# Radii outside this range are drawn at the edge.
RADII = (0.6, 2.2)


class _Panel(NamedTuple):
    title: str
    x: Callable[[Row], float]
    known: str
    y: Callable[[Row], float]
    after: str
    ticks: tuple[float, ...]


def draw(rows: list[Row], horizon: int) -> Any:
    """Draw outcomes over what is known at the horizon; marks of unstable verdicts are filled."""
    use_style()
    used, steps = counted(rows, horizon), rows[0]["steps"]
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 3.2))
    for place, panel in zip(axes, _panels(steps, horizon), strict=True):
        _scatter(place, panel, used)
    for place in axes[1:]:
        place.axhline(1, color=GREY, lw=0.8, ls="--", zorder=0)
    for colour, marker, label in KINDS.values():
        axes[0].scatter([], [], s=26, marker=marker, color=colour, label=label)
    hollow = {"facecolors": "none", "edgecolors": GREY}
    axes[0].scatter([], [], s=26, **hollow, label="hollow: not unstable")
    axes[0].legend(loc="center right", bbox_to_anchor=(1.03, 0.72), fontsize=7.5, handletextpad=0.2)
    figure.tight_layout(w_pad=1)
    return figure


def _panels(steps: int, horizon: int) -> tuple[_Panel, ...]:
    def radius(row: Row) -> float:
        return float(np.clip(worst(row), *RADII))

    def survived(row: Row) -> float:
        return float(10 ** OUTCOMES["survival"](row))

    def ratio(row: Row) -> float:
        return float(np.exp(OUTCOMES["ratio"](row)))

    known = "larger of oscillatory\nand ascent radius"
    after = f"loss at step {steps} /\nloss at the horizon"
    few, many = (200, 500, 1000, 2000), (0.5, 1, 2, 5)
    return (
        _Panel("Radius vs. divergence", radius, known, survived, "steps survived", few),
        _Panel("Radius vs. rise", radius, known, ratio, after, many),
        _Panel(
            "Loss trend vs. rise",
            trend,
            f"loss at horizon (step {horizon}) /\nloss at step {horizon // 2}",
            ratio,
            after,
            many,
        ),
    )


def _scatter(axes: Any, panel: _Panel, rows: list[Row]) -> None:
    for kind, (colour, marker, _) in KINDS.items():
        mine = [row for row in rows if row["optimizer"] == kind]
        face = [colour if row["verdict"] == "unstable" else "white" for row in mine]
        places = [panel.x(row) for row in mine], [panel.y(row) for row in mine]
        axes.scatter(*places, s=26, marker=marker, facecolors=face, edgecolors=colour, lw=0.9)
    axes.axvline(1, color=GREY, lw=0.8, ls="--", zorder=0)
    axes.set(title=panel.title, xlabel=panel.known, ylabel=panel.after, yscale="log")
    axes.set_yticks(panel.ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


FIGURE = Figure(
    name="predictions",
    title="What the monitor predicts beyond the horizon",
    seen="Two scatter plots of the monitor's radius against what follows, with little relation, "
    "and one of the trend of the loss, with more",
    config={
        "outer_steps": list(OUTER_STEPS),
        "horizon": HORIZON,
        "horizons": HORIZONS,
        "seeds": SEEDS,
        "runs": [asdict(run) | {"used": list(run.used or ())} for run in RUNS],
    },
    parts=tuple(dict.fromkeys(run.optimizer for run in RUNS)),
    compute=compute,
    draw=lambda data: draw(cases_of(data), HORIZON),
    caption=lambda data: summary(cases_of(data), HORIZON),
    pages=lambda data: {PAGE: page(cases_of(data), HORIZON)},
)
