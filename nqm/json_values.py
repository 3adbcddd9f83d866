"""Numbers as JSON has them, which knows neither NaN nor infinity."""

import math


def json_value(value: object) -> object:
    """The value with null for NaN and infinities, lists for arrays and pairs for complex numbers.

    Examples
    --------
    >>> import numpy as np
    >>> json_value({"a": np.array([1.0, np.inf]), "b": (float("nan"), 2j)})
    {'a': [1.0, None], 'b': [None, [0.0, 2.0]]}
    """
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if hasattr(value, "tolist"):
        return json_value(value.tolist())
    if isinstance(value, complex):
        return [json_value(value.real), json_value(value.imag)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
