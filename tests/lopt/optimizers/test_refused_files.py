"""Saved and released meta-parameters that are not believed, and in what words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import lopt
from lopt.cli import main
from lopt.optimizers.linear import LinearConfig
from nqm.untrusted import LONGEST_LINE

THETA = lopt.init_meta_parameters(jax.random.key(5), lopt.STAR)
RELEASED = lopt.to_released(
    lopt.init_meta_parameters(jax.random.key(5), lopt.BLACKBOX), lopt.BLACKBOX
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lopt.save(tmp_path / "a.npz", THETA, lopt.STAR)
    return tmp_path / "a.npz"


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the JSON header of a saved file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays.pop("header")))
    changed = change(header)
    np.savez(path, header=np.array(json.dumps(header if changed is None else changed)), **arrays)


@pytest.mark.parametrize("value", [True, float("nan"), -1, 0, 4.0, None, "4", [4]])
def test_a_format_that_is_no_format(path: Path, value: object) -> None:
    rewrite(path, lambda header: header.update(format=value))
    with pytest.raises(ValueError, match="format must be a whole number from 1 to 6"):
        lopt.load(path)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("nominal_step", float("nan"), "nominal_step must be .*; it is nan"),
        ("nominal_step", float("inf"), "nominal_step must be .*; it is inf"),
        ("nominal_step", -1e-3, "nominal_step must be finite and at least 0; it is "),
        ("nominal_step", 1e300, "nominal_step must be finite and at least 0; it is "),
        ("blackbox_step", None, "blackbox_step must be of type float; it is null"),
        ("blackbox_exponent", 10**390, "must be of type float; it is 1000"),
        ("initial_head_scale", [1.0], "must be of type float; it is \\[1.0\\]"),
        ("initial_momentum_decays", 0.9, "must be a list of numbers; it is 0.9"),
        (
            "initial_momentum_decays",
            [],
            "initial_momentum_decays must be a list of 1 to 64 entries",
        ),
        ("initial_rms_decays", [float("nan")], "initial_rms_decays must be .*; it is nan"),
        ("initial_rms_decays", [1.5], r"each of initial_rms_decays must be in \[0, 1\); it is 1.5"),
        ("initial_rms_decays", [0.9] * 1000, "has 1000 entries; 64 is the most"),
        ("hidden_widths", [0, 4], "hidden_widths must be a whole number from 1 to 65536; it is 0"),
        (
            "hidden_widths",
            [10**9],
            "hidden_widths must be a whole number from 1 to 65536; it is 1000000000",
        ),
        ("hidden_widths", [4.0], r"hidden_widths\[0\] must be of type int; it is 4.0"),
        ("hidden_widths", {"a": 1}, "must be a list of numbers; it is an object of 1"),
        ("nominal_term", ["Adam"], "nominal_term must be of type str or null"),
        ("precondition", 1, "precondition must be of type bool; it is 1"),
        ("normalize_update", None, "normalize_update must be of type bool; it is null"),
        ("normalized_step", float("nan"), "normalized_step must be .*; it is nan"),
        ("nominal_stepp", 1.0, "Did you mean 'nominal_step'"),
    ],
)
def test_a_constant_that_cannot_be_meant(
    path: Path, field: str, value: object, complaint: str
) -> None:
    rewrite(path, lambda header: header["config"].update({field: value}))
    with pytest.raises(ValueError, match=complaint) as caught:
        lopt.load(path)
    assert len(str(caught.value)) <= LONGEST_LINE


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda header: [header], "its header must be an object"),
        (lambda header: header.update(config=[1, 2]), "config must be an object"),
        (lambda header: header.update(origin=[1]), "origin must be an object"),
        (lambda header: header.update(names={}), "names must be a list of strings"),
        (
            lambda header: header.update(names=header["names"][:-1]),
            "it has 9 arrays; its configuration needs 10",
        ),
        (lambda header: header.update(family=["star"]), "family must be one of star, linear"),
        (lambda header: header.update(family="linear"), "'nominal_term' is no field"),
    ],
)
def test_a_header_of_another_form(path: Path, change: Any, complaint: str) -> None:
    rewrite(path, change)
    with pytest.raises(ValueError, match=complaint):
        lopt.load(path)


@pytest.mark.parametrize(
    ("array", "complaint"),
    [
        (np.zeros((39, 5), np.float32), r"shape \[39, 5\]; its configuration needs \[39, 4\]"),
        (np.zeros((39, 4), np.int32), "of type 'int32'; allowed are: floats"),
        (np.zeros((39, 4), np.complex64), "of type 'complex64'"),
        (np.full((39, 4), 1e39), "not finite in"),
    ],
)
def test_weights_of_another_shape_or_type(path: Path, array: Any, complaint: str) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "0": array})
    with pytest.raises(ValueError, match=complaint):
        lopt.load(path)


@pytest.mark.parametrize("dimension", [0, -1, 10**6])
def test_a_linear_optimizer_of_no_dimension_or_too_many(dimension: int) -> None:
    with pytest.raises(ValueError, match="dimension must be a whole number from 1 to 32768"):
        LinearConfig(dimension, 0.1)
    with pytest.raises(ValueError, match="nominal_step must be finite"):
        LinearConfig(2, float("nan"))


RELEASED_FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "shape": ({"theta_w1": np.zeros((5, 4), np.float32)}, {}, r"theta_w1 has shape \[5, 4\]"),
    "inputs": (
        {"theta_w0": np.zeros((28, 4), np.float32)},
        {},
        r"shape \[28, 4\]; its configuration needs \[39, 4\]",
    ),
    "axes": ({"theta_b0": np.zeros((4, 1), np.float32)}, {}, "theta_b0 must have 1 axes"),
    "integers": ({"theta_b0": np.zeros(4, np.int64)}, {}, "floats|int64"),
    "text": ({"theta_b0": np.array("abcd")}, {}, "floats|U4"),
    "not finite": ({"theta_b0": np.full(4, np.nan, np.float32)}, {}, "not finite"),
    "depth": ({}, {"hidden_layers": 3}, "its configuration needs"),
    "width": ({}, {"hidden_size": 8}, "its configuration needs"),
    "huge": ({}, {"hidden_layers": 10**12}, "must be from 1 to 64"),
    "step": ({}, {"step_mult": float("nan")}, "blackbox_step must be .*nan"),
    "negative step": (
        {},
        {"step_mult": -1.0},
        "blackbox_step must be finite and at least 0; it is -1.0",
    ),
    "null": ({}, {"exp_mult": None}, "must be of type float; it is null"),
    "decays": ({}, {"initial_momentum_decays": 0.9}, "must be a list of numbers"),
    "kind": ({}, {"kind": ["star"]}, "must be one of star, small_fc_lopt"),
}


@pytest.mark.parametrize("name", RELEASED_FAULTS)
def test_a_damaged_release_is_neither_used_nor_converted(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays, changes, complaint = RELEASED_FAULTS[name]
    made, config = {**RELEASED.arrays, **arrays}, {**RELEASED.config, **changes}
    with pytest.raises(ValueError, match=complaint):
        lopt.from_released(made, config)
    source, target = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(source, **{"config": np.array(json.dumps(config)), **made})
    assert main(["convert", str(source), str(target)]) == 2
    assert not target.exists()
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert len(err) <= LONGEST_LINE + 1


def test_what_a_release_lacks_is_named() -> None:
    config = {k: v for k, v in RELEASED.config.items() if k != "exp_mult"}
    with pytest.raises(ValueError, match="config lacks 'exp_mult'"):
        lopt.released_config(config)
