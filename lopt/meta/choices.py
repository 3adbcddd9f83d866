"""What the fields of `TrainConfig` may be, each alone and all together."""

import math
from typing import Any

from lopt.checks import require, require_member
from lopt.meta.estimators.unroll import OBJECTIVES
from lopt.monitor.probing.warning_rules import WarningRule
from lopt.optimizers.star_update import (
    BLACKBOX,
    HYPERPARAM,
    NOMINAL_TERMS,
    STAR,
    NominalTerm,
    StarConfig,
)
from lopt.tasks.augmentation import LEVELS
from lopt.tasks.registry import parse_task_name

STARS: dict[str, StarConfig] = {"star": STAR, "blackbox": BLACKBOX, "hyperparam": HYPERPARAM}
LINEAR = "linear"
OPTIMIZERS = (*STARS, LINEAR)
NOMINAL: dict[str, NominalTerm | None] = {**{term: term for term in NOMINAL_TERMS}, "none": None}
NOMINAL_DECAYS = STAR.initial_momentum_decays
# The nominal terms with one momentum; the others take none or all.
ONE_MOMENTUM: tuple[NominalTerm, ...] = ("SGDM", "Adam")
BETAS = ("nominal_step", "nominal_exponent", "blackbox_step", "blackbox_exponent")
STAR_FIELDS = (
    *("nominal_term", "precondition", *BETAS, "initial_head_scale"),
    *("normalize_update", "normalized_step", "orthogonalize_update"),
)
EXACT = "exact"
# Tuned Adam's learning rate on the embedded images (`lopt evaluate`).
EMBEDDED_STEP = 0.01
# The name of a checkpoint has eight digits.
MOST_OUTER_STEPS = 10**8 - 1
# Far beyond what fits into memory or time, and within an int32.
MOST_INNER_STEPS, MOST_PAIRS = 10**8, 2**20
ESTIMATORS = (
    *("pes", "nres", "truncated-es", "full-es", "truncated-backprop", "full-backprop"),
    EXACT,
)
COSINE = "cosine"
INNER_SCHEDULES = ("constant", COSINE)
HORIZON_SCHEDULES = ("constant", "log-uniform", "growing")


def check(config: Any) -> None:
    """Raise `ValueError` where a field of a `TrainConfig` is out of its range, or does not go
    together with another.
    """
    _check_tasks(config)
    require_member("optimizer", config.optimizer, OPTIMIZERS)
    if config.nominal_term is not None:
        require_member("nominal_term", config.nominal_term, NOMINAL)
    if config.nominal_decay is not None:
        known = ", ".join(map(str, NOMINAL_DECAYS))
        decay = config.nominal_decay
        require("nominal_decay", decay, decay in NOMINAL_DECAYS, f"one of {known}")
    for name, most in (
        ("horizon", MOST_INNER_STEPS),
        ("truncation", MOST_INNER_STEPS),
        ("pairs", MOST_PAIRS),
        ("checkpoint_every", math.inf),
        ("outer_steps", MOST_OUTER_STEPS),
    ):
        value = getattr(config, name)
        require(name, value, value >= 1, "at least 1")
        require(name, value, value <= most, f"at most {most}")
    for name in BETAS:
        value = getattr(config, name)
        require(name, value, value is None or math.isfinite(value), "finite")
    for name in ("sigma", "learning_rate", "clip"):
        value = getattr(config, name)
        require(name, value, 0 < value < math.inf, "positive and finite")
    require(
        "weight_decay",
        config.weight_decay,
        0 <= config.weight_decay < math.inf,
        "at least 0 and finite",
    )
    if config.monitor_every is not None:
        require("monitor_every", config.monitor_every, config.monitor_every >= 0, "at least 0")
    require(
        "final_learning_rate",
        config.final_learning_rate,
        0 <= config.final_learning_rate <= 1,
        "in [0, 1]",
    )
    require_member("estimator", config.estimator, ESTIMATORS)
    _check_linear(config)
    _check_horizon(config)
    for rule in config.rules:
        WarningRule.parse(rule)
    if config.rules and config.monitor_every == 0:
        raise ValueError("rules need measurements, but monitor_every is 0. Take e.g. 50.")
    require("seed", config.seed, 0 <= config.seed < 2**32, "in [0, 2^32)")
    if config.devices is not None:
        require("devices", config.devices, config.devices >= 1, "at least 1")
    devices = config.devices or 1
    if config.pairs % devices:
        raise ValueError(
            f"pairs must be a multiple of devices; {config.pairs} is not one of {devices}. "
            f"Take {devices * max(1, config.pairs // devices)} pairs."
        )
    found = config.optimizer_config  # It raises where its terms or constants do not go together.
    if config.nominal_decay is not None and found.nominal_term not in ONE_MOMENTUM:
        raise ValueError(
            f"nominal_decay is for the nominal terms {' and '.join(ONE_MOMENTUM)}; it is "
            f"{found.nominal_term or 'none'} here. Leave nominal_decay out, or name such a term."
        )


