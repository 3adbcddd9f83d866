"""STAR learned optimizers in JAX: use them from optax, meta-train them, watch their eigenvalues."""

from lopt.meta.config import TrainConfig
from lopt.meta.estimators import PES
from lopt.meta.trainer import Trainer
from lopt.monitor import Probe
from lopt.optimizers.compiling import compiler_options
from lopt.optimizers.released import (
    from_released,
    released_config,
    released_meta_parameters,
    to_released,
)
from lopt.optimizers.saved import Saved, card, load, save, shipped
from lopt.optimizers.star import (
    BLACKBOX,
    HYPERPARAM,
    STAR,
    MetaParameters,
    StarConfig,
    init_meta_parameters,
    star,
)
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task

__all__ = [
    "BLACKBOX",
    "HYPERPARAM",
    "PES",
    "STAR",
    "MetaParameters",
    "Probe",
    "Saved",
    "StarConfig",
    "Task",
    "TrainConfig",
    "Trainer",
    "card",
    "compiler_options",
    "from_released",
    "init_meta_parameters",
    "load",
    "make_task",
    "released_config",
    "released_meta_parameters",
    "save",
    "shipped",
    "star",
    "to_released",
]
