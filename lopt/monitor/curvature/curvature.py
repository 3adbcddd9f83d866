"""The extreme curvatures of a loss over batches, with numerical error and sampling error."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lopt.checks import require
from lopt.monitor.curvature.density import Density
from lopt.monitor.curvature.products import Products, Select, factorization, paths_of
from lopt.monitor.derivatives.step import Batch, Loss, Params
from lopt.monitor.krylov.eigenvalues import EigenEstimate, ritz_values
from lopt.monitor.krylov.values import Value, extreme
from lopt.monitor.picture import pyplot
from nqm.json_values import json_value

__all__ = ["Curvature", "SampledValue", "curvature"]

ONE_BATCH = "one batch says nothing of the error that comes from the choice of the batch"
GRID = 400


@dataclass(frozen=True)
class SampledValue:
    """An extreme eigenvalue of the mean Hessian over batches.

    Attributes
    ----------
    measured : Value
        The eigenvalue over these batches with its numerical error.
    sampling : float
        The standard error from the spread over the batches, for the eigenvalue over all data that
        such batches may be drawn from; NaN with one batch.
    bias : float
        How much the choice of batches raises the largest eigenvalue on average (it lowers the
        smallest), to second order and over the Krylov space; NaN with one batch.
    """

    measured: Value
    sampling: float
    bias: float

    @property
    def interval(self) -> tuple[float, float]:
        """Two standard errors and the numerical error around the value without its bias."""
        middle, reach = self.measured.value - self.bias, 2 * self.sampling + self.measured.error
        return middle - reach, middle + reach

    def text(self) -> str:
        """The value with both errors."""
        if np.isnan(self.sampling):
            return self.measured.text()
        return f"{self.measured.text()} (numerical) ± {self.sampling:.2g} (batches)"

    def to_json(self) -> dict[str, Any]:
        """The fields; NaN and infinity as None."""
        sampled = {"sampling": json_value(self.sampling), "bias": json_value(self.bias)}
        return {**self.measured.to_json(), **sampled}


@dataclass(frozen=True)
class Curvature:
    """The result of `curvature`.

    Attributes
    ----------
    largest, smallest : SampledValue
        The extreme eigenvalues.
    spectrum : EigenEstimate
        All Ritz values of the mean Hessian.
    batches, dimension : int
        The number of batches and of selected parameters.
    tensors : dict from path to SampledValue
        The largest eigenvalue of each tensor's own block, where they were asked for.
    density : Density or None
        Where probes were asked for.
    """

    largest: SampledValue
    smallest: SampledValue
    spectrum: EigenEstimate
    batches: int
    dimension: int
    tensors: dict[str, SampledValue] = field(default_factory=dict)
    density: Density | None = None

    def text(self) -> str:
        """Every number in words, a line each."""
        data = "1 batch" if self.batches == 1 else f"{self.batches} batches"
        lines = [
            f"Hessian of {self.dimension:,} parameters over {data}",
            f"largest eigenvalue   {self.largest.text()}",
            f"smallest eigenvalue  {self.smallest.text()}",
        ]
        if self.batches == 1:
            lines.append(f"the errors are numerical: {ONE_BATCH}")
        if self.density is not None:
            trace = self.density.trace
            lines.append(f"trace                {trace.value:.5g} ± {trace.error:.1g}")
        width = max(map(len, self.tensors), default=0)
        lines += [f"  {path:<{width}}  {value.text()}" for path, value in self.tensors.items()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Every number, as plain Python; None for what is not finite."""
        density = None
        if self.density is not None:
            pairs = zip(self.density.nodes, self.density.weights, strict=True)
            quadratures = [{"nodes": json_value(x), "weights": json_value(w)} for x, w in pairs]
            density = {"trace": json_value(self.density.trace), "quadratures": quadratures}
        return {
            "largest": self.largest.to_json(),
            "smallest": self.smallest.to_json(),
            "spectrum": self.spectrum.to_json(),
            "batches": self.batches,
            "dimension": self.dimension,
            "tensors": {path: value.to_json() for path, value in self.tensors.items()},
            "density": density,
        }

    def plot(self, axes: Any = None, threshold: float | None = None) -> Any:
        """Draw the density with its error, the extreme eigenvalues with theirs, and a threshold
        such as 2 / step; return the axes.

        Raises
        ------
        ValueError
            If the density was not asked for, or matplotlib is missing.
        """
        if self.density is None:
            raise ValueError("there is no density to draw; call curvature with probes=10.")
        if axes is None:
            _, axes = pyplot().subplots(figsize=(6, 3.2), layout="constrained")
        low, high = (v.measured.value for v in (self.smallest, self.largest))
        reach = max(high - low, 1e-12)
        width = reach / 100
        grid = np.linspace(low - 0.05 * reach, high + 0.05 * reach, GRID)
        middle, error = self.density.pdf(grid, width)
        floor = middle.max() * 1e-6
        axes.fill_between(
            grid, np.maximum(middle - error, floor), middle + error, alpha=0.3, color="#0072B2"
        )
        axes.plot(grid, np.maximum(middle, floor), color="#0072B2")
        for value in (self.smallest, self.largest):
            at, around = value.measured.value, 2 * np.nan_to_num(value.sampling)
            axes.errorbar(at, 3 * floor, xerr=around + value.measured.error, fmt="o", color="k")
        axes.set_title("dots: extremes, two standard errors", loc="left", fontsize=9)
        if threshold is not None:
            axes.axvline(threshold, color="#D55E00", ls="--", label="threshold")
            axes.legend(frameon=False)
        axes.set(yscale="log", xlabel="eigenvalue of the Hessian", ylabel="density")
        axes.set_ylim(floor, 3 * middle.max())
        return axes


