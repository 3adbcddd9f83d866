"""The errata document, generated from the statements: Markdown for docs/errata.md, and LaTeX."""

import re
from collections.abc import Callable, Iterable, Sequence

import sympy
from sympy import Basic

from theory.engine.statement import Formulas, Proof, Statement, Status
from theory.engine.steps import Step
from theory.engine.symbols import P_star
from theory.text import letters, trivial

TITLE = "Errata and sharper statements"
INTRODUCTION = (
    "What Harrison, Metz and Sohl-Dickstein, 'A Closer Look at Learned Optimization: "
    "Stability, Robustness, and Inductive Biases' (2022), states about the noisy quadratic "
    "model: what does not hold as printed, with exact counterexamples, what holds instead, and "
    "what can be said more sharply. Every formula below is proved, and every counterexample "
    "verified in exact rational arithmetic, by `python -m theory`; what rests on numerical "
    "evidence says so. This document is generated from the same formulas by `python -m theory "
    "--markdown` (or `--latex`)."
)
NOTATION = (
    "H the Hessian, 0 < H <= h I in the Loewner order; M = alpha I + P; A = I - M H; K = "
    "H^1/2; G = K M K; S = Cov(xi); rho the spectral radius; w the numerical radius."
)
GREEK = {
    **{
        name: name
        for name in ("alpha", "beta", "gamma", "delta", "kappa", "lambda", "mu", "xi", "pi")
    },
    **{
        name: name
        for name in ("rho", "sigma", "tau", "phi", "Delta", "Lambda", "Pi", "Theta", "Omega")
    },
    "eps": "varepsilon",
}
SIGNS = {"<=": "le", ">=": "ge", "!=": "ne", "+-": "pm"}
WORD = re.compile(
    r"`[^`]*`|(?<![A-Za-z])(?:" + "|".join(GREEK) + r")(?![A-Za-z])|<=|>=|!=|\+-|.", re.S
)
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{mark: "\\" + mark for mark in "&%$#_{}"},
}
UNICODE = dict(zip([*GREEK, *SIGNS], "αβγδκλμξπρστφΔΛΠΘΩε≤≥≠±", strict=True))
Proved = Sequence[tuple[Statement, Proof]]


def math(expression: Basic) -> str:
    """An expression in LaTeX, without the dollar signs."""
    return sympy.latex(expression, mat_delim="[", symbol_names={P_star: "P^{*}"}).replace(
        r"\mathbb{I}", "I"
    )


class Markdown:
    """The marks of Markdown with dollar-sign formulas."""

    def title(self, text: str) -> list[str]:
        return [f"# {text}", ""]

    def section(self, text: str) -> list[str]:
        return [f"## {self.words(text)}", ""]

    def entry(self, statement: Statement) -> list[str]:
        return [f"### {self.words(_heading(statement))}", ""]

    def paragraph(self, text: str) -> list[str]:
        return [self.words(text), ""]

    def items(self, lines: Iterable[str]) -> list[str]:
        return [*[f"* {line}" for line in lines], ""]

    def strong(self, text: str) -> str:
        return f"**{text}**"

    def formula(self, expression: Basic) -> str:
        return f"${math(expression)}$"

    def words(self, text: str) -> str:
        return "".join(map(self.token, WORD.findall(text)))

    def token(self, token: str) -> str:
        """A character, a Greek letter's name, a relation or code between backquotes."""
        if len(token) > 1:
            return UNICODE.get(token, token)
        return "\\" + token if token in "*_<>|[]" else token

    def document(self, lines: list[str]) -> str:
        return "\n".join(lines).rstrip() + "\n"


