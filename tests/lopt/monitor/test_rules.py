"""Warning rules: what they read, when they are due, what they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.monitor.probing.warning_rules import ACTIONS, QUANTITIES, WarningRule, Warnings


@given(
    limit=st.floats(0, 100).map(lambda x: float(f"{x:g}")),
    count=st.integers(1, 9),
    action=st.sampled_from(ACTIONS),
    quantity=st.sampled_from(QUANTITIES),
)
def test_a_rule_is_read_back_from_its_text(limit, count, action, quantity) -> None:
    rule = WarningRule(limit, count, action, quantity)
    assert WarningRule.parse(rule.text()) == rule


def test_spaces_and_a_missing_count() -> None:
    assert WarningRule.parse(" radius >1.05: log ") == WarningRule(1.05, 1, "log")
    assert WarningRule.parse("oscillatory-radius>1 for 2:checkpoint").quantity == (
        "oscillatory_radius"
    )


BAD = {
    "radius<1.05 for 3: stop": "a rule reads QUANTITY>LIMIT for COUNT: ACTION",
    "": "a rule reads",
    "radius>1.05 for 3": "a rule reads",
    "radius>big for 3: stop": "the limit in rule .* is no number: 'big'",
    "radius>nan: stop": "the limit of a rule must be finite",
    "radius>inf: stop": "the limit of a rule must be finite",
    "radius>-1: stop": "the limit of a rule must be finite and >= 0",
    "radius>1.05 for 2.5: stop": "no whole number: '2.5'",
    "radius>1.05 for 0: stop": "at least 1 probe; it waits for 0",
    "radius>1.05 for 3: panic": "must be one of log, checkpoint, stop, raise-weight-decay",
    "loss>1.05 for 3: stop": "the quantity of a rule must be one of radius",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_rule_says_what_is_wrong(text) -> None:
    with pytest.raises(ValueError, match=BAD[text]):
        WarningRule.parse(text)


@given(
    radii=st.lists(st.sampled_from([0.9, 1.0, 1.1, None, float("nan"), float("inf")]), max_size=12),
    count=st.integers(1, 3),
)
def test_a_rule_is_due_while_the_last_known_radii_are_all_above(radii, count) -> None:
    watch = Warnings([WarningRule(1.0, count, "stop")])
    known: list[float] = []
    for radius in radii:
        due = watch.see({"radius": radius})
        if radius is None or radius != radius:
            assert due == []
            continue
        known.append(radius)
        above = len(known) >= count and all(r > 1.0 for r in known[-count:])
        assert bool(due) == above


def test_the_worst_point_counts_and_rules_are_independent() -> None:
    stop, log = WarningRule(1.2, 1, "stop"), WarningRule(2.0, 2, "log", "growth")
    watch = Warnings([stop, log])
    assert watch.see({"radius": 1.0, "growth": 3.0}, {"radius": 1.3, "growth": 1.0}) == [stop]
    assert watch.see({"radius": None, "growth": 3.0}) == [log]
