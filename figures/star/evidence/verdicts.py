"""Each claim of section 5.3 with its verdict, the numbers behind it and a command."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from figures.engine.figure import Data
from figures.star.evidence.experiments import EPISODE, outer_steps_to
from figures.star.evidence.outcomes import (
    clipped_losses,
    events,
    happened,
)
from figures.star.settings import Setting
from lopt.tasks.images import CEILING_OVER_CHANCE

HOLDS, PARTLY, FAILS, UNTESTED = "holds", "holds in part", "does not hold", "not tested"
# An optimizer whose uses end the horizon above this share of the loss of chance has not learned to
# train; whether it would diverge beyond the horizon is then not tested.
CHANCE = 0.97
Rows = Mapping[str, Sequence[str]]
STAR, HEAVIER, ADAM = "STAR, weight decay 0.1", "STAR, weight decay 0.5", "tuned Adam"
NADAMW = "tuned NAdamW"
AFTER = " after ten times the outer steps"


def longer(label: str) -> str:
    """The label of an optimizer after ten times the outer steps."""
    return f"{label}, 10 × outer steps"


class Claim(NamedTuple):
    """A row of the table; the claim holds if all conditions do, and in part if some do; without
    conditions it is not tested.
    """

    text: str
    conditions: Sequence[Any]
    numbers: str
    command: str

    @property
    def verdict(self) -> str:
        """The verdict in Markdown."""
        met = list(map(bool, self.conditions))
        if not met:
            return f"**{UNTESTED}**"
        return f"**{HOLDS if all(met) else PARTLY if any(met) else FAILS}**"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row in Markdown."""
        return self.text, self.verdict, self.numbers, f"`{self.command}`"


def claims(data: Data, setting: Setting, rows: Rows) -> list[Claim]:
    """The claims on one task with the conditions that decide their verdicts."""
    found = [
        _diverges(data, setting, rows["Blackbox"]),
        _stays(data, setting, [*rows[STAR], *rows[HEAVIER]]),
        *(_faster(data, setting, rows, other) for other in ("Blackbox", "Hyperparam")),
        _weight_decay(data, rows),
        _helps(data, setting, rows, "preconditioner", "python -m figures app3"),
        _helps(data, setting, rows, "nominal term", "python -m figures app4"),
        *(
            _lower(data, setting, rows[STAR], rows[other], other)
            for other in ("Hyperparam", "tuned Adam")
        ),
    ]
    if NADAMW in rows:
        found.append(_ends_lower(data, rows))
    if longer(STAR) in rows:
        later = {label: rows[longer(label)] for label in (STAR, HEAVIER, "Blackbox", "Hyperparam")}
        found += [
            _diverges(data, setting, later["Blackbox"], AFTER),
            _stays(data, setting, [*later[STAR], *later[HEAVIER]], AFTER),
            *(
                _lower(data, setting, later[STAR], later[other], f"{other}, both{AFTER}")
                for other in ("Hyperparam", "Blackbox")
            ),
        ]
    return found


def _diverges(data: Data, setting: Setting, runs: Sequence[str], after: str = "") -> Claim:
    wrong = max(_share(data, runs, "diverges"), _share(data, runs, "rises"))
    idle = wrong == 0 and not has_learned(data, runs)
    unmoved = (
        "; but its loss at the horizon is still that of chance, so that this says little"
        if idle
        else ""
    )
    return Claim(
        f"Blackbox diverges beyond its horizon{after}",
        () if idle else (wrong > 0.5, wrong > 0),
        f"To step {setting.steps:,} it {_events(data, runs)}"
        f"{_further(data, setting, runs)}{unmoved}.",
        f"python -m figures.star.inner_runs {runs[0]}",
    )


def _stays(data: Data, setting: Setting, runs: Sequence[str], after: str = "") -> Claim:
    away, up = (_share(data, runs, what) for what in ("diverges", "rises"))
    return Claim(
        f"STAR stays stable beyond its horizon{after}",
        (away + up == 0, up < 0.5),
        f"To step {setting.steps:,} it {_events(data, runs)}{_further(data, setting, runs)}.",
        f"python -m figures.star.inner_runs {runs[0]}",
    )


def _further(data: Data, setting: Setting, runs: Sequence[str]) -> str:
    """Say what happens far beyond the horizon to those that were used there."""
    far = {run: data[run]["far"] for run in runs if "far" in data[run]}
    return f"; to step {setting.long:,} it {_events(far, list(far))}" if far else ""


def _lower(
    data: Data, setting: Setting, own: Sequence[str], other: Sequence[str], name: str
) -> Claim:
    within, beyond = (against(data, own, other, key) for key in ("meta_loss", "final"))
    return _below(
        f"STAR has a lower mean loss over the horizon than {name}",
        within,
        f"STAR's mean loss over the horizon is {lower(within)}. Its loss at step "
        f"{setting.steps:,} is {lower(beyond)}.",
    )


