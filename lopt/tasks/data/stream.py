"""Data that does not fit on the device: windows of it pass through, loaded ahead by Grain."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol


class Source(Protocol):
    """Examples by index: an array, a memory map, a file of records."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


@dataclass(frozen=True, eq=False)
class Windows:
    """A source's examples in random order, so many at a time; over and over, each pass in an order
    of its own.

    Window t depends on t and the seed alone, so that a run that resumes sees what it would have
    seen. Inner steps draw their batches from the window of their outer step, uniformly.

    Parameters
    ----------
    source
        Gives a pytree of arrays for every index below its length.
    size
        Examples a window; at most the source's length.
    seed
        Of the order.
    ahead
        Windows that are loaded before they are asked for.

    Raises
    ------
    ValueError
        Where the size does not fit, or Grain is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> windows = Windows(np.arange(100, 110), size=5)
    >>> both = np.concatenate([windows[0], windows[1]])      # the first pass
    >>> sorted(both.tolist()) == list(range(100, 110))
    True
    >>> [bool((a == windows[t]).all()) for t, a in zip((1, 2), windows.since(1))]
    [True, True]
    """

    source: Source
    size: int
    seed: int = 0
    ahead: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.size <= len(self.source):
            raise ValueError(
                f"size must be from 1 to the number of examples, {len(self.source)}; it is "
                f"{self.size}."
            )
        self._dataset()

    def _dataset(self) -> Any:
        try:
            import grain
        except ImportError:
            raise ValueError(
                "streaming data needs Grain; install it with: pip install 'nqm-lopt[stream]'"
            ) from None
        return (
            grain.MapDataset.source(self.source).seed(self.seed).shuffle().repeat().batch(self.size)
        )

    def __getitem__(self, outer_step: int) -> Any:
        """The window of an outer step: a pytree of arrays with a leading axis of `size`."""
        return self._dataset()[outer_step]

    def since(self, outer_step: int) -> Iterator[Any]:
        """The windows from this one on, loaded ahead by threads."""
        import grain

        options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=self.ahead)
        return iter(self._dataset()[outer_step:].to_iter_dataset(options))
