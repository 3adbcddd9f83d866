"""Checkpoints: the whole state of a run, in a folder that orbax writes, verified on load.

Orbax does not notice a flipped bit in an array, and reports a missing file with pages of traceback.
Every checkpoint therefore contains the SHA-256 sums of its files, in the format of
``sha256sum --check``, which are verified before orbax reads anything. The sums also cover what a
checkpoint says about itself: its outer step, its format and the versions that wrote it. A
checkpoint under the name of another step is rejected. Once everything in it is on the disk, a
checkpoint appears under its name by a single rename, so that it is there as a whole or not at all.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

from lopt.meta.run.versions import shown, versions
from nqm.untrusted import (
    LONGEST_LINE,
    as_object,
    format_number,
    one_line,
    quoted,
    read_json,
    read_text,
    reason,
)

KEEP = 3
SUMS = "SHA256SUMS"
# Format 2 adds this file; a checkpoint of format 1 says nothing about itself.
ABOUT = "about.json"
FORMAT = 2
# About what orbax adds to the bytes of the arrays: for each array, and once.
OVERHEAD_EACH, OVERHEAD = 2**10, 2**16


class Newest(NamedTuple):
    """The newest checkpoint that can be read."""

    outer_step: int
    state: Any
    damaged: tuple[str, ...]
    """What is wrong with each newer checkpoint; these were skipped."""


class About(NamedTuple):
    """What a checkpoint says about itself."""

    outer_step: int
    format: int
    versions: Mapping[str, str]
    """The versions of the libraries that wrote it."""


class Damaged(ValueError):
    """A checkpoint that differs from what was written, or is not where it was written."""


def checkpoint_path(folder: Path, outer_step: int) -> Path:
    """The path of the checkpoint after `outer_step` outer steps."""
    return folder / f"{outer_step:08d}"


def steps(folder: Path) -> list[int]:
    """The outer steps for which there is a checkpoint, oldest first."""
    names = (re.fullmatch(r"\d{8}", path.name) for path in folder.glob("*"))
    return sorted(int(name[0]) for name in names if name)


def write_checkpoint(folder: Path, outer_step: int, state: Any) -> Path:
    """Write `state` (a pytree of NumPy arrays) and delete all but the newest three checkpoints.

    Raises
    ------
    OSError
        Where there is no room or no permission; what was there before stays as it was.
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
        except ValueError as error:  # which tensorstore raises for a failed write
            raise OSError(None, str(error).splitlines()[0]) from None
        about = {"format": FORMAT, "outer_step": outer_step, "versions": versions()}
        (part / ABOUT).write_text(json.dumps(about) + "\n")
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


