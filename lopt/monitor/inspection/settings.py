"""The settings of an inspection."""

from dataclasses import dataclass
from typing import ClassVar

from lopt.monitor.krylov.settings import SpectrumSettings

__all__ = ["InspectSettings"]


@dataclass(frozen=True)
class InspectSettings(SpectrumSettings):
    """How much work an inspection does, and when an eigenvalue counts as converged.

    Attributes
    ----------
    hessian_vectors : int
        Krylov vectors for the Hessian, each of which costs one product.
    vectors : int
        Krylov vectors for each of the other maps. Their transposes get as many, unless the update
        is elementwise: the eigenvalues of M H then need no transpose.
    sweeps : int
        Probes of the diagonal of M, and rounds of balancing if the map is balanced; at least 2.
    tolerance : float
        The largest error of a converged value, relative to the largest modulus.
    seed : int
        The seed of the start vectors, which are the same at every call.
    joint : bool
        Whether the joint dynamics of parameters and hidden state are analysed. With an elementwise
        optimizer this costs more than everything else together.

    Raises
    ------
    ValueError
        If a count is too small or the tolerance is not positive.
    """

    hessian_vectors: int = 10
    vectors: int = 8
    sweeps: int = 4
    tolerance: float = 1e-2
    seed: int = 0
    joint: bool = False

    least_sweeps: ClassVar[int] = 2  # so that two probes can disagree
