"""Outer steps over virtual devices: what more of them gain, and what their reduction costs.

    python -m benchmarks.scaling [--task NAME] [--pairs N] [DEVICES ...]

For each number of devices (1, 2 and 4 unless given) the time of an outer step on one device over
that on so many, and the share of the step that is the mean of meta-gradient, loss and count over
the devices: the same step without that mean is timed beside it. Devices beyond the cores share
them, so that the gain ends at the number of cores where nothing else stands in the way.
"""

import argparse
import os
from typing import Any

import jax

from benchmarks.meta_training import REPEATS, best, default_task, outer
from lopt.meta.config import TrainConfig
from lopt.tasks.registry import make_task


def alone(config: TrainConfig, task: Any) -> Any:
    """The outer step in which every device keeps to its own pairs."""
    mean = jax.lax.pmean
    jax.lax.pmean = lambda tree, axis: tree
    try:
        return outer(config, task)[1]
    finally:
        jax.lax.pmean = mean


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("devices", nargs="*", type=int, default=[1, 2, 4])
    parser.add_argument("--task", default=None)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", max(options.devices))
    name = options.task or default_task()
    task = make_task(name)
    cores = len(os.sched_getaffinity(0))
    print(f"{name}, {options.pairs} pairs, {cores} cores, jax {jax.__version__}")
    print("devices  speed over one device  share of the reduction")
    first = None
    for devices in options.devices:
        config = TrainConfig(task=name, pairs=options.pairs, horizon=2000, devices=devices)
        calls = {"whole": outer(config, task)[1], "alone": alone(config, task)}
        times = best(calls, REPEATS)
        first = first or times["whole"]
        share = 1 - times["alone"] / times["whole"]
        print(f"{devices:7d}  {first / times['whole']:21.2f}  {share:22.1%}", flush=True)


if __name__ == "__main__":
    main()
