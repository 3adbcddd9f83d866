"""A run directory: configuration, metrics (one JSON object a line), checkpoints and the
trained meta-parameters.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lopt.meta.checkpoint import steps
from lopt.meta.config import TrainConfig
from lopt.meta.lock import holder, locked
from lopt.optimizers.whole import written_whole

LIBRARIES = ("nqm-lopt", "jax", "jaxlib", "optax", "numpy")


class RunError(RuntimeError):
    """A run that cannot go on; the message says why, what is left and what to do."""


class RunDirectory:
    """The files of one run.

    ``config.json`` holds the whole configuration and the versions; ``metrics.jsonl`` a line for
    every outer step and one for every measurement of the eigenvalues, ``events.out.tfevents.*``
    the same for TensorBoard; ``checkpoints/``; ``meta_parameters.npz`` and ``initial.npz`` the
    trained and the initial theta; ``lock`` is held by the process that writes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def config_file(self) -> Path:
        """The configuration as JSON."""
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def result(self) -> Path:
        """The trained meta-parameters; there once the run is complete."""
        return self.path / "meta_parameters.npz"

    @property
    def initial(self) -> Path:
        """The meta-parameters that the run began from."""
        return self.path / "initial.npz"

    @property
    def lock_file(self) -> Path:
        """What the process that writes here holds."""
        return self.path / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes here; makes the directory.

        Raises
        ------
        ValueError
            Where another process writes here, or nobody may.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.lock_file))
            except OSError as error:
                raise self._unwritable(error) from None
            yield

    def writer(self) -> int | None:
        """The id of the process that writes here now, None where none does."""
        return holder(self.lock_file)

    def cannot_write(self, error: OSError) -> RunError:
        """What to tell of a run that has failed to write."""
        held = steps(self.checkpoints)
        left = f"after outer step {held[-1]}" if held else "missing"
        return RunError(
            f"{self.path} cannot be written ({error.strerror or error}). The last good checkpoint "
            f"is {left}. Make room there, then go on with: lopt train --resume {self.path}"
        )

    def left_alone(self, error: Exception) -> RunError:
        """What to tell where another process of the run is gone."""
        held = steps(self.checkpoints)
        left = f"after outer step {held[-1]}" if held else "missing"
        return RunError(
            f"another process of this run has ended, and this one cannot go on alone "
            f"({str(error).splitlines()[0][:200]}). The last good checkpoint is {left}. Start all "
            f"processes again with: lopt train --resume {self.path}"
        )

    def _unwritable(self, error: OSError) -> ValueError:
        return ValueError(
            f"{self.path} cannot be written ({error.strerror}). Name another directory, or make "
            "this one writable."
        )

    def require_new(self) -> None:
        """An error where the directory holds a run already."""
        if self.config_file.exists():
            raise ValueError(
                f"{self.path} holds a run already. Continue it with --resume {self.path}, "
                "or name another directory."
            )

    def create(self, config: TrainConfig, begin: Callable[[], None]) -> None:
        """Make the directory, let `begin` write what the run begins from, then the configuration.

        In this order a directory that has a configuration can be resumed, whenever it was cut.
        """
        self.require_new()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            begin()
            document = {"config": asdict(config), "versions": versions()}
            with written_whole(self.config_file) as file:
                file.write((json.dumps(document, indent=2) + "\n").encode())
        except OSError as error:
            raise self._unwritable(error) from None

    def read_config(self) -> TrainConfig:
        """The configuration of the run that lies here."""
        try:
            values = json.loads(self.config_file.read_text())["config"]
        except FileNotFoundError:
            raise ValueError(f"{self.path} holds no run: it has no config.json.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.config_file} cannot be read ({error}).") from None
        return TrainConfig.from_mapping(values)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Every complete line of the metrics."""
        return list(_lines(self.metrics_file))

    def cut_metrics(self, outer_step: int) -> None:
        """Drop what was written from `outer_step` on, which a resumed run does again."""
        kept = [line for line in _lines(self.metrics_file) if line["outer_step"] < outer_step]
        with written_whole(self.metrics_file) as file:
            file.writelines((json.dumps(line) + "\n").encode() for line in kept)


def versions() -> dict[str, str]:
    """The versions of the libraries that a result depends on."""
    return {name: version(name) for name in LIBRARIES}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON lines of a file; an unfinished last one, left by a killed run, is passed over."""
    if not path.exists():
        return
    for text in path.read_text().splitlines():
        try:
            yield json.loads(text)
        except ValueError:
            return
