"""A flag for every field of a configuration, and the configuration of flags, presets and files."""

import argparse
import typing
from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any

from lopt.meta.config import (
    EMBEDDED_STEP,
    ESTIMATORS,
    HORIZON_SCHEDULES,
    NOMINAL,
    OPTIMIZERS,
    TrainConfig,
)
from lopt.meta.presets import TASKS as PRESET_TASKS
from lopt.meta.presets import UNPRINTED, presets
from lopt.tasks.registry import short_list
from nqm.untrusted import as_object, one_line, quoted, read_json, read_toml, reason

CHOICES: dict[str, Collection[str]] = {
    "optimizer": OPTIMIZERS,
    "nominal_term": NOMINAL,
    "estimator": ESTIMATORS,
    "horizon_schedule": HORIZON_SCHEDULES,
}
NAMES = {
    "task": f": {short_list()}; a size may stand before the network of an image task, as in "
    "cifar10-16x16-convnet"
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--preset``, ``--config`` and a flag for every field."""
    parser.add_argument("--preset", metavar="NAME", help="one of the experiments listed below")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="fields from a .json or .toml file, or a run's config.json; flags go before the file, "
        "the file before the preset",
    )
    hints = typing.get_type_hints(TrainConfig)
    for field in fields(TrainConfig):
        default = field.metadata["unset"] if field.default in (None, ()) else field.default
        paper = field.metadata.get("paper")
        printed = "" if paper is None else f"; paper: {paper}"
        says = field.metadata["help"] + NAMES.get(field.name, "")
        kind = _plain(hints[field.name])
        shape: dict[str, Any] = {"type": kind, "metavar": kind.__name__.upper()}
        if field.name == "rules":
            shape = {"nargs": "+", "metavar": "RULE"}
        elif kind is bool:
            shape = {"action": argparse.BooleanOptionalAction}
        elif field.name in CHOICES:
            shape = {"choices": tuple(CHOICES[field.name])}
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            default=argparse.SUPPRESS,
            help=f"{says} (default: {default}{printed})".replace("%", "%%"),
            **shape,
        )


def _plain(hint: Any) -> Any:
    """The type of a field without its ``| None``."""
    if isinstance(hint, UnionType):
        return next(t for t in hint.__args__ if t is not type(None))
    return hint


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields that flags set."""
    names = [field.name for field in fields(TrainConfig)]
    return {name: getattr(options, name) for name in names if hasattr(options, name)}


def configuration(options: argparse.Namespace) -> TrainConfig:
    """The preset's fields, over them the file's, over them the flags'; with neither preset nor
    file the embedded images' own nominal step under the flags'.
    """
    flags = given(options)
    values: dict[str, Any] = {}
    if options.preset is None and options.config is None:
        values |= _embedded(flags)
    if options.preset is not None:
        known = presets()
        if options.preset not in known:
            raise ValueError(
                f"--preset must be one of {', '.join(known)}; it is {quoted(options.preset)}."
            )
        values |= known[options.preset].values
    if options.config is not None:
        values |= read_file(options.config)
    return TrainConfig.from_mapping(values | flags)


def _embedded(flags: dict[str, Any]) -> dict[str, Any]:
    """The nominal step where the flags leave the task embedded and the optimizer a nominal term."""
    usual = TrainConfig()
    task, optimizer = (flags.get(n, getattr(usual, n)) for n in ("task", "optimizer"))
    direct = flags.get("nominal_term") != "none" and optimizer in ("star", "hyperparam")
    return {"nominal_step": EMBEDDED_STEP} if task == usual.task and direct else {}


def read_file(path: Path) -> dict[str, Any]:
    """The fields in a JSON or TOML file; those of a run where it is a run's ``config.json``."""
    try:
        toml = path.suffix.lower() == ".toml"
        values = read_toml(path) if toml else as_object(read_json(path), "it")
        return as_object(values["config"], "its config") if "config" in values else values
    except (OSError, ValueError) as error:
        place = one_line(str(path), 100)
        raise ValueError(f"--config {place} cannot be read ({reason(error)}).") from None


def preset_text() -> Iterator[str]:
    """The lines of the help about presets."""
    yield f"presets, TASK-NAME with TASK one of {', '.join(PRESET_TASKS)}; in all, {UNPRINTED}:"
    prefix = f"{PRESET_TASKS[0]}-"
    for name, preset in presets().items():
        if name.startswith(prefix):
            yield f"  {'TASK-' + name.removeprefix(prefix):<30} {preset.source}"
            for difference in preset.differs:
                if difference != UNPRINTED:
                    yield f"  {'':<30}   {difference}"
