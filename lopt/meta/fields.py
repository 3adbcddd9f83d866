"""A field of a configuration that documents itself."""

from dataclasses import field
from typing import Any


def setting(default: Any, help: str, paper: Any = None, unset: str = "the optimizer's own") -> Any:
    """A dataclass field that documents itself: `paper` is the paper's value where it prints one,
    and `unset` says what a default of None stands for.
    """
    return field(default=default, metadata={"help": help, "paper": paper, "unset": unset})
