"""Meta-parameters in a file: arrays and JSON in one ``.npz``, never a pickle, checked on load."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lopt.files import written_whole
from lopt.keys import random_key
from lopt.optimizers.files.configuration import from_fields, typed
from lopt.optimizers.files.released import check_shapes
from lopt.optimizers.linear import LinearConfig
from lopt.optimizers.star_update import StarConfig
from nqm.archives import open_npz
from nqm.untrusted import as_object, format_number, one_line, parse_json, quoted, reading

# Format 2 adds weight_decay to the configuration; format 1 is read with its default, 0. Format 3
# adds the family; before there was one. Format 4 adds initial_head_scale, 1 before. Format 5 adds
# normalize_update, False before. Format 6 adds orthogonalize_update, False before.
FORMAT = 6
FAMILIES: dict[str, type[StarConfig | LinearConfig]] = {"star": StarConfig, "linear": LinearConfig}
# Bytes of all arrays together: P of a linear optimizer in 8,192 dimensions.
LARGEST = 2**28
SHIPPED = Path(__file__).parent / "shipped"


class Saved(NamedTuple):
    """A learned optimizer as it was saved: ``saved.config.make(saved.meta_parameters)`` is the
    optax transformation, for STAR and its relatives the same as ``lopt.star(saved.meta_parameters,
    saved.config)``.
    """

    meta_parameters: Any
    """`MetaParameters`, or P of `lopt.optimizers.linear`."""
    config: StarConfig | LinearConfig
    origin: dict[str, Any]
    """How it was trained: whatever the writer recorded."""


def save(
    path: str | os.PathLike[str],
    meta_parameters: Any,
    config: StarConfig | LinearConfig,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write meta-parameters and their configuration to `path`, whole or not at all."""
    names = _names(meta_parameters)
    header = {
        "format": FORMAT,
        "family": next(name for name, kind in FAMILIES.items() if isinstance(config, kind)),
        "config": asdict(config),
        "origin": dict(origin or {}),
        "names": names,
    }
    arrays: dict[str, Any] = {
        str(k): np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(meta_parameters))
    }
    with written_whole(Path(path)) as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def shipped() -> dict[str, Path]:
    """The meta-parameters that come with the package: file by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.npz"), key=lambda path: path.stem)}


def card(name: str) -> str:
    """Return the card of shipped meta-parameters in Markdown: how they were trained, how they do.

    Raises
    ------
    ValueError
        Where nothing of that name is shipped.
    """
    if name not in shipped():
        raise ValueError(
            f"nothing that ships is called {quoted(name)}; there is "
            f"{', '.join(shipped()) or 'nothing'}."
        )
    return (SHIPPED / f"{name}.md").read_text("utf-8")


def load(name_or_path: str | os.PathLike[str]) -> Saved:
    """Read what `save` wrote: a file, or by its name one of those `shipped`.

    A name has neither a folder nor an ending.

    Raises
    ------
    ValueError
        Where the name is unknown, or the file is missing, of another kind, of a later format,
        damaged, or does not fit its own configuration.
    """
    path = _find(name_or_path)
    if not os.path.lexists(path):
        raise ValueError(
            f"{one_line(str(path), 150)} does not exist; meta-parameters are saved as an .npz file."
        )
    with reading(path, "holds no saved meta-parameters"), open_npz(path, LARGEST) as file:
        header = as_object(parse_json(file.read_text("header"), finite=False), "its header")
        format_number(header.get("format"), FORMAT)
        family = header.get("family", "star")
        if not isinstance(family, str) or family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}; it is {quoted(family)}")
        config = from_fields(FAMILIES[family], as_object(header.get("config"), "config"))
        names = typed("names", header.get("names"), tuple[str, ...])
        with np.errstate(over="ignore"):
            arrays = [file.read(str(k), "f").astype(np.float32) for k in range(len(names))]
        check_shapes(arrays, config)
        for name, array in zip(names, arrays, strict=True):
            if not np.all(np.isfinite(array)):
                raise ValueError(f"a value is not finite in {one_line(name, 60)}")
        theta = jax.tree.unflatten(
            jax.tree.structure(jax.eval_shape(lambda: config.init(random_key(0)))),
            [jnp.asarray(a) for a in arrays],
        )
        return Saved(theta, config, as_object(header.get("origin", {}), "origin"))


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    """The file meant: a path, or a name of the registry where no such file exists."""
    path, known = Path(name_or_path), shipped()
    if os.path.lexists(path) or path.suffix or len(path.parts) != 1:
        return path
    if str(path) in known:
        return known[str(path)]
    near = get_close_matches(str(path)[:100], known, n=3, cutoff=0.0)
    raise ValueError(
        f"{one_line(str(path), 90)} is neither a file nor the name of shipped meta-parameters; "
        + (f"the nearest names are {', '.join(near)}." if near else "none are shipped yet.")
    )


def _names(tree: Any) -> list[str]:
    """A readable name for every leaf."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
