"""One tiny configuration for every test of a run, so that it is compiled once."""

import pytest

from lopt.meta.config import TrainConfig


@pytest.fixture(scope="session")
def tiny() -> TrainConfig:
    """Two pairs, twelve outer steps of four inner steps; hyperparam compiles quickest."""
    return TrainConfig(
        optimizer="hyperparam",
        horizon=10,
        truncation=4,
        pairs=2,
        outer_steps=12,
        checkpoint_every=3,
        monitor_every=0,
    )
