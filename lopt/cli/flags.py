"""A flag for every field of the configuration, and the configuration that flags, files and presets
give together; how help is printed.
"""

import argparse
import textwrap
import typing
from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any

from lopt.meta.choices import EMBEDDED_STEP, ESTIMATORS, HORIZON_SCHEDULES, NOMINAL, OPTIMIZERS
from lopt.meta.config import TrainConfig
from lopt.meta.estimators.unroll import OBJECTIVES
from lopt.meta.presets import TASKS as PRESET_TASKS
from lopt.meta.presets import UNPRINTED, presets
from lopt.tasks.augmentation import LEVELS
from lopt.tasks.registry import short_list
from nqm.untrusted import as_object, one_line, quoted, read_json, read_toml, reason

CHOICES: dict[str, Collection[str]] = {
    "optimizer": OPTIMIZERS,
    "nominal_term": NOMINAL,
    "estimator": ESTIMATORS,
    "horizon_schedule": HORIZON_SCHEDULES,
    "augmentation": ("none", *LEVELS),
    "meta_objective": OBJECTIVES,
}
LISTS = {"rules": "RULE", "tasks": "TASK"}
NAMES = {
    "task": f": {short_list()}; a size may precede the network of an image task, as in "
    "cifar10-16x16-convnet"
}
# The columns of what argparse does not wrap.
HELP_WIDTH = 78


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add ``--preset``, ``--config`` and a flag for every field."""
    parser.add_argument("--preset", metavar="NAME", help="one of the experiments below")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="read fields from a .json or .toml file, or from a run's config.json; flags override "
        "the file, and the file overrides the preset",
    )
    hints = typing.get_type_hints(TrainConfig)
    for field in fields(TrainConfig):
        default = field.metadata["unset"] if field.default in (None, ()) else field.default
        paper = field.metadata.get("paper")
        printed = "" if paper is None else f"; paper: {paper}"
        says = field.metadata["help"] + NAMES.get(field.name, "")
        kind = _plain(hints[field.name])
        shape: dict[str, Any] = {"type": kind, "metavar": kind.__name__.upper()}
        if field.name in LISTS:
            shape = {"nargs": "+", "metavar": LISTS[field.name]}
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
    """The configuration: flags override the file, and the file overrides the preset. Without a
    file and a preset, the nominal step is the one for the embedded images.
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
    """The nominal step where the flags leave the task embedded, the optimizer a nominal term, and
    the length of the update that of its terms.
    """
    usual = TrainConfig()
    task, optimizer = (flags.get(n, getattr(usual, n)) for n in ("task", "optimizer"))
    direct = flags.get("nominal_term") != "none" and optimizer in ("star", "hyperparam")
    direct = direct and not flags.get("normalize_update")
    embedded = task == usual.task and not flags.get("tasks")
    return {"nominal_step": EMBEDDED_STEP} if embedded and direct else {}


def read_file(path: Path) -> dict[str, Any]:
    """The fields in a JSON or TOML file, which may be the ``config.json`` of a run."""
    try:
        toml = path.suffix.lower() == ".toml"
        values = read_toml(path) if toml else as_object(read_json(path), "it")
        return as_object(values["config"], "its config") if "config" in values else values
    except (OSError, ValueError) as error:
        place = one_line(str(path), 100)
        raise ValueError(f"--config {place} cannot be read ({reason(error)}).") from None


def preset_text() -> Iterator[str]:
    """The lines of the help about presets: what each is, and once each how they differ."""
    yield f"presets, as TASK-NAME with TASK one of {', '.join(PRESET_TASKS)}:"
    prefix = f"{PRESET_TASKS[0]}-"
    notes: list[str] = []
    for name, preset in presets().items():
        if name.startswith(prefix):
            own = [text for text in preset.differs if text != UNPRINTED]
            notes += [text for text in own if text not in notes]
            marks = "".join(f" [{notes.index(text) + 1}]" for text in own)
            yield f"  {'TASK-' + name.removeprefix(prefix):<28} {preset.source}{marks}"
    yield "differences from the paper:"
    for mark, text in [("[all]", UNPRINTED), *((f"[{k}]", x) for k, x in enumerate(notes, 1))]:
        indent = f"  {mark:<5} "
        yield from textwrap.wrap(
            text,
            HELP_WIDTH,
            initial_indent=indent,
            subsequent_indent=" " * len(indent),
            break_on_hyphens=False,
        )


class HelpFormatter(argparse.HelpFormatter):
    """Help whose lines break between words alone; a text of several lines stays as it is."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(
            " ".join(text.split()), width, break_on_hyphens=False, break_long_words=False
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return "\n".join(indent + line for line in self._split_lines(text, width))