def _check_tasks(config: Any) -> None:
    """Raise where a task is unknown or named twice, or where what is done to them is; let `task`
    name the first of several.
    """
    for name in (config.task, *config.tasks):
        parse_task_name(name)
    if config.tasks:
        usual = type(config).__dataclass_fields__["task"].default
        if config.task not in (usual, config.tasks[0]):
            raise ValueError(
                f"task is {config.task!r}, but tasks are given too. Name all of them in tasks."
            )
        if twice := [name for name in config.tasks if config.tasks.count(name) > 1]:
            raise ValueError(f"tasks names {twice[0]!r} twice. Name each task once.")
        object.__setattr__(config, "task", config.tasks[0])
    require_member("augmentation", config.augmentation, ("none", *LEVELS))
    least, most = config.augmentation_min, config.augmentation_max
    require("augmentation_min", least, 0 < least < math.inf, "positive and finite")
    require("augmentation_max", most, least <= most < math.inf, f"finite and at least {least}")
    require_member("meta_objective", config.meta_objective, OBJECTIVES)
    if config.estimator == EXACT:
        for name, usual in (
            ("tasks", ()),
            ("augmentation", "none"),
            ("meta_objective", "train"),
            ("inner_schedule", "constant"),
        ):
            if getattr(config, name) != usual:
                raise ValueError(f"estimator exact knows no {name}. Leave it out, or take pes.")


def _check_linear(config: Any) -> None:
    """Raise where the linear optimizer or the exact estimator does not fit the other fields."""
    if config.optimizer == LINEAR:
        if other := [name for name in config.task_names if parse_task_name(name) is not None]:
            raise ValueError(
                f"optimizer linear needs a task that is a quadratic; {other[0]!r} is none. "
                "Take --task quadratic."
            )
        for name in (*STAR_FIELDS, "nominal_decay"):
            if name != "nominal_step" and getattr(config, name) is not None:
                raise ValueError(f"{name} is no part of the linear optimizer. Leave it out.")
    elif config.estimator == EXACT:
        raise ValueError(
            f"estimator exact needs optimizer linear; it is {config.optimizer!r}. Take pes."
        )
    if config.estimator == EXACT:
        require(
            "horizon_schedule",
            config.horizon_schedule,
            config.horizon_schedule == "constant",
            "constant for estimator exact",
        )
        require("devices", config.devices, config.devices in (1, None), "1 for estimator exact")


def _check_horizon(config: Any) -> None:
    """Raise where the schedule's bounds are missing or out of order."""
    schedule, least = config.horizon_schedule, config.horizon_min
    require_member("horizon_schedule", schedule, HORIZON_SCHEDULES)
    require_member("inner_schedule", config.inner_schedule, INNER_SCHEDULES)
    if schedule == "constant":
        if least is not None:
            raise ValueError(
                f"horizon_min is {least}, but horizon_schedule is constant. Leave it out, or take "
                "log-uniform or growing."
            )
    elif least is None:
        raise ValueError(f"horizon_schedule {schedule} needs horizon_min, from 1 to the horizon.")
    else:
        require("horizon_min", least, 1 <= least <= config.horizon, "from 1 to the horizon")
    require("horizon_growth", config.horizon_growth, 0 < config.horizon_growth <= 1, "in (0, 1]")
