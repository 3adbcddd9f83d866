"""The settings of an inspection."""

from dataclasses import dataclass

__all__ = ["InspectSettings"]


@dataclass(frozen=True)
class InspectSettings:
    """The work that an inspection does, and when an eigenvalue counts as converged.

    Attributes
    ----------
    hessian_vectors : int
        Krylov vectors for the Hessian, one product each.
    vectors : int
        Krylov vectors for each of the other maps. Their transposes get as many, except where the
        update is elementwise: the eigenvalues of M H need no transpose then.
    sweeps : int
        Probes of the diagonal of M, and rounds of balancing where there are any, at least 2.
    tolerance : float
        Largest error of a converged value, relative to the largest modulus.
    seed : int
        Of the start vectors; the same at every call.
    joint : bool
        Whether the dynamics of parameters and hidden state together are looked at. They cost more
        than all the rest with an elementwise optimizer.

    Raises
    ------
    ValueError
        If a count is too small or the tolerance not positive.
    """

    hessian_vectors: int = 10
    vectors: int = 8
    sweeps: int = 4
    tolerance: float = 1e-2
    seed: int = 0
    joint: bool = False

    def __post_init__(self) -> None:
        for name, least in (("hessian_vectors", 1), ("vectors", 1), ("sweeps", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}; it is {getattr(self, name)}.")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive; it is {self.tolerance}.")