def curvature(
    loss: Loss,
    params: Params,
    batches: Iterable[Batch],
    *,
    select: Select | None = None,
    scale: Params | None = None,
    tensors: bool = False,
    vectors: int = 20,
    probes: int = 0,
    tolerance: float = 1e-2,
    seed: int = 0,
) -> Curvature:
    """The extreme eigenvalues of the Hessian of the mean loss over batches, and how much of each
    comes from the choice of the batches.

    Every product passes over all batches, so that they need not fit on the device together. The
    numerical error is that of Lanczos' method, as for `inspect`. The sampling error is the
    standard error of the quadratic forms ``y^T H_b y`` of the Ritz vector y over the batches b,
    which is the jackknife's to first order.

    Parameters
    ----------
    loss : callable, (params, batch) -> scalar
        A mean over the examples of a batch.
    params : pytree of float arrays
    batches : iterable of pytrees
        One or more batches, readable more than once. Each counts by its number of examples.
    select : callable, path -> bool, optional
        Which tensors belong to the Hessian, by paths such as ``Dense_0/kernel``; all by default.
        The others are held fixed.
    scale : pytree, optional
        The non-negative diagonal of an elementwise preconditioner M, like the parameters. The
        result is then about ``M^(1/2) H M^(1/2)``, which has the eigenvalues of M H.
    tensors : bool
        Also measure the largest eigenvalue of the block of each selected tensor.
    vectors : int
        Products for each spectrum, and as many vectors of memory.
    probes : int
        Random vectors for the spectral density, of `vectors` products each; at least 2, or 0 for
        no density.
    tolerance : float
        The largest error of a converged value, relative to the largest modulus.
    seed : int
        Of the start vectors.

    Returns
    -------
    Curvature

    Raises
    ------
    ValueError
        If an argument is out of range, nothing is selected, or the batches can be read only once.

    Examples
    --------
    A curvature of 2 on average, from batches that say 1.5, 2 and 2.5:

    >>> import jax.numpy as jnp
    >>> found = curvature(lambda p, c: jnp.mean(c) * jnp.sum(p**2) / 2, jnp.ones(3),
    ...                   [jnp.full(4, c) for c in (1.5, 2.0, 2.5)])
    >>> round(found.largest.measured.value, 5), round(found.largest.sampling, 3)
    (2.0, 0.289)
    """
    require("vectors", vectors, vectors >= 1, "at least 1")
    require("probes", probes, probes == 0 or probes >= 2, "0 or at least 2")
    require("tolerance", tolerance, tolerance > 0, "positive")
    products = Products(loss, params, batches, select, scale)
    draws = np.random.default_rng(seed)
    found = factorization(products, draws.normal(size=products.dimension), vectors)
    spectrum = ritz_values(found, symmetric=True, tolerance=tolerance)
    blocks = {}
    if tensors:
        paths = paths_of(params)
        for own in products.blocks():
            start = draws.normal(size=own.dimension)
            part = factorization(own, start, vectors)
            values = ritz_values(part, symmetric=True, tolerance=tolerance)
            blocks[paths[own.chosen[0]]] = _sampled(own, part.basis, values, largest=True)
    density = None
    if probes:
        starts = (draws.normal(size=products.dimension) for _ in range(probes))
        pairs = [_quadrature(products, start, vectors) for start in starts]
        nodes, weights = zip(*pairs, strict=True)
        density = Density(nodes, weights, products.dimension)
    return Curvature(
        largest=_sampled(products, found.basis, spectrum, largest=True),
        smallest=_sampled(products, found.basis, spectrum, largest=False),
        spectrum=spectrum,
        batches=len(products.weights),
        dimension=products.dimension,
        tensors=blocks,
        density=density,
    )


def _sampled(
    products: Products, basis: Any, spectrum: EigenEstimate, *, largest: bool
) -> SampledValue:
    """An extreme value with the spread of its quadratic form over the batches."""
    measured, count = extreme(spectrum, largest=largest), len(products.weights)
    nothing = SampledValue(measured, float("nan"), float("nan"))
    if count == 1 or np.isnan(measured.value):
        return nothing
    place = int(np.argmax(spectrum.values) if largest else np.argmin(spectrum.values))
    rotated = np.asarray(basis).T @ spectrum.vectors  # [n, m], the Ritz vectors
    forms: NDArray[np.float64] = np.array(
        [rotated.T @ product for product in products.each(rotated[:, place])]
    )
    weights = products.weights[:, None]
    away = forms - weights.T @ forms
    # Of a weighted mean; with equal weights the variance over the batches divided by their number.
    variance = count / (count - 1) * np.sum(weights**2 * away**2, axis=0)
    gaps = spectrum.values[place] - spectrum.values
    others = np.abs(gaps) > spectrum.residuals[place]
    bias = float(np.sum(variance[others] / gaps[others]))
    return SampledValue(measured, float(np.sqrt(variance[place])), bias)


def _quadrature(products: Products, start: Any, vectors: int) -> tuple[Any, Any]:
    """Nodes and weights from one random vector."""
    found = factorization(products, start, vectors)
    size = int(found.size)
    values, vectors_ = np.linalg.eigh(np.asarray(found.projection, np.float64)[:size, :size])
    return values, vectors_[0] ** 2
