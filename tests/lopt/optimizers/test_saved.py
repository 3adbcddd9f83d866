"""Meta-parameters go through a file unchanged, and a bad file is one clear error."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.optimizers import saved as saved_module

CONFIG = replace(lopt.STAR, nominal_step=0.01, nominal_term="AggMo")


@pytest.fixture
def theta():
    return lopt.init_meta_parameters(jax.random.key(5), CONFIG)


def test_round_trip(tmp_path: Path, theta) -> None:
    lopt.save(tmp_path / "a.npz", theta, CONFIG, {"seed": 5})
    saved = lopt.load(tmp_path / "a.npz")
    assert saved.config == CONFIG
    assert saved.origin == {"seed": 5}
    assert jax.tree.structure(saved.meta_parameters) == jax.tree.structure(theta)
    for a, b in zip(jax.tree.leaves(saved.meta_parameters), jax.tree.leaves(theta), strict=True):
        np.testing.assert_array_equal(a, b)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz"]


def test_bad_files(tmp_path: Path, theta) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(ValueError, match="does not exist"):
        lopt.load(path)
    path.write_bytes(b"no array file")
    with pytest.raises(ValueError, match="holds no saved meta-parameters"):
        lopt.load(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(ValueError, match="holds no saved meta-parameters"):
        lopt.load(path)
    lopt.save(path, theta, lopt.BLACKBOX)
    with pytest.raises(ValueError, match="its configuration needs"):
        lopt.load(path)
    broken = theta._replace(rms_offsets=theta.rms_offsets * np.nan)
    lopt.save(path, broken, CONFIG)
    with pytest.raises(ValueError, match=r"not finite in \.rms_offsets"):
        lopt.load(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="holds no saved meta-parameters"):
        lopt.load(path)


def rewrite(path: Path, change) -> None:
    """Change the JSON header of a saved file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays.pop("header")))
    change(header)
    np.savez(path, header=np.array(json.dumps(header)), **arrays)


def test_format_1_had_no_weight_decay(tmp_path: Path, theta) -> None:
    path = tmp_path / "a.npz"
    lopt.save(path, theta, CONFIG)

    def older(header):
        header["format"] = 1
        del header["config"]["weight_decay"]

    rewrite(path, older)
    assert lopt.load(path).config == CONFIG
    rewrite(path, lambda header: header.update(format=99))
    with pytest.raises(ValueError, match="format 99 is later than"):
        lopt.load(path)


def test_names_of_the_registry(tmp_path: Path, theta, monkeypatch) -> None:
    monkeypatch.setattr(saved_module, "SHIPPED", tmp_path)
    with pytest.raises(ValueError, match=r"neither a file nor the name .* none are shipped yet"):
        lopt.load("star-v1")
    lopt.save(tmp_path / "star-v1.npz", theta, CONFIG)
    assert lopt.load("star-v1").config == CONFIG
    with pytest.raises(ValueError, match="the nearest names are star-v1"):
        lopt.load("star-v2")


def test_every_shipped_file_loads() -> None:
    for name in saved_module.shipped():
        lopt.load(name)
