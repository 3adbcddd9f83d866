"""``lopt convert``: convert meta-parameters from and to the released layout."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from lopt.files import written_whole
from lopt.optimizers.files.released import (
    check_shapes,
    released_config,
    released_meta_parameters,
    to_released,
)
from lopt.optimizers.files.saved import LARGEST, Saved, load, save
from lopt.optimizers.star_update import StarConfig
from nqm.archives import open_npz
from nqm.untrusted import as_object, one_line, parse_json, reading


def add_parser(commands: Any) -> None:
    """Add ``convert`` to the command line."""
    parser = commands.add_parser(
        "convert",
        help="convert meta-parameters from and to the released layout",
        description="Read IN, and write OUT in the other layout. The released layout is an .npz "
        "with arrays theta_w0, theta_b0, ... and a JSON string config; the files of lopt have a "
        "header instead.",
    )
    parser.add_argument("source", metavar="IN", help="a file, or the name of a shipped optimizer")
    parser.add_argument("target", metavar="OUT", type=Path, help="the new file to write")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    target = one_line(str(options.target), 100)
    if os.path.lexists(options.target):
        raise ValueError(f"{target} exists; name a new file.")
    if options.target.suffix != ".npz":
        raise ValueError(f"OUT must end in .npz; it is {target}.")
    if not os.path.isdir(options.target.absolute().parent):
        raise ValueError(f"the folder of {target} does not exist. Make it first.")
    given = _released(Path(options.source))
    if given is None:
        saved = load(options.source)
        if not isinstance(saved.config, StarConfig):
            raise ValueError(
                f"{options.source} holds P of a linear optimizer, which the released layout lacks."
            )
        released = to_released(saved.meta_parameters, saved.config)
        config = json.dumps(released.config)
        arrays: dict[str, Any] = {"config": np.array(config), **released.arrays}
        with written_whole(options.target) as file:
            np.savez(file, **arrays)
        print(f"{options.target}: {released.config['kind']}, released layout")
        return 0
    save(
        options.target,
        given.meta_parameters,
        given.config,
        {"converted_from": Path(options.source).name},
    )
    print(f"{options.target}: {given.origin['kind']}")
    return 0


def _released(path: Path) -> Saved | None:
    """The content of a file in the released layout, with its configuration as the origin; None for
    a file in another layout.
    """
    if not os.path.isfile(path):
        return None
    with reading(path, "holds no meta-parameters"), open_npz(path, LARGEST) as archive:
        if "config" not in archive.names:
            return None
        layout = as_object(parse_json(archive.read_text("config"), finite=False), "config")
        names = [name for name in archive.names if name.startswith("theta_")]
        theta = released_meta_parameters({name: archive.read(name, "f") for name in names})
        config = released_config(layout)
        check_shapes(theta, config)
        return Saved(theta, config, layout)
