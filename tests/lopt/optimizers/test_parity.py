"""The vectors of the released optimizers are reproduced, step by step."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt
from tests.xla import SHIPPED

VECTORS = sorted((Path(__file__).parent / "parity").glob("*.npz"))
SHIPPED_FORM = "star_Adam_ctrl1_norm1"
# A step is a difference of float32 parameters, so it carries their rounding besides its own error.
STEP_ERROR = 1e-5
ROUNDING = 2 * np.finfo(np.float32).eps


def load(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(str(arrays["config"]))


def test_every_vector_is_here() -> None:
    assert len(VECTORS) == 6
    assert SHIPPED_FORM in {path.stem for path in VECTORS}


# As it is shipped, the fused form compiles for six seconds.
CASES = [
    pytest.param(
        path,
        form,
        id=f"{path.stem}-{form}",
        marks=[pytest.mark.thorough] if form == "shipped" and index else [],
    )
    for form in ("shipped", "fused", "plain")
    for index, path in enumerate(sorted(VECTORS, key=lambda p: p.stem != SHIPPED_FORM))
]


@pytest.mark.parametrize(("path", "form"), CASES)
def test_each_step_from_the_reference_parameters(path: Path, form: str) -> None:
    """Parameters are set to the reference before each step, so that errors do not add up."""
    arrays, config = load(path)
    count = len(config["shapes"])
    theta = lopt.released_meta_parameters(arrays)
    optimizer = lopt.star(theta, lopt.released_config(config), fused=form != "plain")
    update = jax.jit(optimizer.update, compiler_options=SHIPPED if form == "shipped" else None)
    params = [jnp.asarray(arrays[f"init_p{k}"]) for k in range(count)]
    state = optimizer.init(params)
    for step in range(config["steps"]):
        gradients = [jnp.asarray(arrays[f"grad_{step}_p{k}"]) for k in range(count)]
        updates, state = update(gradients, state, params)
        after = [arrays[f"params_{step}_p{k}"] for k in range(count)]
        for moved, old, new in zip(updates, params, after, strict=True):
            expected = new.astype(np.float64) - np.asarray(old, np.float64)
            allowed = STEP_ERROR * np.abs(expected).max() + ROUNDING * np.abs(new).max()
            assert np.abs(np.asarray(moved) - expected).max() <= allowed
        params = [jnp.asarray(x) for x in after]


def test_from_released_builds_the_transformation() -> None:
    arrays, config = load(VECTORS[0])
    optimizer = lopt.from_released(arrays, config)
    params = {"w": jnp.ones((3, 2))}
    updates, _ = jax.eval_shape(optimizer.update, params, optimizer.init(params), params)
    assert updates["w"].shape == (3, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "lstm"}, "config\\['kind'\\] must be one of star, small_fc_lopt; it is 'lstm'"),
        ({"nominal": "LAMB"}, "nominal_term must be one of"),
    ],
)
def test_bad_configuration(change: dict, message: str) -> None:
    arrays, config = load(next(p for p in VECTORS if p.stem.startswith("star")))
    with pytest.raises(ValueError, match=message):
        lopt.from_released(arrays, {**config, **change})


def test_missing_array() -> None:
    arrays, config = load(VECTORS[0])
    del arrays["theta_b1"]
    with pytest.raises(ValueError, match="arrays lacks 'theta_b1'"):
        lopt.from_released(arrays, config)
