"""Compiled programs of a loss, kept for as long as the loss itself is."""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from types import MethodType
from typing import Any, Generic, TypeVar

__all__ = ["Programs"]

Program = TypeVar("Program")
MOST = 16


class Programs(Generic[Program]):
    """make(loss, *rest), made once for each combination; at most `MOST` are kept.

    The loss is held weakly, so that neither it nor data in its closure outlives it here: `make` is
    given a function that calls it, to be traced while a caller holds it. What is in `rest` is
    compared by value where it can be, else by identity, and held.

    Parameters
    ----------
    make : callable, (loss, *rest) -> program

    Examples
    --------
    >>> programs, loss = Programs(lambda loss, power: lambda p: loss(p) ** power), lambda p: 2 * p
    >>> programs(loss, 3) is programs(loss, 3), programs(loss, 3)(1)
    (True, 8)
    >>> del loss
    >>> len(programs)
    0
    """

    def __init__(self, make: Callable[..., Program]) -> None:
        self._make = make
        self._made: OrderedDict[tuple[Hashable, ...], Program] = OrderedDict()

    def __len__(self) -> int:
        return len(self._made)

    def __call__(self, loss: Callable[..., Any], *rest: Any) -> Program:
        """The program for this loss and the rest, made where there is none yet."""
        others = tuple(map(_key, rest))
        program = self._made.get((_reference(loss), *others))
        if program is None:
            reference = _reference(loss, self._forget)
            program = self._make(lambda *arguments: reference()(*arguments), *rest)
            self._made[reference, *others] = program
            if len(self._made) > MOST:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end((_reference(loss), *others))
        return program

    def _forget(self, reference: Any) -> None:
        for key in [key for key in self._made if key[0] is reference]:
            del self._made[key]


class _ById:
    """Something without a hash, compared by identity; called, it gives what it stands for."""

    def __init__(self, value: Any, get: Callable[[], Any]) -> None:
        self._id, self._get = id(value), get

    def __call__(self) -> Any:
        return self._get()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)


def _key(value: Any) -> Hashable:
    try:
        hash(value)
    except TypeError:
        return _ById(value, lambda: value)
    return value


def _reference(loss: Callable[..., Any], gone: Callable[[Any], None] | None = None) -> Any:
    """A weak reference that compares as the loss does, or a strong one where there is none."""
    kind = weakref.WeakMethod if isinstance(loss, MethodType) else weakref.ref
    try:
        reference = kind(loss, gone)
    except TypeError:
        return _ById(loss, lambda: loss)
    try:
        hash(reference)
    except TypeError:
        whole = _ById(loss, lambda: None)
        whole._get = kind(loss, gone and (lambda _: gone(whole)))
        return whole
    return reference