class Latex(Markdown):
    """The marks of a LaTeX article."""

    def title(self, text: str) -> list[str]:
        return [rf"\title{{{text}}}\date{{}}\maketitle", ""]

    def section(self, text: str) -> list[str]:
        return [rf"\section*{{{self.words(text)}}}", ""]

    def entry(self, statement: Statement) -> list[str]:
        return [rf"\paragraph{{{self.words(_heading(statement))}.}}"]

    def items(self, lines: Iterable[str]) -> list[str]:
        return [r"\begin{itemize}", *[rf"\item {line}" for line in lines], r"\end{itemize}", ""]

    def strong(self, text: str) -> str:
        return rf"\textbf{{{text}}}"

    def formula(self, expression: Basic) -> str:
        return rf"$\displaystyle {math(expression)}$"

    def token(self, token: str) -> str:
        if token.startswith("`"):
            return rf"\texttt{{{token[1:-1]}}}"
        if token in GREEK or token in SIGNS:
            return rf"$\{(GREEK | SIGNS)[token]}$"
        return LATEX_SPECIAL.get(token, token)

    def document(self, lines: list[str]) -> str:
        head = [
            r"\documentclass{article}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage{amsmath,amssymb}",
            r"\usepackage[margin=2.5cm]{geometry}",
            r"\begin{document}\sloppy",
        ]
        return "\n".join([*head, *lines, r"\end{document}"]) + "\n"


def _heading(statement: Statement) -> str:
    numbers = []
    for equation in statement.statement.equations:
        is_number = re.fullmatch(r"(A\.)?\d+", equation)
        numbers.append(f"({equation})" if is_number else equation)
    where = f", {', '.join(numbers)}" if numbers else ""
    return f"{statement.name}{where}: {statement.title}"


def _named(style: Markdown, formulas: Formulas) -> list[str]:
    return [
        f"{style.words(name.replace('_', ' '))}: {style.formula(f)}" for name, f in formulas.items()
    ]


def _checked(style: Markdown, steps: Iterable[Step]) -> list[str]:
    lines = []
    for step in steps:
        relation = ""
        if step.shows is not None and not trivial(step.shows):
            relation = f": {style.formula(step.shows)}"
        lines.append(style.words(step.says) + (relation if len(relation) < 400 else ""))
    return lines


def entry(style: Markdown, statement: Statement, proof: Proof) -> list[str]:
    """One statement: what holds, the correction, the counterexample."""
    lines = style.entry(statement)
    lines += style.paragraph(f"{statement.status.value.capitalize()}. {statement.remark}".strip())
    holds = style.strong("What holds.") + " " + style.words(statement.statement.text)
    assumptions = "; ".join(statement.statement.assumptions)
    lines += [holds + (style.words(f" Assuming: {assumptions}.") if assumptions else ""), ""]
    lines += style.items(_named(style, statement.formulas))
    if letters(statement):
        lines += style.paragraph(f"({letters(statement)})")
    if proof.counterexample:
        lines += [style.strong("Counterexample."), ""]
        lines += style.items(
            [*_named(style, statement.witness), *_checked(style, proof.counterexample)]
        )
    return lines


def document(style: Markdown, proved: Proved) -> str:
    """The errata: what is false or corrected, what is sharper, what is true as printed."""
    groups: list[tuple[str, Callable[[Statement], bool]]] = [
        ("False as printed", lambda s: s.of_the_paper and s.status is Status.FALSE),
        ("True after a correction", lambda s: s.of_the_paper and s.status is Status.CORRECTED),
        (
            "Sharper statements",
            lambda s: s.status in (Status.SHARPER, Status.BOUND, Status.REFUTED),
        ),
    ]
    lines = (
        style.title(TITLE)
        + style.paragraph(INTRODUCTION)
        + style.paragraph("Notation: " + NOTATION)
    )
    counts = {status: sum(s.status is status for s, _ in proved) for status in Status}
    lines += style.items(f"{style.words(status.value)}: {n}" for status, n in counts.items() if n)
    for title, belongs in groups:
        lines += style.section(title)
        for statement, proof in proved:
            if belongs(statement):
                lines += entry(style, statement, proof)
    lines += style.section("True as printed")
    for statement, proof in proved:
        if statement.status is Status.TRUE and proof.counterexample:
            lines += entry(style, statement, proof)
    lines += style.items(
        style.words(f"{_heading(s)}. {s.remark}".strip())
        for s, p in proved
        if s.status is Status.TRUE and not p.counterexample
    )
    return style.document(lines)
