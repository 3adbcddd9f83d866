"""The versions of the libraries that a result depends on."""

from collections.abc import Mapping
from importlib.metadata import version

LIBRARIES = ("nqm-lopt", "jax", "jaxlib", "optax", "numpy")
# Those that decide what the state of a run looks like.
SHAPING = ("nqm-lopt", "jax", "optax")


def versions() -> dict[str, str]:
    """The versions of the libraries that a result depends on."""
    return {name: version(name) for name in LIBRARIES}


def shown(of: Mapping[str, str]) -> str:
    """The versions that decide what the state of a run looks like, for a message.

    Examples
    --------
    >>> shown({"optax": "0.2.5", "jax": "0.8.0", "numpy": "2.1"})
    'jax 0.8.0, optax 0.2.5'
    """
    return ", ".join(f"{name} {of[name]}" for name in SHAPING if name in of)
