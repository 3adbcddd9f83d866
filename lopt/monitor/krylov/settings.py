"""The settings that an inspection and a probe share, and their validation."""

from typing import ClassVar

from lopt.checks import require

__all__ = ["SpectrumSettings"]


class SpectrumSettings:
    """What an analysis of the spectrum at one state can be told.

    The subclasses are dataclasses. They declare the fields themselves, because the defaults and
    the order of positional arguments differ.

    Raises
    ------
    ValueError
        If a number of vectors or sweeps is too small, or the tolerance is not positive.
    """

    hessian_vectors: int
    vectors: int
    sweeps: int
    tolerance: float
    seed: int
    least_sweeps: ClassVar[int] = 0

    def __post_init__(self) -> None:
        least = {"hessian_vectors": 1, "vectors": 1, "sweeps": self.least_sweeps}
        for name, count in least.items():
            require(name, getattr(self, name), getattr(self, name) >= count, f"at least {count}")
        require("tolerance", self.tolerance, self.tolerance > 0, "positive")
