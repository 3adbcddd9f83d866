"""What `figures.monitor.growth` has measured, beside the outcomes: a section of predictions.md."""

import json
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np

from figures.engine.figure import RESULTS
from figures.engine.markdown import table
from figures.monitor.association import Confusion, associate
from figures.monitor.prediction_table import EVENTS, OUTCOMES, Row, trend

RESULT = RESULTS / "growth.json"
WINDOWS = (50, 100, 199)
NUMBERS = {
    **{f"growth {w}": f"growth over the last {w} steps" for w in WINDOWS},
    "radius": "radius of A, state frozen",
    "radius drift": "its change in a step",
    "sharpness": "1 - smallest Re λ(A)",
    "sharpness drift": "its change in a step",
}
WARNINGS: dict[str, Callable[[Row], bool]] = {
    **{f"growth over the last {w} steps > 0": lambda r, w=w: r[f"growth {w}"] > 0 for w in WINDOWS},  # type: ignore
    "growth over the last 50 steps > 0.01": lambda r: r["growth 50"] > 0.01,
    "the radius rises": lambda r: r["radius drift"] > 0,
    "a horizon on at this drift: sharpness > 2": lambda r: (
        r["sharpness"] + r["horizon steps"] * r["sharpness drift"] > 2
    ),
    "control: loss rose since half the horizon": lambda r: trend(r) > 1,
    "growth over the last 50 steps > 0, or the loss rose": lambda r: (
        r["growth 50"] > 0 or trend(r) > 1
    ),
}
SECTION = """
## Growth along real steps, and the drift of the spectrum

    python -m figures.monitor.growth

measures on three of the six seeds the largest finite-time Lyapunov exponent over the last steps
before the horizon, as `lopt.monitor.growth` does (nats a step, along the tangent that has grown
most since the start), and A = I - du/dparams - M H with the hidden state frozen, on one fixed batch
at the last two states: its spectral radius, 1 - its smallest real part (above 2 it oscillates), and
by how much both change from one state to the next. The mean over the seeds is compared with what
happens to {horizons} horizons; the correlations are with the ratio of losses on the other three
seeds. {cases} cases have all numbers; the loss at half the horizon is that of the cases above to
{agreement:.1%} in the median.

{conclusion}

{rises}

Among those whose loss was still falling at the horizon:

{falling}

{correlations}
"""


def joined(rows: list[Row], horizon: int) -> list[Row]:
    """The cases with the means over the seeds of what was measured; without those that lack one."""
    measured = {_key(row): row for row in json.loads(RESULT.read_text("utf-8"))}
    found = []
    for row in rows:
        own = measured.get(_key(row))
        if own is None or any(None in own[name] for name in NUMBERS):
            continue
        means = {name: float(np.mean(own[name])) for name in NUMBERS}
        off = float(np.max(np.abs(np.divide(own["half"], row["half"][: len(own["half"])]) - 1)))
        found.append(row | means | {"horizon steps": horizon, "off": off})
    return found


def _key(row: Row) -> tuple[Any, ...]:
    return row["task"], row["run"], row["outer_step"]


def section(rows: list[Row], horizon: int, conclusion: str) -> str:
    """The section, from the cases that are counted."""
    used = joined(rows, horizon)
    return SECTION.format(
        horizons=rows[0]["steps"] // horizon,
        cases=len(used),
        agreement=float(np.median([row["off"] for row in used])),
        conclusion=conclusion.strip(),
        rises=_confusions(used),
        falling=_confusions([row for row in used if trend(row) <= 1]),
        correlations=_correlations(used),
    )


def _confusions(rows: list[Row]) -> str:
    happened = [EVENTS["rises"](row) for row in rows]
    counts = {w: Confusion.count([warn(r) for r in rows], happened) for w, warn in WARNINGS.items()}
    return table(
        ("warning", "hits", "false alarms", "misses", "correct rejections", "p"),
        [(name, *map(str, astuple(c)), f"{c.p_value:.2g}") for name, c in counts.items()],
    )


def _correlations(rows: list[Row]) -> str:
    kinds = dict.fromkeys(row["optimizer"] for row in rows)
    lines = []
    for name, said in NUMBERS.items():
        each = [_against(rows, name), *(_against(rows, name, kind) for kind in kinds)]
        lines.append((f"{said} ({name})" if "drift" in name else said, *each))
    return table(("quantity at the horizon", "ρ (95 % over trainings)", *kinds), lines)


def _against(rows: list[Row], name: str, kind: str = "") -> str:
    mine = [row for row in rows if not kind or row["optimizer"] == kind]
    later = [OUTCOMES["ratio"](_other_seeds(row)) for row in mine]
    tasks, trained = ([row[column] for row in mine] for column in ("task", "trained"))
    found = associate([row[name] for row in mine], later, tasks, trained)
    interval = "" if kind else f" ({found.low:+.2f} to {found.high:+.2f})"
    return f"{found.rho:+.2f}{interval}"


def _other_seeds(row: Row) -> Row:
    half = len(row["end"]) // 2
    return row | {name: row[name][half:] for name in ("end", "horizon")}
