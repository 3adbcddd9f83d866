"""Meta-parameters in a file: arrays and JSON in one ``.npz``, never a pickle, checked on load."""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lopt.optimizers.star import MetaParameters, StarConfig, init_meta_parameters

FORMAT = 1


class Saved(NamedTuple):
    """A learned optimizer as it was saved: ``lopt.star(saved.meta_parameters, saved.config)``
    uses it.
    """

    meta_parameters: MetaParameters
    config: StarConfig
    origin: dict[str, Any]
    """How it was trained: whatever the writer recorded."""


def save(
    path: str | os.PathLike[str],
    meta_parameters: MetaParameters,
    config: StarConfig,
    origin: Mapping[str, Any] | None = None,
) -> None:
    """Write meta-parameters and their configuration to `path`, whole or not at all."""
    names = _names(meta_parameters)
    header = {
        "format": FORMAT,
        "config": asdict(config),
        "origin": dict(origin or {}),
        "names": names,
    }
    arrays: dict[str, Any] = {
        str(k): np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(meta_parameters))
    }
    target = Path(path)
    part = target.with_name(target.name + ".part")
    with part.open("wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)


def load(path: str | os.PathLike[str]) -> Saved:
    """Read what `save` wrote.

    Raises
    ------
    ValueError
        Where the file is missing, of another kind, damaged, or does not fit its own configuration.
    """
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = [file[str(k)] for k in range(len(header["names"]))]
        config = _config(header["config"])
    except FileNotFoundError:
        raise ValueError(
            f"{path} does not exist; meta-parameters are saved as an .npz file."
        ) from None
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no saved meta-parameters ({error}).") from None
    template = jax.eval_shape(lambda: init_meta_parameters(jax.random.key(0), config))
    leaves, structure = jax.tree.flatten(template)
    if [a.shape for a in arrays] != [leaf.shape for leaf in leaves]:
        raise ValueError(
            f"{path} has arrays of shapes {[a.shape for a in arrays]}; its configuration needs "
            f"{[leaf.shape for leaf in leaves]}."
        )
    for name, array in zip(header["names"], arrays, strict=True):
        if not np.all(np.isfinite(array)):
            raise ValueError(f"{path} has a value that is not finite in {name}.")
    theta = jax.tree.unflatten(structure, [jnp.asarray(a, jnp.float32) for a in arrays])
    return Saved(theta, config, header["origin"])


def _config(fields: dict[str, Any]) -> StarConfig:
    """The configuration of its JSON, in which tuples are lists."""
    values = dict(fields)
    for key, value in fields.items():
        if isinstance(value, list):
            values[key] = tuple(value)
    return StarConfig(**values)


def _names(tree: Any) -> list[str]:
    """A readable name for every leaf."""
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
