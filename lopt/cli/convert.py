"""``lopt convert``: meta-parameters between this package's files and the released layout."""

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from lopt.optimizers.released import released_config, released_meta_parameters, to_released
from lopt.optimizers.saved import load, save
from lopt.optimizers.star import StarConfig
from lopt.optimizers.whole import written_whole


def add_parser(commands: Any) -> None:
    """Add ``convert`` to the command line."""
    parser = commands.add_parser(
        "convert",
        help="convert meta-parameters from and to the released layout",
        description="Read IN and write OUT in the other layout. The released layout is an .npz of "
        "theta_w0, theta_b0, ... and a JSON string config; what lopt writes holds a header.",
    )
    parser.add_argument("source", metavar="IN", help="a file, or the name of shipped ones")
    parser.add_argument("target", metavar="OUT", type=Path, help="the file to write, new")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Convert and say what was written."""
    if options.target.exists():
        raise ValueError(f"{options.target} exists; name a new file.")
    if options.target.suffix != ".npz":
        raise ValueError(f"OUT must end in .npz; it is {options.target}.")
    if not options.target.absolute().parent.is_dir():
        raise ValueError(f"the folder of {options.target} does not exist. Make it first.")
    given = _released_arrays(Path(options.source))
    if given is None:
        saved = load(options.source)
        if not isinstance(saved.config, StarConfig):
            raise ValueError(f"{options.source} holds P of a linear optimizer; no release has one.")
        released = to_released(saved.meta_parameters, saved.config)
        config = json.dumps(released.config)
        arrays: dict[str, Any] = {"config": np.array(config), **released.arrays}
        with written_whole(options.target) as file:
            np.savez(file, **arrays)
        print(f"{options.target}: {released.config['kind']}, released layout")
        return 0
    layout = json.loads(str(given["config"]))
    theta, star_config = released_meta_parameters(given), released_config(layout)
    save(options.target, theta, star_config, {"converted_from": Path(options.source).name})
    print(f"{options.target}: {layout['kind']}")
    return 0


def _released_arrays(path: Path) -> dict[str, Any] | None:
    """The arrays of a file in the released layout; None for any other."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {n: file[n] for n in file.files} if "config" in file.files else None
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile):
        return None
