"""Meta-parameters in a file: arrays and JSON in one ``.npz``, never a pickle, checked on load."""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lopt.optimizers.linear import LinearConfig
from lopt.optimizers.released import RELEASED_HEADS
from lopt.optimizers.star import StarConfig
from lopt.optimizers.whole import written_whole

# Format 2 adds weight_decay to the configuration; format 1 is read with its default, 0. Format 3
# adds the family; before there was one. Format 4 adds initial_head_scale, 1 before.
FORMAT = 4
FAMILIES: dict[str, type[StarConfig | LinearConfig]] = {"star": StarConfig, "linear": LinearConfig}
SHIPPED = Path(__file__).parent / "shipped"


class Saved(NamedTuple):
    """A learned optimizer as it was saved: ``saved.config.make(saved.meta_parameters)`` is the
    optax transformation, for STAR and its relatives the same as ``lopt.star(saved.meta_parameters,
    saved.config)``.
    """

    meta_parameters: Any
    """`MetaParameters`, or P of `lopt.optimizers.linear.linear`."""
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
    """What is known of shipped meta-parameters, as Markdown: how they were trained, what they do.

    Raises
    ------
    ValueError
        Where nothing of that name is shipped.
    """
    if name not in shipped():
        raise ValueError(
            f"nothing that ships is called {name!r}; there is {', '.join(shipped()) or 'nothing'}."
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
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header["format"] > FORMAT:
                raise ValueError(
                    f"format {header['format']} is later than {FORMAT}, the last one known here"
                )
            arrays = [file[str(k)] for k in range(len(header["names"]))]
        config = _config(FAMILIES[header.get("family", "star")], header["config"])
    except FileNotFoundError:
        raise ValueError(
            f"{path} does not exist; meta-parameters are saved as an .npz file."
        ) from None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no saved meta-parameters ({error}).") from None
    template = jax.eval_shape(lambda: config.init(jax.random.key(0)))
    leaves, structure = jax.tree.flatten(template)
    needed = [leaf.shape for leaf in leaves]
    if [a.shape for a in arrays] not in (needed, _with_released_heads(needed, config)):
        raise ValueError(
            f"{path} has arrays of shapes {[a.shape for a in arrays]}; its configuration needs "
            f"{needed}."
        )
    for name, array in zip(header["names"], arrays, strict=True):
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{path} has a value that is not finite in {name}.")
    theta = jax.tree.unflatten(structure, [jnp.asarray(a, jnp.float32) for a in arrays])
    return Saved(theta, config, header["origin"])


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    """The file meant: a path, or a name of the registry where no such file exists."""
    path, known = Path(name_or_path), shipped()
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    if str(path) in known:
        return known[str(path)]
    near = get_close_matches(str(path), known, n=3, cutoff=0.0)
    raise ValueError(
        f"{path} is neither a file nor the name of shipped meta-parameters; "
        + (f"the nearest names are {', '.join(near)}." if near else "none are shipped yet.")
    )


def _with_released_heads(
    shapes: list[tuple[int, ...]], config: StarConfig | LinearConfig
) -> list[tuple[int, ...]]:
    """The same shapes where the network's last layer has the heads of a released one."""
    if isinstance(config, LinearConfig):
        return shapes
    layers = len(config.hidden_widths) + 1
    last = {layers - 1, 2 * layers - 1}
    return [(*s[:-1], RELEASED_HEADS) if k in last else s for k, s in enumerate(shapes)]


def _config(
    kind: type[StarConfig | LinearConfig], fields: dict[str, Any]
) -> StarConfig | LinearConfig:
    """The configuration of its JSON, in which tuples are lists."""
    values = dict(fields)
    for key, value in fields.items():
        if isinstance(value, list):
            values[key] = tuple(value)
    return kind(**values)


def _names(tree: Any) -> list[str]:
    """A readable name for every leaf."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
