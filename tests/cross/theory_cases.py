"""What ties the proved formulas to nqm: the registry, and random problems."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import nqm
from theory.catalogue import BY_NAME, find

Array = npt.NDArray[np.float64]
TIED: dict[str, str] = {}
RTOL = 1e-9
H_AXIS = 4  # the dimension of the random problems

# Steps of a proof and definitions: what they enter is tied, they are no function of their own.
PROOF_ONLY = {
    "a step inside the proof of Lemma 5": [f"eq-a{n}" for n in (5, 6, 7, 8, 10, 11, 12, 13)],
    "a step inside the proof of Theorem 1": ["eq-a17"],
    "a step inside the proof of Lemma 2": ["eq-a19", "eq-a20", "eq-a21"],
    "a step inside the proof of Lemma 3": [f"eq-a{n}" for n in range(22, 30)],
    "the unit of an axis": ["figure-2"],
    "it defines a transformed gradient": ["eq-11"],
}


def ties(function: str, *names: str) -> Callable[[Any], Any]:
    """Record which function implements the statements; both must exist."""
    for name in names:
        assert name in BY_NAME, name
        TIED[name] = function
    return lambda test: test


def formula(name: str, key: str, size: int = H_AXIS) -> Callable[..., Any]:
    """The numeric form of one formula of a statement."""
    return find(name).numeric(size=size)[key]


class Case:
    """A random problem: H, S, P (symmetric and not), alpha inside Theorem 1, initial state."""

    def __init__(self, seed: int, n: int = H_AXIS) -> None:
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.H, self.S, self.S0 = (self.definite(n) for _ in range(3))
        self.h = float(np.linalg.eigvalsh(self.H)[-1])
        self.alpha = 0.9 / self.h
        skewed = rng.normal(size=(n, n))
        self.P = 0.3 / self.h * (skewed + skewed.T) / np.linalg.norm(skewed + skewed.T, 2)
        self.skewed = 0.3 / self.h * skewed / np.linalg.norm(skewed, 2)
        self.m = rng.normal(size=n)
        self.Pi0 = self.S0 + np.outer(self.m, self.m)
        self.A = nqm.update_matrix(self.H, self.skewed, self.alpha)
        self.M = self.alpha * np.eye(n) + self.skewed
        self.root = nqm.root_and_inverse_root(self.H)[0]
        self.model = nqm.NoisyQuadratic(self.H, self.S, self.m, self.S0)
        self.rule = nqm.plain_rule(self.H, self.skewed, self.alpha)

    def definite(self, n: int) -> Array:
        factor = self.rng.normal(size=(n, n))
        return factor @ factor.T / n + 0.1 * np.eye(n)


def largest(matrix: Array) -> float:
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])


def smallest(matrix: Array) -> float:
    return -largest(-matrix)
