"""Every numbered statement is there, is proved, and has the status that exact "
"arithmetic gives it.
"""

import functools
import sys

import pytest
import sympy

from theory.catalogue import BY_NAME, STATEMENTS, UnknownStatementError, find
from theory.engine.statement import Proof, Statement, Status

NUMBERED = (
    ["theorem-1", *(f"lemma-{n}" for n in range(2, 6))]
    + [f"eq-{n}" for n in range(6, 20)]
    + [f"eq-a{n}" for n in range(1, 30)]
)
# What the corrections of the paper must say, decided by hand from the counterexamples.
VERDICTS = {
    Status.FALSE: ["theorem-1", "lemma-2", "footnote-3", "instability-loss", "cancellation-convex"],
    Status.CORRECTED: [
        "eq-8",
        "eq-14",
        "eq-19",
        "eq-a2",
        "eq-a14",
        "eq-a15",
        "eq-a16",
        "footnote-1",
    ],
    Status.TRUE: [
        "lemma-3",
        "lemma-4",
        "lemma-5",
        "eq-6",
        "eq-7",
        "eq-18",
        "eq-a1",
        "eq-a17",
        "eq-a18",
    ],
}
SHARPER = [
    "symmetric-exact", "symmetric-interval", "monotone-loss", "theorem-1-prime",
    "eigenvector-condition", "numerical-radius", "lyapunov", "small-gain", "diagonal-exact",
    "congruence", "vertices-2", "vertices-3", "d-scaling", "modal-loss", "stationary-loss",
    "doubling", "expected-gradient", "gradient-variance", "momentum", "heavy-ball", "aggmo",
    "nesterov", "adam-frozen", "heavy-ball-complex", "mean-square", "delay", "averaging",
    "normalized-limit", "normalized-dimension-one", "normalized-schedule",
]  # fmt: skip


@functools.cache
def proof_of(name: str) -> Proof:
    """The proof of a statement, which several tests read."""
    return find(name).prove()


def test_every_numbered_statement_is_an_object() -> None:
    assert [s.name for s in STATEMENTS][: len(NUMBERED)] == NUMBERED
    assert len(BY_NAME) == len(STATEMENTS)
    assert set(SHARPER) <= set(BY_NAME)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)
def test_it_is_proved(statement: Statement) -> None:
    proof = proof_of(statement.name)
    verified = [step for step in proof.steps if step.holds]
    assert verified, "nothing is verified"
    assert statement.statement.text
    assert statement.formulas
    if statement.status in (Status.FALSE, Status.REFUTED):
        assert any(step.holds for step in proof.counterexample), "a false statement needs a witness"
    if statement.status is Status.CORRECTED:
        assert statement.remark, "the correction must be said"
    if statement.printed and statement.status is not Status.TRUE:
        assert proof.counterexample, "what was printed must be refuted"


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)
def test_its_formulas_are_what_is_proved(statement: Statement) -> None:
    """The derivation reads every formula: none is decoration."""
    read: set[str] = set()

    class Watched(dict):
        def __getitem__(self, key: str) -> sympy.Basic:
            read.add(key)
            return super().__getitem__(key)

        def items(self):
            read.update(self.keys())
            return super().items()

    list(statement.derive(Watched(statement.formulas)))
    assert read == set(statement.formulas)


@pytest.mark.parametrize("statement", [s for s in STATEMENTS if s.refute], ids=lambda s: s.name)
def test_witnesses_are_exact(statement: Statement) -> None:
    """Counterexamples hold in rational arithmetic: no float anywhere."""
    for value in statement.witness.values():
        for number in sympy.Matrix([value]) if not hasattr(value, "shape") else value:
            assert number.is_Rational
    for step in proof_of(statement.name).counterexample:
        assert step.shows is None or not step.shows.atoms(sympy.Float)


@pytest.mark.parametrize(("status", "name"), [(k, n) for k, v in VERDICTS.items() for n in v])
def test_the_verdict(status: Status, name: str) -> None:
    assert find(name).status is status


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Theorem 1", "theorem-1"),
        ("(A.14)", "eq-a14"),
        ("eq 9", "eq-9"),
        ("A14", "eq-a14"),
        ("19", "eq-19"),
    ],
)
def test_usual_spellings_are_found(spelling: str, name: str) -> None:
    assert find(spelling).name == name


def test_unknown_names_list_the_nearest() -> None:
    with pytest.raises(UnknownStatementError, match="nearest: theorem-1"):
        find("theorm-1")
    with pytest.raises(UnknownStatementError, match="lists them"):
        find("zzzz")


def test_only_sympy_is_imported() -> None:
    """The static rule is tested by the layering test; here every module-level import is "
    "followed.
    """
    roots = {
        name.split(".")[0]
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("theory")
        for name in [getattr(value, "__module__", None) or "" for value in vars(module).values()]
    }
    assert not roots & {"numpy", "scipy", "jax", "nqm", "lopt"}