def _ends_lower(data: Data, rows: Rows) -> Claim:
    """Compare with NAdamW, which is tuned for the end of the horizon, where its schedule ends."""
    within, end = (
        against(data, rows[STAR], rows[NADAMW], key) for key in ("meta_loss", "at_horizon")
    )
    return _below(
        f"STAR ends the horizon with a lower loss than {NADAMW}",
        end,
        f"STAR's loss at the end of the horizon is {lower(end)}, and its mean loss over the "
        f"horizon is {lower(within)}.",
    )


def _below(text: str, gains: Any, numbers: str) -> Claim:
    """The claim that a loss is lower: on every seed, or in part in the mean."""
    conditions = (gains > 0).all(), gains.mean() > 0
    return Claim(text, conditions, numbers, "python -m figures claims")


def _faster(data: Data, setting: Setting, rows: Rows, other: str) -> Claim:
    pairs = zip(rows[STAR], rows[other], strict=True)
    needed = [outer_steps_to(data[own]["level"], data[one]["level"][-1]) for own, one in pairs]
    reached = sorted(step for step in needed if step is not None)
    total = setting.budget["outer_steps"]
    numbers = (
        f"On {len(reached)} of {len(needed)} seeds STAR reaches the final level of {other} (the "
        f"mean over {EPISODE} outer steps)"
    )
    if reached:
        numbers += (
            f" after {', '.join(map(str, reached))} outer steps instead of {total}, at least "
            f"{total / reached[-1]:.1f} times fewer"
        )
    met = [step is not None for step in needed]
    return Claim(
        f"STAR meta-trains faster than {other}", met, f"{numbers}.", "python -m figures fig3"
    )


def _weight_decay(data: Data, rows: Rows) -> Claim:
    runs_of = {
        0.0: rows["STAR, weight decay 0"],
        0.1: rows[STAR],
        0.5: rows[HEAVIER],
        1.0: rows["STAR, weight decay 1.0"],
    }
    # A variant is compared on the seeds of meta-training that all have.
    common = min(map(len, runs_of.values()))
    runs_of = {decay: runs[:common] for decay, runs in runs_of.items()}
    means, ends = (
        {decay: clipped_losses(data, runs, key).mean() for decay, runs in runs_of.items()}
        for key in ("meta_loss", "final")
    )
    return Claim(
        "Weight decay is best between 0.1 and 0.5",
        [min(losses, key=losses.__getitem__) in (0.1, 0.5) for losses in (means, ends)],
        f"On {_seeds(common)} of meta-training, the mean loss over the horizon and the final loss "
        "are "
        + "; ".join(
            f"{means[decay]:.4f} and {ends[decay]:.4f} for weight decay {decay:g}, with rises in "
            f"{events(happened(data, runs, 'rises'))}"
            for decay, runs in runs_of.items()
        )
        + ".",
        "python -m figures app2",
    )


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _helps(data: Data, setting: Setting, rows: Rows, part: str, command: str) -> Claim:
    other = rows[f"STAR without {part}"]
    own = rows[STAR][: len(other)]
    within, beyond = (against(data, own, other, key) for key in ("meta_loss", "final"))
    return Claim(
        f"The {part} helps",
        [(gain > 0).all() for gain in (within, beyond)],
        f"On {_seeds(len(other))} of meta-training, the mean loss over the horizon with it is "
        f"{lower(within)}, and the loss at step "
        f"{setting.steps:,} is {lower(beyond)}. Without it, "
        f"{events(happened(data, other, 'rises'))} rise for good; with it, "
        f"{events(happened(data, own, 'rises'))}.",
        command,
    )


def against(data: Data, own: Sequence[str], other: Sequence[str], key: str = "meta_loss") -> Any:
    """The mean loss of `other` minus that of `own` on each held-out seed, ``[seeds]``."""
    theirs, ours = (clipped_losses(data, runs, key).mean(axis=0) for runs in (other, own))
    return theirs - ours


def lower(differences: Any) -> str:
    """Say how much lower or higher a loss is, and on how many seeds it is lower."""
    mean, count = differences.mean(), int((differences > 0).sum())
    word = "lower" if mean > 0 else "higher"
    return (
        f"{abs(mean):.4f} ± {differences.std(ddof=1):.4f} {word}, lower on {count} of "
        f"{differences.size} seeds"
    )


def has_learned(data: Data, runs: Sequence[str]) -> bool:
    """Whether the uses of an optimizer are below the loss of chance at the horizon."""
    chance = data[runs[0]]["ceiling"] / CEILING_OVER_CHANCE
    return bool(clipped_losses(data, runs, "at_horizon").mean() < CHANCE * chance)


def _share(data: Data, runs: Sequence[str], what: str) -> float:
    steps = happened(data, runs, what)
    return sum(step is not None for step in steps) / len(steps)


def _events(data: Data, runs: Sequence[str]) -> str:
    away, up = (events(happened(data, runs, what)) for what in ("diverges", "rises"))
    return f"diverges in {away} uses and rises for good in {up}"
