"""STAR on parameters that are spread over devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen():
    done = subprocess.run(
        [sys.executable, "-m", "tests.lopt.optimizers.sharded"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_state_is_spread_along_the_axes_of_its_parameter(seen) -> None:
    """Of a 16 x 8 matrix the row is a mean over the first axis, the column over the second."""
    assert seen["placement"] == {
        **{f"{name} {axis}": [axis + 1] for name in ("momentum", "rms") for axis in (0, 1)},
        "row 0": [],
        "row 1": [2],
        "column 0": [1],
        "column 1": [],
    }


def test_a_loop_inside_shard_map_trains_each_part_as_alone(seen) -> None:
    assert seen["shard_map"] <= 1e-7


def test_a_loop_over_steps_runs_on_explicit_axes(seen) -> None:
    assert max(seen["explicit"]) <= 1e-6


def test_the_root_mean_square_of_an_update_is_that_over_all_devices(seen) -> None:
    """Steps of 1e-3: the rounding of the parameters is 1e-7."""
    assert max(seen["normalized"]) <= 1e-6


def test_a_tensor_swept_in_blocks_may_lie_on_a_mesh(seen) -> None:
    assert max(seen["blocks"]) <= 1e-5


def test_names_of_axes_in_a_variable_stay_with_their_axes(seen) -> None:
    both, first = [None, "i", None], [None, None, None]
    assert seen["nnx"] == {"momentum": both, "rms": both, "column": both, "row": first}
