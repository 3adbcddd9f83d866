"""The released layout and back: nothing is lost, and steps are the same."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt
from lopt.cli import main

VECTORS = sorted((Path(__file__).parent / "parity").glob("*.npz"))
EXPRESSIBLE = {
    "star": replace(lopt.STAR, blackbox_step=2e-3, hidden_widths=(8, 8, 8)),
    "fixed nominal step": replace(lopt.STAR, nominal_controller=False, nominal_term="SGDM"),
    "bare blackbox": lopt.BLACKBOX,
}


def first_step(theta, config):
    optimizer = lopt.star(theta, config, fused=False)
    params = {"w": jnp.linspace(-1, 1, 12).reshape(4, 3), "b": jnp.linspace(0, 1, 3)}
    gradient = jax.tree.map(jnp.cos, params)
    return jax.jit(optimizer.update)(gradient, optimizer.init(params), params)[0]


@pytest.mark.parametrize("path", VECTORS, ids=lambda p: p.stem)
def test_released_arrays_come_back(path) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    config = json.loads(str(arrays["config"]))
    released = lopt.to_released(lopt.released_meta_parameters(arrays), lopt.released_config(config))
    for name, array in arrays.items():
        if name.startswith("theta_"):
            np.testing.assert_array_equal(released.arrays[name], array)
    for name, value in released.config.items():
        assert (
            value == pytest.approx(config[name], rel=1e-12)
            if isinstance(value, float)
            else (value == config[name])
        )


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_the_converted_optimizer_is_the_same(name) -> None:
    config = EXPRESSIBLE[name]
    theta = lopt.init_meta_parameters(jax.random.key(1), config)
    if theta.log_nominal_scale.size:
        theta = theta._replace(log_nominal_scale=jnp.array([0.7]))
    released = lopt.to_released(theta, config)
    there = lopt.released_meta_parameters(released.arrays)
    a, b = first_step(theta, config), first_step(there, lopt.released_config(released.config))
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        (lopt.HYPERPARAM, "blackbox_term"),
        (replace(lopt.STAR, nominal_term=None), "precondition"),
        (replace(lopt.STAR, weight_decay=0.1), "weight_decay"),
        (replace(lopt.STAR, nominal_exponent=0.1), "nominal_exponent"),
        (replace(lopt.STAR, hidden_widths=(4, 8)), "hidden_widths"),
    ],
)
def test_what_the_release_cannot_express(config, rule) -> None:
    theta = lopt.init_meta_parameters(jax.random.key(1), config)
    with pytest.raises(ValueError, match=rule):
        lopt.to_released(theta, config)


def test_the_command_both_ways(tmp_path: Path, capsys) -> None:
    source = next(p for p in VECTORS if p.stem == "star_Adam_ctrl1_norm1")
    here, back = tmp_path / "here.npz", tmp_path / "back.npz"
    assert main(["convert", str(source), str(here)]) == 0
    assert lopt.load(here).config.nominal_term == "Adam"
    assert main(["convert", str(here), str(back)]) == 0
    with np.load(source) as old, np.load(back) as new:
        for name in new.files:
            if name != "config":
                np.testing.assert_array_equal(old[name], new[name])
    assert main(["convert", str(source), str(here)]) == 2
    assert "exists; name a new file" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "none.npz"), str(tmp_path / "x.npz")]) == 2
    assert "does not exist" in capsys.readouterr().err
