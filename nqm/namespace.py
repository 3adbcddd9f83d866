"""One array namespace for the arguments of a formula: NumPy on the host, JAX inside `jit`."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

Namespace = Any
AnyArray = Any


def common(*values: Any) -> tuple[Namespace, list[Any]]:
    """The namespace of the arguments, and the arguments as its floating-point arrays.

    Lists, Python numbers and NumPy arrays join the namespace of whatever other array there is;
    all together take the dtype that the namespace promotes the arrays to. None stays None.

    >>> import numpy as np
    >>> xp, (a, b) = common([[1, 2], [3, 4]], 0.5)
    >>> a.dtype == b.dtype == np.float64
    True
    """
    arrays = [v for v in values if is_array_api_obj(v)]
    foreign = [a for a in arrays if not isinstance(a, (np.ndarray, np.generic))]
    if not foreign:
        xp = array_namespace(np.empty(0))
        return xp, [None if v is None else np.asarray(v, dtype=np.float64) for v in values]
    xp = array_namespace(*foreign)
    dtype = xp.result_type(*foreign)
    if not xp.isdtype(dtype, "real floating"):
        dtype = xp.asarray(1.0).dtype
    return xp, [None if v is None else xp.asarray(v, dtype=dtype) for v in values]
