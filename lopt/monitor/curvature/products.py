"""Products with the Hessian of the mean loss over batches that pass by one after the other."""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from lopt.monitor.derivatives.step import Batch, Loss, Params, require_float
from lopt.monitor.krylov.arnoldi import CANCELLED, ROUNDING_UNITS, KrylovFactorization
from lopt.monitor.programs import Programs

Vector = NDArray[np.float64]
Select = Callable[[str], bool]


@Programs
def _product(loss: Loss) -> Callable[[Params, Params, Batch], Params]:
    def run(params: Params, tangent: Params, batch: Batch) -> Params:
        return jax.jvp(lambda p: jax.grad(loss)(p, batch), (params,), (tangent,))[1]

    return jax.jit(run)


def paths_of(params: Params) -> list[str]:
    """The path of every tensor, such as ``Dense_0/kernel``, in the order of the leaves."""
    found = jax.tree_util.tree_leaves_with_path(params)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in found]


class Products:
    """H v for the mean loss over batches, H restricted to the selected tensors.

    Parameters
    ----------
    loss : callable, (params, batch) -> scalar
        A mean over the examples of the batch.
    params : pytree of float arrays
    batches : iterable of pytrees
        Read from its beginning for every product.
    select : callable, optional
        Whether the tensor of a path belongs; all do by default. The others are held fixed.
    scale : pytree, optional
        Non-negative, like the parameters: the products are those of ``D^(1/2) H D^(1/2)``.

    Raises
    ------
    ValueError
        If nothing is selected, the batches can be read only once or there are none, or a scale is
        negative.
    """

    def __init__(
        self,
        loss: Loss,
        params: Params,
        batches: Iterable[Batch],
        select: Select | None = None,
        scale: Params | None = None,
    ) -> None:
        require_float(params)
        self.run, self.params, self.batches = _product(loss), params, batches
        leaves, self.structure = jax.tree.flatten(params)
        self.shapes = [np.shape(leaf) for leaf in leaves]
        self.dtypes = [jnp.result_type(leaf) for leaf in leaves]
        paths = paths_of(params)
        self.chosen = [k for k, path in enumerate(paths) if select is None or select(path)]
        if not self.chosen:
            raise ValueError(f"select must take at least one of {', '.join(paths)[:300]}.")
        if iter(batches) is batches:
            raise ValueError(
                "batches must be readable more than once, as a list is; a generator is not. Pass "
                "an object whose __iter__ begins anew."
            )
        self.weights = self._weights()
        self.root = self._root(scale)

    @property
    def sizes(self) -> list[int]:
        """The number of parameters of each selected tensor."""
        return [int(np.prod(self.shapes[k])) for k in self.chosen]

    @property
    def dimension(self) -> int:
        """The number of selected parameters."""
        return sum(self.sizes)

    def blocks(self) -> "Iterator[Products]":
        """The same for each selected tensor alone."""
        roots: list[Any] = [None] * len(self.chosen)
        if self.root is not None:
            roots = np.split(self.root, np.cumsum(self.sizes)[:-1])
        for place, root in zip(self.chosen, roots, strict=True):
            part = copy(self)
            part.chosen, part.root = [place], root
            yield part

    @property
    def unit(self) -> Any:
        """The coarsest precision among the tensors."""
        return max((np.dtype(d) for d in self.dtypes), key=lambda d: np.finfo(d).eps)

    def _weights(self) -> Vector:
        """The share of each batch in the mean: its number of examples, if they have an axis."""
        sizes = []
        for batch in self.batches:
            lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
            (length,) = lengths if len(lengths) == 1 else ((),)
            sizes.append(float(length[0]) if length else 1.0)
        if not sizes:
            raise ValueError("batches must hold at least one batch; there is none.")
        return np.array(sizes) / np.sum(sizes)

    def _root(self, scale: Params | None) -> Vector | None:
        if scale is None:
            return None
        flat = self._joined(jax.tree.leaves(scale))
        if flat.size != self.dimension or not (flat >= 0).all():
            raise ValueError(
                "scale must be non-negative, of the structure and shapes of the parameters."
            )
        return np.sqrt(flat)

    def _joined(self, leaves: list[Any]) -> Vector:
        return np.concatenate([np.asarray(leaves[k], np.float64).ravel() for k in self.chosen])

    def tree(self, vector: Vector) -> Params:
        """The vector as a tree of the parameters, zero where nothing is selected."""
        parts = dict(zip(self.chosen, np.split(vector, np.cumsum(self.sizes)[:-1]), strict=True))
        leaves = [
            jnp.asarray(parts[k].reshape(shape), dtype) if k in parts else jnp.zeros(shape, dtype)
            for k, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True))
        ]
        return jax.tree.unflatten(self.structure, leaves)

    def each(self, vector: Vector) -> Iterator[Vector]:
        """The product with the Hessian of each batch in turn."""
        moved = vector if self.root is None else self.root * vector
        tangent = self.tree(moved)
        for batch in self.batches:
            product = self._joined(jax.tree.leaves(self.run(self.params, tangent, batch)))
            yield product if self.root is None else self.root * product

    def mean(self, vector: Vector) -> Vector:
        """The product with the Hessian of the mean loss."""
        total = np.zeros(self.dimension)
        for weight, product in zip(self.weights, self.each(vector), strict=True):
            total += weight * product
        return total


def factorization(products: Products, start: Vector, vectors: int) -> KrylovFactorization:
    """Lanczos on the host with full reorthogonalization in float64; the start is random throughout.

    The basis has ``vectors * dimension`` entries of eight bytes.
    """
    vectors = min(vectors, products.dimension)
    unit = float(np.finfo(products.unit).eps)
    basis, diagonal, below = [start / np.linalg.norm(start)], [], []
    scale = 0.0
    for index in range(vectors):
        remainder = products.mean(basis[-1])
        scale = max(scale, float(np.linalg.norm(remainder)))
        diagonal.append(float(basis[-1] @ remainder))
        rows, before = np.array(basis), np.inf
        # Twice is enough, and a third time where the vector lies inside the space.
        while (length := float(np.linalg.norm(remainder))) < CANCELLED * before:
            before = length
            remainder = remainder - rows.T @ (rows @ remainder)
        if not length > ROUNDING_UNITS * unit * scale:
            below.append(length if np.isnan(length) else 0.0)
            break
        below.append(length)
        if index + 1 < vectors:
            basis.append(remainder / length)
    size = len(diagonal)
    off = np.diag(below[: size - 1], -1)
    whole = np.diag(diagonal) + off + off.T
    following = remainder / below[-1] if below[-1] else np.zeros_like(remainder)
    return KrylovFactorization(
        basis=np.array(basis),  # type: ignore[arg-type]
        projection=whole.astype(products.unit),  # type: ignore[arg-type]
        coupling=np.asarray(below[-1]),  # type: ignore[arg-type]
        following=following,  # type: ignore[arg-type]
        size=np.asarray(size),  # type: ignore[arg-type]
        dimension=np.asarray(products.dimension),  # type: ignore[arg-type]
        random_share=np.asarray(1.0),  # type: ignore[arg-type]
        orthogonal=np.asarray(True),  # type: ignore[arg-type]
    )
