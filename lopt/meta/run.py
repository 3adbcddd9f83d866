"""A run directory: configuration, metrics (one JSON object a line), checkpoints and the
trained meta-parameters.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lopt.meta.config import TrainConfig
from lopt.optimizers.whole import written_whole

LIBRARIES = ("nqm-lopt", "jax", "jaxlib", "optax", "numpy")


class RunDirectory:
    """The files of one run.

    ``config.json`` holds the whole configuration and the versions; ``metrics.jsonl`` a line for
    every outer step and one for every measurement of the eigenvalues; ``checkpoints/``;
    ``meta_parameters.npz`` and ``initial.npz`` the trained and the initial theta.
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
            raise ValueError(
                f"{self.path} cannot be written ({error.strerror}). "
                "Name another directory with --run."
            ) from None

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
        """Drop what was written after `outer_step`, which a resumed run does again."""
        kept = [line for line in _lines(self.metrics_file) if line["outer_step"] <= outer_step]
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
