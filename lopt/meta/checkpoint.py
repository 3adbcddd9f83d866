"""Checkpoints: the whole state of a run in one ``.npz``, written whole or not at all,
verified on load.
"""

import hashlib
import re
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lopt.optimizers.whole import written_whole

KEEP = 3


def checkpoint_path(folder: Path, outer_step: int) -> Path:
    """Where the checkpoint after so many outer steps lies."""
    return folder / f"{outer_step:08d}.npz"


def write_checkpoint(folder: Path, outer_step: int, state: Any) -> Path:
    """Write `state` (a pytree of arrays) and delete all but the newest three checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        str(k): np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))
    }
    path = checkpoint_path(folder, outer_step)
    with written_whole(path) as file:
        np.savez(file, digest=np.array(_digest(arrays)), **arrays)
    for old in steps(folder)[:-KEEP]:
        checkpoint_path(folder, old).unlink(missing_ok=True)
    return path


def steps(folder: Path) -> list[int]:
    """The outer steps that have a checkpoint, oldest first."""
    names = (re.fullmatch(r"(\d{8})\.npz", path.name) for path in folder.glob("*.npz"))
    return sorted(int(name[1]) for name in names if name)


def read_checkpoint(folder: Path, outer_step: int, template: Any) -> Any:
    """The state written at `outer_step`, in the structure of `template`.

    Raises
    ------
    ValueError
        Where the file is damaged or belongs to another configuration.
    """
    path = checkpoint_path(folder, outer_step)
    leaves, structure = jax.tree.flatten(template)
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            digest = str(file["digest"])
            arrays = {name: file[name] for name in file.files if name != "digest"}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}).") from None
    if _digest(arrays) != digest:
        raise ValueError(f"{path} is damaged (its digest does not match).")
    found = [arrays[str(k)] for k in range(len(arrays))]
    if [(a.shape, a.dtype) for a in found] != [(x.shape, x.dtype) for x in leaves]:
        raise ValueError(f"{path} was written with another configuration.")
    return jax.tree.unflatten(structure, found)


def read_newest(folder: Path, template: Any) -> tuple[int, Any]:
    """The newest readable checkpoint as (outer step, state); damaged ones are reported and
    passed over.
    """
    problems = []
    for outer_step in reversed(steps(folder)):
        try:
            return outer_step, read_checkpoint(folder, outer_step, template)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(" ".join([f"{folder} has no readable checkpoint.", *problems]))


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    sha = hashlib.sha256()
    for name, array in arrays.items():
        sha.update(f"{name}{array.dtype.str}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
