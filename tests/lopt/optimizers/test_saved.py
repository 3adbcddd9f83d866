"""Meta-parameters go through a file unchanged, and a bad file is one clear error."""

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt

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
