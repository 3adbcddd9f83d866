"""The versions of the libraries that a result depends on."""

from collections.abc import Mapping
from importlib.metadata import version

LIBRARIES = ("nqm-lopt", "jax", "jaxlib", "optax", "numpy")
# The libraries that determine the layout of a run's state.
SHAPING = ("nqm-lopt", "jax", "optax")


def versions() -> dict[str, str]:
    """The versions of the libraries that a result depends on."""
    return {name: version(name) for name in LIBRARIES}


def shown(of: Mapping[str, str]) -> str:
    """The versions that determine the layout of a run's state, for a message.

    Examples
    --------
    >>> shown({"optax": "0.2.5", "jax": "0.8.0", "numpy": "2.1"})
    'jax 0.8.0, optax 0.2.5'
    """
    return ", ".join(f"{name} {of[name]}" for name in SHAPING if name in of)
