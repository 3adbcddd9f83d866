"""What was measured of the terms of kept runs: where the blackbox term moves the weights, and what
the controller does to the nominal term.
"""

from collections.abc import Sequence
from typing import Any

from figures.engine import markdown
from figures.star.meta_runs import kept
from figures.star.settings import CIFAR, FASHION, tenfold

DRIFTING = ("star-wd0.1-0", tenfold("star-wd0.1"), tenfold("star-wd0.5"))


def stopped() -> str:
    """Say what the loss is if the blackbox term is left out late."""
    found = {name: kept(f"{name}.drift") for name in DRIFTING}
    return ", ".join(
        f"{one['silent_final']:.3f} instead of {one['final']:.3f} for `{name}`"
        for name, one in found.items()
    )


def drifts() -> str:
    """A table of the drift of STAR's terms, a row for each run and step."""
    head = (
        *("run", "step", "weights", "nominal term", "blackbox term"),
        *("cosine with the weights", "with the gradient"),
    )
    rows = []
    for name in DRIFTING:
        found = kept(f"{name}.drift")
        rows += [
            (
                name,
                f"{point['step']:,}",
                f"{point['weights']:.3f}",
                *(f"{point[term]:.2g}" for term in ("nominal", "blackbox")),
                *(f"{point[along]:+.2f}" for along in ("along_weights", "along_gradient")),
            )
            for point in found["points"]
        ]
    return markdown.table(head, rows)


def _controlled() -> dict[str, Any]:
    """What is measured of the controller of every run of Hyperparam, by run."""
    kind = "hyperparam"
    runs = (*FASHION.runs(kind), tenfold(kind), *CIFAR.runs(kind))
    return {run: kept(f"{run}.controller") for run in runs}


def factors() -> tuple[float, float]:
    """The least and the largest factor of the nominal term."""
    found = _controlled().values()
    return min(one["least"] for one in found), max(one["most"] for one in found)


def controllers() -> str:
    """A table of what Hyperparam learns, a row for each run."""
    rows = [
        (
            run,
            f"{one['least']:.5f} to {one['most']:.5f}",
            f"{one['scale']:.3f}",
            momenta(one["momenta"]),
        )
        for run, one in _controlled().items()
    ]
    return markdown.table(("run", "factor", "scale", "momenta"), rows)


def momenta(momenta: Sequence[float]) -> str:
    """Format momenta.

    Examples
    --------
    >>> momenta([0.9, 0.99876])
    '0.9, 0.9988'
    """
    return ", ".join(f"{momentum:.4g}" for momentum in momenta)
