"""Windows of data that pass through: every example once a pass, the same for a run that resumes."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt
from lopt.tasks.data.stream import Windows


def test_windows_of_a_memory_map_hold_every_example_once_a_pass(tmp_path: Path) -> None:
    examples = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(60, 2))
    examples[:] = np.arange(60)[:, None]
    windows = Windows(examples, size=15, seed=3)
    found = [np.asarray(windows[t])[:, 0] for t in range(8)]
    for first in (0, 4):
        assert sorted(np.concatenate(found[first : first + 4])) == list(range(60))
    assert not np.array_equal(found[0], found[4]), "each pass has its own order"
    for t, window in zip(range(5, 8), windows.since(5), strict=False):
        np.testing.assert_array_equal(window[:, 0], found[t])


def test_a_window_has_to_fit() -> None:
    with pytest.raises(ValueError, match="from 1 to the number of examples, 10; it is 11"):
        Windows(np.zeros(10), size=11)


def test_an_outer_step_sees_its_own_window_and_so_does_a_resumed_one() -> None:
    """The loss is the mean of the batch, here a constant one a window."""
    source = np.repeat(np.arange(4, dtype=np.float32), 8)

    class Grouped(Windows):
        def __getitem__(self, t: int) -> np.ndarray:
            return source[8 * (t % 4) : 8 * (t % 4) + 8]

        def since(self, t: int):
            while True:
                yield self[t]
                t += 1

    task = lopt.Task(
        "means",
        init=lambda key: jnp.zeros(()),
        loss=lambda phi, key, batch: jnp.mean(batch) + 0.0 * phi,
        data=source[:8],
        batch_size=3,
        stream=Grouped(source, size=8),
    )
    config = lopt.TrainConfig(
        optimizer="hyperparam", horizon=4, truncation=2, pairs=1, monitor_every=0
    )
    trainer = lopt.Trainer(config, task)
    state = trainer.init()
    for outer_step in (0, 1, 2, 1, 6):
        state, seen = trainer.step(state, outer_step)
        assert float(seen["meta_loss"]) == outer_step % 4
    assert jax.tree.all(jax.tree.map(lambda x: bool(jnp.isfinite(x).all()), state.theta))
