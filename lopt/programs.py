"""The programs that JAX makes of functions."""

from collections.abc import Iterator
from typing import Any

from jax.extend.core import jaxprs_in_params


def equations(program: Any) -> Iterator[Any]:
    """All equations of a jaxpr, and of the programs in it.

    Examples
    --------
    >>> import jax
    >>> made = jax.make_jaxpr(lambda x: jax.jit(lambda y: y + 1.0)(x) * 2.0)(1.0)
    >>> sorted(e.primitive.name for e in equations(made) if e.primitive.name in ("add", "mul"))
    ['add', 'mul']
    """
    for equation in getattr(program, "jaxpr", program).eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner)
