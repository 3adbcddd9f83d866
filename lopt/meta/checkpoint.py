"""Checkpoints: the whole state of a run in a folder that orbax writes, whole or not at all,
verified on load.

Orbax notices neither a flipped bit in an array nor, without pages of traceback, a missing file. So
every checkpoint carries the SHA-256 of its files, in the format of ``sha256sum --check``, and they
are checked before orbax reads any. A checkpoint appears under its name by one rename, after
everything in it is on the disk.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

KEEP = 3
SUMS = "SHA256SUMS"
# What orbax adds to the bytes of the arrays: about as much for each array, and for all of them.
OVERHEAD_EACH, OVERHEAD = 2**10, 2**16


class Newest(NamedTuple):
    """The newest checkpoint that can be read."""

    outer_step: int
    state: Any
    damaged: tuple[str, ...]
    """What is wrong with each newer one, which was passed over."""


class Damaged(ValueError):
    """A checkpoint that is not what was written."""


def checkpoint_path(folder: Path, outer_step: int) -> Path:
    """Where the checkpoint after so many outer steps lies."""
    return folder / f"{outer_step:08d}"


def steps(folder: Path) -> list[int]:
    """The outer steps that have a checkpoint, oldest first."""
    names = (re.fullmatch(r"\d{8}", path.name) for path in folder.glob("*"))
    return sorted(int(name[0]) for name in names if name)


def write_checkpoint(folder: Path, outer_step: int, state: Any) -> Path:
    """Write `state` (a pytree of NumPy arrays) and delete all but the newest three checkpoints.

    Raises
    ------
    OSError
        Where there is no room or no permission; what was there before is left as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(folder)
    path = checkpoint_path(folder, outer_step)
    part = path.with_name(path.name + ".part")
    arrays = {name: x for name, x in _named(state).items() if x.size}
    try:
        _require_room(part, arrays)
        try:
            _checkpointer().save(part.absolute(), ocp.args.PyTreeSave(arrays))
        except ValueError as error:  # tensorstore's word for a failed write
            raise OSError(None, str(error).splitlines()[0]) from None
        _sign(part)
        remove_checkpoint(folder, outer_step)
        part.rename(path)
        _sync(folder)
    except BaseException:
        _remove_unfinished(folder)
        raise
    for old in steps(folder)[:-KEEP]:
        remove_checkpoint(folder, old)
    return path


def read_checkpoint(folder: Path, outer_step: int, template: Any) -> Any:
    """The state written at `outer_step` as NumPy arrays, in the structure of `template`.

    Raises
    ------
    Damaged
        Where a file is missing or not what was written.
    ValueError
        Where the checkpoint belongs to another configuration.
    """
    path = checkpoint_path(folder, outer_step)
    _verify(path)
    checkpointer = _checkpointer()
    needed = {name: x for name, x in _named(template).items() if x.size}
    held = checkpointer.metadata(path.absolute()).item_metadata.tree
    differ = sorted(set(held) ^ set(needed)) or [
        name
        for name, x in needed.items()
        if (tuple(held[name].shape), np.dtype(held[name].dtype)) != (x.shape, np.dtype(x.dtype))
    ]
    if differ:
        raise ValueError(f"{path} was written with another configuration: {differ[0]} differs.")
    host = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in needed}
    arrays = checkpointer.restore(path.absolute(), ocp.args.PyTreeRestore(restore_args=host))
    leaves = [
        np.asarray(arrays[name]) if name in arrays else np.zeros(x.shape, x.dtype)
        for name, x in _named(template).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def read_newest(folder: Path, template: Any) -> Newest:
    """The newest checkpoint that is whole; damaged ones are passed over and named."""
    damaged: list[str] = []
    for outer_step in reversed(steps(folder)):
        try:
            return Newest(outer_step, read_checkpoint(folder, outer_step, template), tuple(damaged))
        except Damaged as error:
            damaged.append(str(error))
    raise ValueError(
        " ".join(
            [
                f"{folder} has no readable checkpoint; start anew in another directory.",
                *damaged,
            ]
        )
    )


def remove_checkpoint(folder: Path, outer_step: int) -> None:
    """Delete a checkpoint, if there is one; cut in the middle, it leaves none that looks whole."""
    path = checkpoint_path(folder, outer_step)
    if path.exists():
        (path / SUMS).unlink(missing_ok=True)
        gone = path.with_name(path.name + ".part")
        path.rename(gone)
        shutil.rmtree(gone)


def _checkpointer() -> ocp.Checkpointer:
    """One of this process alone, also where it is the first of several."""
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix="first",
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _named(tree: Any) -> dict[str, Any]:
    """The leaves by their place in the tree."""
    return {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _remove_unfinished(folder: Path) -> None:
    """Delete what a writer that was cut off has left: nobody else writes here."""
    for path in folder.glob("*.part*"):
        shutil.rmtree(path, ignore_errors=True)


def _require_room(part: Path, arrays: dict[str, np.ndarray]) -> None:
    """Claim the space on the disk and give it back: without it orbax fails with pages of
    traceback.
    """
    needed = sum(x.nbytes + OVERHEAD_EACH for x in arrays.values()) + OVERHEAD
    part.mkdir()
    if hasattr(os, "posix_fallocate"):
        with (part / "room").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    shutil.rmtree(part)


def _sign(path: Path) -> None:
    """Write the sums of all files and bring everything to the disk."""
    files = _files(path)
    lines = [f"{_sum(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    (path / SUMS).write_text("".join(lines))
    for entry in (*files, path / SUMS, *(p for p in path.rglob("*") if p.is_dir()), path):
        _sync(entry)


def _verify(path: Path) -> None:
    """Every file is there and is what was written."""
    try:
        lines = (path / SUMS).read_text().splitlines()
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        raise Damaged(f"{path} is damaged: {SUMS} cannot be read.") from None
    for file in _files(path):
        if file.relative_to(path).as_posix() not in {SUMS, *expected}:
            raise Damaged(f"{path} is damaged: {SUMS} does not list {file.relative_to(path)}.")
    for name, digest in expected.items():
        file = path / name
        if not file.is_file():
            raise Damaged(f"{path} is damaged: {name} is missing.")
        if _sum(file) != digest:
            raise Damaged(f"{path} is damaged: {name} is not what was written.")


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file())


def _sum(file: Path) -> str:
    with file.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Bring a file or a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
