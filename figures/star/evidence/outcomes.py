"""Text and tables about an optimizer, over all its runs and held-out seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from figures.engine import markdown
from figures.engine.figure import Data
from lopt.meta.evaluation.curves import clipped

Values = Sequence[float | None]
Kinds = Mapping[str, Sequence[str]]


def pooled(data: Data, runs: Sequence[str], key: str) -> Any:
    """A quantity over runs and held-out seeds, ``[runs * seeds]``; NaN if it is not finite."""
    return np.array([value for run in runs for value in data[run][key]], float)


def clipped_losses(data: Data, runs: Sequence[str], key: str) -> Any:
    """A loss of every run and held-out seed, ``[runs, seeds]``, cut at the ceiling."""
    return clipped(np.array([data[run][key] for run in runs], float), data[runs[0]]["ceiling"])


def brief_table(data: Data, kinds: Kinds) -> str:
    """A Markdown table of losses within and beyond the horizon and of rises, for a caption."""
    steps = data[next(iter(kinds.values()))[0]]["steps"]
    head = ("optimizer", "mean loss over the horizon", f"loss at step {steps:,}", "rises for good")
    return markdown.table(
        head,
        [
            (
                label,
                spread(pooled(data, runs, "meta_loss")),
                spread(pooled(data, runs, "final"), 4),
                events(happened(data, runs, "rises")),
            )
            for label, runs in kinds.items()
        ],
    )


def spread(values: Any, digits: int = 3) -> str:
    """Format mean and standard deviation, or the number of values that are not finite.

    Examples
    --------
    >>> spread(np.array([1.0, 2.0, 3.0])), spread(np.array([1.0, np.nan]))
    ('2.000 ± 1.000', '1.000 (1 of 2 not finite)')
    """
    fine = values[np.isfinite(values)]
    if not fine.size:
        return "not finite"
    if fine.size < values.size:
        return f"{fine.mean():.{digits}f} ({values.size - fine.size} of {values.size} not finite)"
    return f"{fine.mean():.{digits}f} ± {fine.std(ddof=1):.{digits}f}"


def events(steps: Values) -> str:
    """Say how many of the runs have an event, and from which step on.

    Examples
    --------
    >>> events([None, None]), events([None, 300, 20500])
    ('0 of 2', '2 of 3 (from step 300 to 20,500)')
    """
    had = sorted(int(step) for step in steps if step is not None)
    if not had:
        return f"0 of {len(steps)}"
    where = f"at step {had[0]:,}" if len(had) == 1 else f"from step {had[0]:,} to {had[-1]:,}"
    return f"{len(had)} of {len(steps)} ({where})"


def happened(data: Data, runs: Sequence[str], what: str) -> Values:
    """The steps at which runs diverge or rise for good, over all held-out seeds."""
    return [step for run in runs for step in data[run][what]]


def table(data: Data, kinds: Kinds) -> str:
    """A Markdown table of losses and events, with a row for each optimizer."""
    head = (
        "optimizer",
        "meta-loss",
        "loss at horizon",
        "final loss",
        "lowest loss",
        "diverges",
        "rises for good",
    )
    losses = ("meta_loss", "at_horizon", "final", "best")
    rows = []
    for label, runs in kinds.items():
        numbers = [spread(pooled(data, runs, key)) for key in losses]
        both = [events(happened(data, runs, what)) for what in ("diverges", "rises")]
        rows.append((label, *numbers, *both))
    return markdown.table(head, rows)


def monitored(data: Data, kinds: Kinds, places: Sequence[int]) -> str:
    """A table of the monitor's results at these inner steps and of the outcome, a row per run."""
    head = ("run", *(f"step {place:,}" for place in places), "seeds that rise or diverge")
    rows = []
    for run in _watched(data, kinds):
        seen = {point["inner_step"]: _seen(point) for point in data[run]["monitor"]}
        pairs = list(zip(data[run]["rises"], data[run]["diverges"], strict=True))
        bad = sum(any(step is not None for step in pair) for pair in pairs)
        rows.append((run, *(seen.get(place, "") for place in places), f"{bad} of {len(pairs)}"))
    return markdown.table(head, rows)


def _watched(data: Data, kinds: Kinds) -> list[str]:
    """The runs that the monitor has measured."""
    return [run for runs in kinds.values() for run in runs if "monitor" in data[run]]


def _seen(point: dict[str, Any]) -> str:
    """Format the verdict, the largest oscillatory modulus and the sharpness.

    Examples
    --------
    >>> _seen({"verdict": "stable", "oscillatory_radius": 0.9161, "ascent_radius": None,
    ...        "sharpness": 12.97})
    'stable, 0.916, 13'
    >>> _seen({"verdict": "unstable", "oscillatory_radius": None, "ascent_radius": 1.0143,
    ...        "sharpness": 7.97})
    'unstable (ascent 1.014), –, 7.97'
    """
    radius, ascent, sharpness = (
        point[name] for name in ("oscillatory_radius", "ascent_radius", "sharpness")
    )
    climbs = point["verdict"] == "unstable" and (ascent or 0) > max(radius or 0, 1)
    return ", ".join(
        (
            point["verdict"] + (f" (ascent {ascent:.3f})" if climbs else ""),
            "–" if radius is None else f"{radius:.3f}",
            "–" if sharpness is None else f"{sharpness:.3g}",
        )
    )


def seen_at(found: dict[str, Any], place: int) -> str:
    """Format the monitor's results for a run at an inner step."""
    return next(_seen(point) for point in found["monitor"] if point["inner_step"] == place)


def foretold(data: Data, kinds: Kinds, place: int) -> str:
    """Say how often the verdict at an inner step agrees with the outcome."""
    counts: dict[bool, list[bool]] = {True: [], False: []}
    for run in _watched(data, kinds):
        verdict = next(p["verdict"] for p in data[run]["monitor"] if p["inner_step"] == place)
        steps = [*data[run]["rises"], *data[run]["diverges"]]
        counts[verdict == "stable"].append(any(step is not None for step in steps))
    calm, other = counts[True], counts[False]
    return (
        f"Of the {len(other)} runs whose verdict at step {place:,} is not stable, {sum(other)} "
        f"rise or diverge later in some use; {sum(calm)} of the {len(calm)} stable ones do."
    )
