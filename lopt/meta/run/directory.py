"""A run directory: configuration, metrics (one JSON object per line), checkpoints and the trained
meta-parameters.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from lopt.files import written_whole
from lopt.meta.config import TrainConfig
from lopt.meta.run.checkpoint import Newest, read_newest, steps
from lopt.meta.run.lock import holder, locked
from lopt.meta.run.metrics import Metrics
from lopt.meta.run.metrics import read as read_lines
from lopt.meta.run.versions import versions
from lopt.optimizers.files.saved import Saved, load
from nqm.untrusted import as_object, one_line, read_json, reading


class RunError(RuntimeError):
    """A run that cannot continue; the message says why, what is left and what to do."""


class RunDirectory:
    """The files of one run.

    ``config.json`` holds the whole configuration and the versions. ``metrics.jsonl`` holds a line
    for every outer step and one for every measurement of the eigenvalues;
    ``events.out.tfevents.*`` holds the same for TensorBoard. ``checkpoints/`` holds the newest
    checkpoints, ``meta_parameters.npz`` and ``initial.npz`` the trained and the initial theta. The
    process that writes holds ``lock``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def config_file(self) -> Path:
        """The configuration as JSON."""
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        """The metrics, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def result(self) -> Path:
        """The trained meta-parameters, which exist once the run is complete."""
        return self.path / "meta_parameters.npz"

    @property
    def initial(self) -> Path:
        """The meta-parameters that the run started from."""
        return self.path / "initial.npz"

    @property
    def lock_file(self) -> Path:
        """The lock that the process that writes here holds."""
        return self.path / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes here; create the directory if needed.

        Raises
        ------
        ValueError
            Where another process writes here, or the directory is not writable.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.lock_file))
            except OSError as error:
                raise self._unwritable(error) from None
            yield

    def writer(self) -> int | None:
        """The id of the process that is writing here, None if there is none."""
        return holder(self.lock_file)

    def cannot_write(self, error: OSError) -> RunError:
        """The error for a run that has failed to write."""
        held = steps(self.checkpoints)
        left = f"after outer step {held[-1]}" if held else "missing"
        return RunError(
            f"{self.path} cannot be written ({error.strerror or error}). The last good checkpoint "
            f"is {left}. Make room there, then continue with: lopt train --resume {self.path}"
        )

    def left_alone(self, error: Exception) -> RunError:
        """The error for a run that has lost another of its processes."""
        held = steps(self.checkpoints)
        left = f"after outer step {held[-1]}" if held else "missing"
        return RunError(
            f"another process of this run has ended, and this one cannot continue alone "
            f"({str(error).splitlines()[0][:200]}). The last good checkpoint is {left}. Start all "
            f"processes again with: lopt train --resume {self.path}"
        )

    def _unwritable(self, error: OSError) -> ValueError:
        return ValueError(
            f"{self.path} cannot be written ({error.strerror}). Name another directory, or make "
            "this one writable."
        )

    def require_new(self) -> None:
        """Raise where the directory already holds a run."""
        if self.config_file.exists():
            raise ValueError(
                f"{self.path} holds a run already. Continue it with --resume {self.path}, "
                "or name another directory."
            )

    def require_own_folder(self) -> None:
        """Raise where checkpoints would be written and deleted outside the directory."""
        if self.checkpoints.is_symlink():
            raise ValueError(
                f"{one_line(str(self.checkpoints), 120)} is a link, and a run writes in its own "
                "directory alone. Move the whole run to where the link leads, and link to that."
            )

    def create(self, config: TrainConfig, begin: Callable[[], None]) -> None:
        """Create the directory, let `begin` write what the run starts from, then write the
        configuration.

        In this order, a directory with a configuration can be resumed whenever the run was cut.
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
        """The configuration of the run in this directory."""
        values = self._document().get("config")
        with reading(self.config_file):
            return TrainConfig.from_mapping(as_object(values, "config"))

    def read_versions(self) -> dict[str, str]:
        """The versions of the libraries that the run started with, as far as they are recorded."""
        named = self._document().get("versions")
        if not isinstance(named, dict):
            return {}
        return {name: one_line(v, 20) for name, v in named.items() if isinstance(v, str)}

    def _document(self) -> dict[str, Any]:
        with reading(self.config_file):
            try:
                return as_object(read_json(self.config_file), "it")
            except (FileNotFoundError, NotADirectoryError):
                pass
        raise ValueError(f"{one_line(str(self.path), 200)} holds no run: it has no config.json.")

    def metrics(self) -> Metrics:
        """Every line of the metrics that can be read, and what is wrong with the others."""
        return read_lines(self.metrics_file)

    def read_metrics(self) -> list[dict[str, Any]]:
        """Every line of the metrics that can be read."""
        return self.metrics().lines

    def cut_metrics(self, outer_step: int) -> None:
        """Drop the lines from `outer_step` on, which a resumed run writes again.

        If the file has lines that cannot be read, a copy of it is kept.
        """
        found = self.metrics()
        if found.skipped:
            names = (self.path / f"{self.metrics_file.name}.aside-{k}" for k in count(1))
            aside = next(name for name in names if not os.path.lexists(name))
            shutil.copyfile(self.metrics_file, aside)
        with written_whole(self.metrics_file) as file:
            for line in found.lines:
                if line["outer_step"] < outer_step:
                    file.write((json.dumps(line) + "\n").encode())

    def read_result(self, config: TrainConfig) -> Saved:
        """The trained meta-parameters of the run, whose configuration is `config`.

        Raises
        ------
        ValueError
            Where the run is not complete, or the file is damaged or belongs to another run.
        """
        if not os.path.lexists(self.result):
            raise ValueError(
                f"{self.path} is not complete. Finish it with: lopt train --resume {self.path}; or "
                f"look at what it started from: {self.initial}"
            )
        return self._own(self.result, config)

    def read_initial(self, config: TrainConfig) -> Saved:
        """The meta-parameters that the run, whose configuration is `config`, started from."""
        return self._own(self.initial, config)

    def read_trained(self, config: TrainConfig) -> Newest:
        """The trained meta-parameters of the run, whose configuration is `config`; those of its
        newest whole checkpoint where it is not complete but has taken an outer step.

        Raises
        ------
        ValueError
            Where the run has taken no outer step, or nothing of it can be read.
        """
        if os.path.lexists(self.result) or not any(steps(self.checkpoints)):
            theta = self.read_result(config).meta_parameters
            return Newest(config.outer_steps, theta, ())
        return read_newest(
            self.checkpoints,
            self.read_initial(config).meta_parameters,
            ends={"outer_steps of the configuration": config.outer_steps},
            written_by=self.read_versions(),
            part=".theta",
        )

    def _own(self, file: Path, config: TrainConfig) -> Saved:
        saved = load(file)
        if saved.config != config.optimizer_config:
            raise ValueError(
                f"{one_line(str(file), 120)} was saved with another optimizer or other constants "
                "than config.json has: it belongs to another run. Give the file alone to look at "
                "it."
            )
        return saved
