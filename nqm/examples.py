"""The paper's matrices and the counterexamples, by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nqm.quadratic import NoisyQuadratic
from nqm.untrusted import quoted
from nqm.validate import Array


@dataclass(frozen=True, eq=False)
class Example:
    """A named problem: H, and where the example needs them P, alpha and dbar.

    Attributes
    ----------
    name, summary : str
        What to call it and what it shows.
    hessian : (N, N) array
        H.
    preconditioner : (N, N) array or None
        P, or P~ where `disturbance_bound` is given.
    nominal_step : float or None
        alpha.
    disturbance_bound : (N,) array or None
        dbar of (15).

    Examples
    --------
    >>> from nqm import check, example
    >>> shown = example("theorem1-real-eigenvalues")
    >>> check(shown.hessian, shown.preconditioner, shown.nominal_step).verdict
    'unstable'
    """

    name: str
    summary: str
    hessian: Array
    preconditioner: Array | None = None
    nominal_step: float | None = None
    disturbance_bound: Array | None = None

    @property
    def quadratic(self) -> NoisyQuadratic:
        """H with the noise and the initial state of the paper: S = I, phi_0 ~ N(0, 10 I)."""
        identity = np.eye(self.hessian.shape[0])
        return NoisyQuadratic(self.hessian, identity, None, 10 * identity)  # type: ignore[arg-type]


def _example(
    name: str,
    summary: str,
    hessian: list[list[float]],
    preconditioner: list[list[float]] | None = None,
    nominal_step: float | None = None,
    disturbance_bound: list[float] | None = None,
) -> Example:
    P = None if preconditioner is None else np.array(preconditioner, dtype=np.float64)
    d = None if disturbance_bound is None else np.array(disturbance_bound, dtype=np.float64)
    return Example(name, summary, np.array(hessian, dtype=np.float64), P, nominal_step, d)


EXAMPLES = {
    e.name: e
    for e in (
        _example("paper", "the Hessian (A.30) of Figures 1 and 2", [[1.11, 0.596], [0.596, 0.486]]),
        _example(
            "theorem1-real-eigenvalues",
            "P diagonalizable with eigenvalues 0 and 1/2, (9) and (10) hold, A has eigenvalue -2",
            [[2, 1], [1, 2]],
            [[0, 2], [0, 0.5]],
            0.0,
        ),
        _example(
            "theorem1-complex-spectrum",
            "P with real eigenvalues, (9) and (10) strict, A has 1 +- i sqrt(6)/4",
            [[2, 1], [1, 2]],
            [[0, -1.5], [0, 0.25]],
            0.25,
        ),
        _example(
            "theorem1-conservative",
            "symmetric P where (9) and (10) certify no step and every step in [0, 2] is stable",
            [[1, 0], [0, 0.01]],
            [[0, 0], [0, 50]],
            1.0,
        ),
        _example(
            "lemma2-real-eigenvalues",
            "Lemma 2 as printed fails: P has real eigenvalues and (13) holds, (12) is unstable",
            [[5, 4], [4, 5]],
            [[0, 2], [0, 0.5]],
            0.0,
        ),
        _example(
            "lemma3-without-commuting",
            "(16) and (17) hold with P~ >= 0, yet Delta = diag(1, 1/100) is unstable",
            [[1.1, -2.0], [-2.0, 4.1]],
            [[3 / 40, 6 / 40], [6 / 40, 12 / 40]],
            0.01,
            [1.0, 1.0],
        ),
        _example(
            "switched-disturbance",
            "every fixed Delta is stable, but one that alternates makes the error grow 1.25-fold",
            [[1, 0], [0, 1]],
            [[0.75, -0.5], [1.75, 1.75]],
            0.1,
            [1.0, 1.0],
        ),
        _example(
            "noise-at-minus-one",
            "rho = 1 with eigenvalue -1: the noise adds up, Cov_t = 4 t s",
            [[1]],
            None,
            2.0,
        ),
        _example(
            "transient",
            "rho = 1/2, yet the parameters grow a thousandfold before they decay",
            [[1, 0], [0, 1]],
            [[0.5, 1000], [0, 0.5]],
            0.0,
        ),
        _example(
            "minibatch",
            "batch size 4: mean-square stable only below 1.289315, in the mean up to 2",
            [[1, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0.1, 0], [0, 0, 0, 0.1]],
            None,
            1.5,
        ),
        _example(
            "ill-conditioned",
            "kappa = 1e10 with its inverse as P: rho = 0, and no useful bound sees it",
            [[1, 0], [0, 1e-10]],
            [[1, 0], [0, 1e10]],
            0.0,
        ),
    )
}
"""Name -> Example."""


def example(name: str) -> Example:
    """The example called `name`; `paper` has the Hessian (A.30) of the paper's experiments.

    Parameters
    ----------
    name : str
        A key of `EXAMPLES`.

    Returns
    -------
    Example

    Raises
    ------
    ValueError
        If there is no such example; the message lists them.

    Examples
    --------
    >>> from nqm import example
    >>> example("paper").hessian.tolist()
    [[1.11, 0.596], [0.596, 0.486]]
    """
    if name not in EXAMPLES:
        raise ValueError(f"no example is called {quoted(name)}; choose from {', '.join(EXAMPLES)}.")
    return EXAMPLES[name]
