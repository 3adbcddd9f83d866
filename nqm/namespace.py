"""One array namespace for the arguments of a formula: NumPy on the host, JAX inside `jit`."""

from fractions import Fraction
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from nqm import validate

Namespace = Any
AnyArray = Any


class Exact(np.ndarray[Any, Any]):
    """An array of fractions or balls, which a formula without roots carries through unrounded.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm.rules.linear import update_matrix
    >>> update_matrix(exact([[5.0]]), None, exact(0.5)).tolist()
    [[Fraction(-3, 2)]]
    """


def exact(value: Any, number: Any = Fraction) -> Exact:
    """The entries of a float64 array, or of one that is exact already, as such numbers."""
    given = np.asarray(value).astype(object)
    converted = np.empty(given.shape, dtype=object)
    converted[...] = np.vectorize(number, otypes=[object])(given)
    return converted.view(Exact)


def common(*values: Any) -> tuple[Namespace, list[Any]]:
    """The namespace of the arguments, and the arguments as its floating-point arrays.

    Lists, Python numbers and NumPy arrays join the namespace of whatever other array there is;
    all together take the dtype that the namespace promotes the arrays to. None stays None. Beside
    an `Exact` array all become exact.

    Raises
    ------
    ValueError
        For what is not an array of real numbers: complex numbers, truth values, text, objects and
        masked entries are never converted.

    Examples
    --------
    >>> import numpy as np
    >>> xp, (a, b) = common([[1, 2], [3, 4]], 0.5)
    >>> a.dtype == b.dtype == np.float64
    True
    """
    numbers = [type(x) for v in values if isinstance(v, Exact) for x in v.flat]
    number = next((kind for kind in numbers if kind is not int), None)
    if number is not None:
        xp = array_namespace(np.empty(0))
        return xp, [None if v is None else exact(v, number) for v in values]
    arrays = [v for v in values if is_array_api_obj(v)]
    foreign = [a for a in arrays if not isinstance(a, (np.ndarray, np.generic))]
    if not foreign:
        xp = array_namespace(np.empty(0))
        return xp, [None if v is None else validate.as_real("an argument", v) for v in values]
    xp = array_namespace(*foreign)
    for array in foreign:
        if not xp.isdtype(array.dtype, ("real floating", "integral")):
            validate.refuse_dtype("an argument", array.dtype)
    dtype = xp.result_type(*foreign)
    if not xp.isdtype(dtype, "real floating"):
        dtype = xp.asarray(1.0).dtype
    return xp, [None if v is None else _joined(xp, v, dtype) for v in values]


def _joined(xp: Namespace, value: Any, dtype: Any) -> Any:
    """The value as an array of a namespace other than NumPy."""
    if isinstance(value, (np.ndarray, np.generic, bool, complex)):
        value = validate.as_real("an argument", value)
    return xp.asarray(value, dtype=dtype)
