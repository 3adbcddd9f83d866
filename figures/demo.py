"""Check stability, meta-train STAR on real images, and draw the results: ``make demo``.

    python -m figures.demo [FOLDER]

An unfinished run in FOLDER (default: ``demo``) is resumed; a finished one is replaced.
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import lopt.cli
import nqm.cli
from figures.engine.averages import smooth
from figures.engine.style import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    level_line,
    plt,
    unit_circle,
    use_style,
)
from lopt.cli.evaluate import table
from lopt.cli.tables import table_console
from lopt.meta.evaluation.comparison import Evaluation, evaluate_run, find
from lopt.meta.evaluation.curves import clipped, held_out_keys
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.watch import probe
from lopt.optimizers.files.saved import load

SEEDS, HORIZONS = 8, 5
SHIPPED = "fashion-mnist-mlp"
CHECKS = (("inside the stable interval", "1.0"), ("outside it", "1.5"))


def main(arguments: list[str]) -> int:
    """Run the demo; return the exit code."""
    plt.switch_backend("Agg")  # files alone are drawn
    folder = Path(arguments[0]) if arguments else Path("demo")
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    for where, step in CHECKS:
        _title(console, f"The paper's Hessian (A.30), nominal step {where}")
        console.print(f"$ nqm check --hessian paper --nominal-step {step}", style="dim")
        nqm.cli.main(["check", "--hessian", "paper", "--nominal-step", step])
    _title(console, "Meta-training STAR by PES on 8x8 Fashion-MNIST")
    run = RunDirectory(folder / "run")
    code = _train(console, run)
    if code:
        return code
    _title(console, f"Held-out seeds, to {HORIZONS} times the horizon")
    console.print(
        "Training with STAR, with STAR before meta-training, with Adam at 8 rates, and with the "
        "STAR that comes with the package …",
        style="dim",
    )
    evaluation = with_shipped(evaluate_run(run, SEEDS, HORIZONS))
    spectra = eigenvalues(run)
    picture = folder / "demo.png"
    draw(run, evaluation, spectra).savefig(picture)
    plt.close("all")
    table_console().print(table(evaluation))
    console.print(f"\n{verdict(evaluation)}")
    console.print(f"\nTook {time.monotonic() - began:.0f} s. Written:")
    for path, what in (
        (picture, "the plots"),
        (run.result, "the trained meta-parameters, for lopt.load"),
        (run.metrics_file, "meta-loss and eigenvalues, one JSON object per line"),
    ):
        console.print(f"  {path}  {what}")
    return 0


def _title(console: Console, text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


def _train(console: Console, run: RunDirectory) -> int:
    """Meta-train; an unfinished run is resumed, a finished one is removed first."""
    if run.result.exists():
        shutil.rmtree(run.path)
    if run.config_file.exists():
        command = ["train", "--resume", str(run.path)]
    else:
        command = ["train", "--run", str(run.path)]
    console.print(f"$ lopt {' '.join(command)}", style="dim")
    return lopt.cli.main(command)


def eigenvalues(run: RunDirectory) -> dict[str, NDArray[np.complex128]]:
    """The converged eigenvalues at the horizon, before and after meta-training."""
    config = run.read_config()
    watch = probe(config, config.make_task())
    thetas = {"untrained": load(run.initial), "meta-trained": load(run.result)}
    return {
        name: watch.measure(saved.meta_parameters).eigenvalues()[-1]
        for name, saved in thetas.items()
    }


def with_shipped(evaluation: Evaluation) -> Evaluation:
    """Add the STAR that comes with the package, which was meta-trained on another task."""
    found = find(SHIPPED, evaluation.task, evaluation.horizon)
    curves = found.curves(HORIZONS * evaluation.horizon, held_out_keys(SEEDS))
    own = {"STAR as shipped, of another task": next(iter(curves.values()))}
    return evaluation._replace(curves={**evaluation.curves, **own})


def verdict(evaluation: Evaluation) -> str:
    """Summarize the table in a sentence."""
    trained, adam, untrained, *_ = evaluation.summaries()

    def against(other: Any) -> str:
        gap = trained.meta_loss - other.meta_loss
        lower = int(np.sum(gap < 0))
        return f"{gap.mean():+.3f} ± {gap.std(ddof=1):.3f} (lower on {lower} of {gap.size} seeds)"

    return (
        f"Meta-loss of the meta-trained STAR minus that of {adam.name}: {against(adam)}; minus "
        f"that before meta-training: {against(untrained)}. Beyond the horizon its loss rises or "
        f"diverges on {trained.rises} of {trained.meta_loss.size} seeds."
    )


def draw(
    run: RunDirectory, evaluation: Evaluation, spectra: dict[str, NDArray[np.complex128]]
) -> Any:
    """Draw the meta-loss, the inner training and the eigenvalues."""
    use_style()
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), width_ratios=(1, 1.35, 1))
    _meta_training(axes[0], run, evaluation)
    _inner_training(axes[1], evaluation)
    _complex_plane(axes[2], spectra)
    figure.tight_layout(w_pad=2)
    return figure


def _meta_training(axes: Any, run: RunDirectory, evaluation: Evaluation) -> None:
    lines = [m for m in run.read_metrics() if "meta_loss" in m]
    steps = [m["outer_step"] for m in lines]
    losses = np.array([m["meta_loss"] for m in lines])
    axes.plot(steps, losses, color=BLUE, alpha=0.2, lw=0.6)
    axes.plot(steps, smooth(losses, 50), color=BLUE)
    adam = evaluation.summaries()[1]
    level_line(axes, float(adam.meta_loss.mean()), f"tuned {adam.name}", ORANGE, right=True)
    axes.set(title="Meta-training lowers the meta-loss", xlabel="outer step", ylabel="meta-loss")
    late = smooth(losses, 50)[len(losses) // 20 :]
    axes.set_ylim(late.min() - 0.03, max(late.max(), float(adam.meta_loss.mean())) + 0.03)


def _inner_training(axes: Any, evaluation: Evaluation) -> None:
    horizon = evaluation.horizon
    colours = (BLUE, ORANGE, GREY, PURPLE)
    for (name, curves), color in zip(evaluation.curves.items(), colours, strict=False):
        runs = smooth(clipped(curves, evaluation.ceiling), 25)
        steps = np.arange(1, runs.shape[1] + 1)
        axes.plot(steps, runs.mean(0), color=color, label=name)
        axes.fill_between(steps, runs.min(0), runs.max(0), color=color, alpha=0.15, lw=0)
    axes.axvline(horizon, color="black", ls="--", lw=1)
    axes.annotate(
        "meta-training horizon", (horizon, 0.97), xycoords=("data", "axes fraction"),
        xytext=(4, 0), textcoords="offset points", fontsize=8, va="top",
    )  # fmt: skip
    late = np.concatenate([smooth(c, 25)[:, horizon // 10 :] for c in evaluation.curves.values()])
    low, high = np.nanpercentile(np.minimum(late, evaluation.ceiling), (0.5, 99.5))
    axes.set(title="Training with it, beyond its horizon", xlabel="inner step", ylabel="loss")
    axes.set_ylim(low - 0.03, high + 0.1)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.9))


def _complex_plane(axes: Any, spectra: dict[str, NDArray[np.complex128]]) -> None:
    unit_circle(axes)
    for (name, values), color, marker in zip(
        spectra.items(), (PURPLE, BLUE), ("x", "o"), strict=True
    ):
        style = {"facecolors": "none", "edgecolors": color} if marker == "o" else {"color": color}
        axes.scatter(values.real, values.imag, s=22, marker=marker, label=name, **style)
    reach = max(1.1, *(1.05 * float(np.abs(v).max(initial=0)) for v in spectra.values()))
    axes.set(
        title="Eigenvalues at the horizon", xlabel="real", ylabel="imaginary",
        xlim=(-reach, reach), ylim=(-reach, reach),
    )  # fmt: skip
    axes.legend(loc="lower left", fontsize=8, handletextpad=0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
