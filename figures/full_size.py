"""Meta-training on the paper's Fashion-MNIST MLP, 2,000 outer steps unattended: the curve.

    python -m figures.full_size [RUN]

draws docs/full-size.png from figures/results/full_size.json. With a run directory, finished or not,
its metrics are condensed into that file first. The run is

    lopt train --run RUN --task fashion-mnist-mlp --horizon 2000 --pairs 2 --devices 2 \\
        --outer-steps 2000 --nominal-step 0.01 --learning-rate 0.002 --final-learning-rate 0.1 \\
        --monitor-every 500
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from figures.style import BLUE, GREY, use_style
from lopt.meta.run import RunDirectory

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "full_size.json"
PICTURE = ROOT / "docs" / "full-size.png"
SMOOTHING = 0.98  # the paper's


def condense(run: RunDirectory) -> dict[str, Any]:
    """What the picture needs of a run."""
    lines = run.read_metrics()
    document = json.loads(run.config_file.read_text())
    return {
        **document,
        "meta_loss": [round(x["meta_loss"], 5) for x in lines if "meta_loss" in x],
        "skipped": max(x["skipped"] for x in lines if "skipped" in x),
        "verdicts": [[x["outer_step"], x["monitor"]["verdict"]] for x in lines if "monitor" in x],
    }


def smoothed(values: np.ndarray, factor: float = SMOOTHING) -> np.ndarray:
    """The exponential moving average, its start unbiased."""
    held, weight, found = 0.0, 0.0, []
    for value in values:
        held, weight = factor * held + (1 - factor) * value, factor * weight + 1 - factor
        found.append(held / weight)
    return np.array(found)


def draw(data: dict[str, Any]) -> None:
    """The meta-loss over the outer steps."""
    use_style()
    loss = np.array(data["meta_loss"])
    outer = np.arange(1, loss.size + 1)
    figure, axes = plt.subplots(figsize=(5.2, 2.9))
    axes.plot(outer, loss, color=GREY, lw=0.4, alpha=0.6)
    axes.plot(outer, smoothed(loss), color=BLUE)
    pairs, horizon = data["config"]["pairs"], data["config"]["horizon"]
    axes.set_title(f"STAR on the 784-128-128-10 MLP, {pairs} antithetic pairs, horizon {horizon}")
    axes.set_xlabel("outer step")
    axes.set_ylabel("meta-loss")
    low, high = np.quantile(loss, (0.0, 0.995))
    axes.set_ylim(low - 0.02, high + 0.02)
    axes.annotate(
        f"smoothed by {SMOOTHING}: {smoothed(loss)[-1]:.3f}",
        (outer[-1], smoothed(loss)[-1]),
        xytext=(-4, 30),
        textcoords="offset points",
        ha="right",
        color=BLUE,
    )
    figure.savefig(PICTURE)
    plt.close(figure)


def main(arguments: list[str]) -> None:
    """Condense a run, if one is given, and draw."""
    if arguments:
        RESULTS.write_text(json.dumps(condense(RunDirectory(arguments[0])), indent=0) + "\n")
    data = json.loads(RESULTS.read_text())
    draw(data)
    final = smoothed(np.array(data["meta_loss"]))[[0, -1]]
    print(
        f"{len(data['meta_loss'])} outer steps, {data['skipped']} skipped; meta-loss smoothed "
        f"{final[0]:.3f} to {final[1]:.3f}; verdicts {data['verdicts']}; wrote {PICTURE}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
