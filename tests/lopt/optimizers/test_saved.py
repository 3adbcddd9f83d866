"""Meta-parameters go through a file unchanged, and a bad file is one clear error."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.meta.config import TrainConfig
from lopt.optimizers.files import saved as saved_module
from lopt.optimizers.linear import LinearConfig

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


def test_format_4_had_no_normalized_update(tmp_path: Path, theta) -> None:
    path, normalized = tmp_path / "a.npz", replace(CONFIG, normalize_update=True)
    lopt.save(path, theta, normalized)
    assert lopt.load(path).config == normalized

    def older(header):
        header["format"] = 4
        del header["config"]["normalize_update"], header["config"]["normalized_step"]

    rewrite(path, older)
    assert lopt.load(path).config == CONFIG


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


def test_star_takes_a_name(tmp_path: Path, theta, monkeypatch) -> None:
    monkeypatch.setattr(saved_module, "SHIPPED", tmp_path)
    lopt.save(tmp_path / "mine.npz", theta, CONFIG)
    params = {"w": np.full((3, 2), 0.5, np.float32)}
    updates = [
        optimizer.update(params, optimizer.init(params), params)[0]["w"]
        for optimizer in (
            lopt.star("mine"),
            lopt.star(str(tmp_path / "mine.npz")),
            lopt.star(theta, CONFIG),
        )
    ]
    np.testing.assert_array_equal(updates[0], updates[2])
    np.testing.assert_array_equal(updates[1], updates[2])
    with pytest.raises(ValueError, match="the nearest names are mine"):
        lopt.star("nine")
    lopt.save(tmp_path / "linear.npz", np.eye(2, dtype=np.float32), LinearConfig(2, 0.1))
    with pytest.raises(ValueError, match="linear holds a linear optimizer"):
        lopt.star("linear")


def test_everything_shipped_loads_trains_and_has_a_card() -> None:
    assert {"fashion-mnist-mlp", "fashion-mnist-mlp-blackbox", "fashion-mnist-mlp-hyperparam"} <= {
        *saved_module.shipped()
    }
    for name in saved_module.shipped():
        config = TrainConfig.from_mapping(lopt.load(name).origin["run"])
        assert config.optimizer_config == lopt.load(name).config
        text = saved_module.card(name)
        for heading in ("How it was trained", "Where it works", "Where it does not", "Licence"):
            assert f"## {heading}" in text
        optimizer, params = lopt.star(name), {"w": np.ones((3, 2), np.float32)}
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        assert np.isfinite(updates["w"]).all()
        assert np.any(updates["w"] != 0)
    with pytest.raises(ValueError, match="nothing that ships is called 'x'"):
        saved_module.card("x")


def test_silent_heads() -> None:
    """With the last layer at zero a fresh Blackbox stands still and STAR is its nominal term."""
    gradients = {"w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2)}
    for config in (lopt.BLACKBOX, lopt.STAR):
        silent = replace(config, initial_head_scale=0.0)
        theta = lopt.init_meta_parameters(jax.random.key(1), silent)
        loud = lopt.init_meta_parameters(jax.random.key(1), config)
        for layer in range(2):
            np.testing.assert_array_equal(theta.network.weights[layer], loud.network.weights[layer])
        optimizer = lopt.star(theta, silent)
        updates, _ = optimizer.update(gradients, optimizer.init(gradients), gradients)
        if config.nominal_term is None:
            np.testing.assert_array_equal(updates["w"], 0)
        else:
            nominal = lopt.star(theta, replace(silent, blackbox_step=0.0))
            expected, _ = nominal.update(gradients, nominal.init(gradients), gradients)
            np.testing.assert_array_equal(updates["w"], expected["w"])
            assert np.any(updates["w"] != 0)
    for scale in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="initial_head_scale must be finite and at least 0"):
            replace(lopt.STAR, initial_head_scale=scale)