def read_checkpoint(
    folder: Path,
    outer_step: int,
    template: Any,
    written_by: Mapping[str, str] | None = None,
    part: str = "",
) -> Any:
    """The state written at `outer_step` as NumPy arrays, in the structure of `template`.

    Parameters
    ----------
    folder, outer_step
        The folder of the checkpoints, and which one to read.
    template
        A pytree of arrays of the same shapes and dtypes.
    written_by
        The versions to name in the error where a checkpoint of format 1, which names none, does not
        fit.
    part
        The part of the state that `template` stands for, such as ``".theta"``; only it is read.

    Raises
    ------
    Damaged
        Where a file is missing or differs from what was written, or the checkpoint has another
        outer step or a later format.
    ValueError
        Where the checkpoint belongs to another configuration, or to versions of the libraries
        whose state has another form.
    """
    path = checkpoint_path(folder, outer_step)
    try:
        about = _verify(path)
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({reason(error)})") from None
    if about is not None and about.outer_step != outer_step:
        raise _damaged(path, f"it was written after outer step {about.outer_step}")
    checkpointer = _checkpointer()
    needed = {part + name: x for name, x in _named(template).items() if x.size}
    try:
        held = checkpointer.metadata(path.absolute()).item_metadata.tree
        held = {name: x for name, x in held.items() if name.startswith(part)}
        forms = {name: _form(x) for name, x in held.items()}
        inflated = [name for name, x in held.items() if _has_larger_chunks(x)]
    except Exception as error:  # orbax and tensorstore raise errors of many types
        raise _damaged(path, f"orbax cannot read it ({one_line(reason(error), 80)})") from None
    differ = sorted(set(forms) ^ set(needed)) or [
        name for name, x in needed.items() if forms[name] != (x.shape, np.dtype(x.dtype))
    ]
    if differ:
        raise ValueError(_does_not_fit(path, differ[0], about, written_by))
    if inflated:
        raise _damaged(path, f"{one_line(inflated[0], 60)} is stored in chunks beyond its shape")
    host = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in needed}
    wanted = ocp.args.PyTreeRestore(needed, restore_args=host, partial_restore=bool(part))
    try:
        arrays = checkpointer.restore(path.absolute(), wanted)
    except Exception as error:
        raise _damaged(path, f"orbax cannot read it ({one_line(reason(error), 80)})") from None
    leaves = [
        np.asarray(arrays[part + name]) if part + name in arrays else np.zeros(x.shape, x.dtype)
        for name, x in _named(template).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def read_newest(
    folder: Path,
    template: Any,
    *,
    ends: Mapping[str, int] | None = None,
    written_by: Mapping[str, str] | None = None,
    part: str = "",
) -> Newest:
    """The newest checkpoint that is whole; damaged ones are skipped and named.

    Parameters
    ----------
    folder, template, written_by, part
        As in `read_checkpoint`.
    ends
        Outer steps beyond which there can be no checkpoint, by the source of each.

    Raises
    ------
    ValueError
        Where none is left, or one belongs to another configuration or other versions.
    """
    damaged: list[str] = []
    for outer_step in reversed(steps(folder)):
        try:
            for name, end in (ends or {}).items():
                if outer_step > end:
                    path = checkpoint_path(folder, outer_step)
                    raise _damaged(path, f"it is beyond {name}, {end}")
            state = read_checkpoint(folder, outer_step, template, written_by, part)
            return Newest(outer_step, state, tuple(damaged))
        except Damaged as error:
            damaged.append(str(error))
    place = one_line(str(folder), 90)
    line = f"{place} has no readable checkpoint; start again in another directory."
    others = f" ({len(damaged) - 1} more)" if len(damaged) > 1 else ""
    first = damaged[0] if damaged else ""
    raise ValueError(f"{line} {one_line(first, LONGEST_LINE - len(line) - 15)}{others}".rstrip())


def set_aside(folder: Path, outer_step: int) -> Path:
    """Keep a damaged checkpoint under a name that no reader looks at."""
    path = checkpoint_path(folder, outer_step)
    names = (path.with_name(f"{path.name}.aside-{k}") for k in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    return path.rename(aside)


def remove_checkpoint(folder: Path, outer_step: int) -> None:
    """Delete a checkpoint, if there is one; if interrupted, it leaves none that looks whole."""
    path = checkpoint_path(folder, outer_step)
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        (path / SUMS).unlink(missing_ok=True)
        gone = path.with_name(path.name + ".part-gone")  # its successor may lie beside
        path.rename(gone)
        shutil.rmtree(gone)


def _checkpointer() -> ocp.Checkpointer:
    """A checkpointer that does not wait for other processes, although several may be running."""
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix="first",
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def _named(tree: Any) -> dict[str, Any]:
    """The leaves by their path in the tree."""
    return {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _remove_unfinished(folder: Path) -> None:
    """Delete what an interrupted writer has left; nobody else writes here."""
    for path in folder.glob("*.part*"):
        if path.is_symlink():
            path.unlink()
        shutil.rmtree(path, ignore_errors=True)


def _require_room(part: Path, arrays: dict[str, np.ndarray]) -> None:
    """Allocate the space on the disk and release it: without room, orbax fails with pages of
    traceback.
    """
    needed = sum(x.nbytes + OVERHEAD_EACH for x in arrays.values()) + OVERHEAD
    part.mkdir()
    if hasattr(os, "posix_fallocate"):
        with (part / "room").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, needed)
    shutil.rmtree(part)


def _sign(path: Path) -> None:
    """Write the sums of all files, and flush everything to the disk."""
    files = _files(path)
    lines = [f"{_sum(file)}  {file.relative_to(path).as_posix()}\n" for file in files]
    (path / SUMS).write_text("".join(lines))
    for entry in (*files, path / SUMS, *(p for p in path.rglob("*") if p.is_dir()), path):
        _sync(entry)


def _verify(path: Path) -> About | None:
    """Check that every file is there and as it was written; return what the checkpoint says about
    itself, None for format 1.
    """
    if path.is_symlink() or any(p.is_symlink() for p in path.rglob("*")):
        raise _damaged(path, "it is a link, or holds one")
    try:
        lines = read_text(path / SUMS).splitlines()
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        raise _damaged(path, f"{SUMS} cannot be read") from None
    files = {file.relative_to(path).as_posix(): file for file in _files(path)}
    for name in files:
        if name not in {SUMS, *expected}:
            raise _damaged(path, f"{SUMS} does not list {one_line(name, 90)}")
    for name, digest in expected.items():
        if name not in files:
            raise _damaged(path, f"{one_line(name, 90)} is missing")
        if _sum(files[name]) != digest:
            raise _damaged(path, f"{one_line(name, 90)} is not what was written")
    if ABOUT not in expected:
        return None
    try:
        about = as_object(read_json(path / ABOUT), "it")
        written_in = format_number(about["format"], FORMAT)
        outer_step, named = about["outer_step"], as_object(about["versions"], "versions")
        if type(outer_step) is not int:
            raise ValueError(f"outer_step must be a whole number; it is {quoted(outer_step)}")
    except (KeyError, ValueError) as error:
        raise _damaged(path, f"{ABOUT} cannot be used: {reason(error)}") from None
    texts = {name: one_line(str(v), 20) for name, v in named.items()}
    return About(outer_step=outer_step, format=written_in, versions=texts)


def _damaged(path: Path, why: str) -> Damaged:
    return Damaged(f"{one_line(str(path), 120)} is damaged: {one_line(why, 160)}.")


def _form(array: Any) -> tuple[tuple[int, ...], np.dtype]:
    return tuple(array.shape), np.dtype(array.dtype)


def _has_larger_chunks(array: Any) -> bool:
    """Whether reading would take more memory than the shape suggests."""
    chunks = array.storage.chunk_shape if array.storage else None
    return chunks is not None and any(
        c > max(1, n) for c, n in zip(chunks, array.shape, strict=False)
    )


def _does_not_fit(
    path: Path, leaf: str, about: About | None, written_by: Mapping[str, str] | None
) -> str:
    """The message for a state with another layout: another configuration, or other versions."""
    place, leaf, here = one_line(str(path), 80), one_line(leaf, 60), shown(versions())
    by = shown(about.versions if about else written_by or {})
    if about and by == here:
        return (
            f"{place} was written with another configuration: {leaf} differs, while the versions "
            f"are the same ({here})."
        )
    return (
        f"{place} was written with another configuration or by other versions: {leaf} differs. "
        f"Written in format {about.format if about else 1} by {by or 'unknown versions'}; here: "
        f"format {FORMAT}, {here}."
    )


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file())


def _sum(file: Path) -> str:
    with file.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Flush a file or the entries of a folder to the disk, as far as the system can."""
    windows = os.name == "nt"  # it opens no folder, and flushes only what is open for writing
    if windows and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
