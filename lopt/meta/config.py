"""The configuration of a meta-training run: plain frozen values, all of which are written into
the run directory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import optax

from lopt.meta.choices import (
    COSINE,
    EMBEDDED_STEP,
    ESTIMATORS,
    EXACT,
    LINEAR,
    NOMINAL,
    NOMINAL_DECAYS,
    STAR_FIELDS,
    STARS,
    check,
)
from lopt.meta.estimators import (
    PES,
    Annealed,
    Constant,
    Estimator,
    FullBackprop,
    FullES,
    Growing,
    LogUniform,
    Schedule,
    TruncatedBackprop,
)
from lopt.meta.estimators.exact import ExactMetaGradient
from lopt.meta.estimators.unroll import VALIDATION
from lopt.meta.fields import setting
from lopt.meta.meta_optimizer import make_meta_optimizer
from lopt.optimizers.files.configuration import from_fields
from lopt.optimizers.linear import LinearConfig
from lopt.optimizers.star_update import StarConfig
from lopt.tasks.augmentation import augmented
from lopt.tasks.registry import make_quadratic, make_task
from lopt.tasks.task import Task
from lopt.tasks.wrappers import with_validation


@dataclass(frozen=True)
class TrainConfig:
    """The configuration of a meta-training run; ``lopt train --help`` describes every field.

    Raises
    ------
    ValueError
        Where a value is outside its range; the message names the field, the value and the rule.
    """

    task: str = setting(
        "fashion-mnist-8x8-mlp", "inner problem to train on", "MLP on 28x28 Fashion-MNIST"
    )
    tasks: tuple[str, ...] = setting(
        (),
        "several inner problems, whose meta-gradients are averaged in every outer step; each gets "
        "as many pairs as `pairs` says",
        unset="the one that task names",
    )
    augmentation: str = setting(
        "none",
        "reparametrization of the inner problems by a scale that each particle draws anew when its "
        "episode begins: none; global, one scale for all parameters; tensor, one for each tensor; "
        "parameter, one for each parameter",
        "none",
    )
    augmentation_min: float = setting(0.01, "smallest scale of the augmentation")
    augmentation_max: float = setting(100.0, "largest scale of the augmentation")
    meta_objective: str = setting(
        "train",
        "batch on which the meta-loss is measured: train, the one that the step learns from; "
        "fresh-batch, another one; validation, one of the last tenth of the examples, from which "
        "no step learns",
        "train",
    )
    optimizer: str = setting(
        "star",
        "learned optimizer: star, blackbox, hyperparam, or linear, whose meta-parameters are the "
        "matrix P of section 4, whose alpha is nominal_step, and which needs a quadratic task",
        "star",
    )
    nominal_term: str | None = setting(
        None, "direction of the nominal term; 'none' leaves the term out", "AdamAggMo"
    )
    nominal_decay: float | None = setting(
        None,
        "initial decay of the momentum that nominal terms SGDM and Adam take, one of "
        f"{', '.join(map(str, NOMINAL_DECAYS))}",
        unset=str(NOMINAL_DECAYS[-1]),
    )
    precondition: bool | None = setting(
        None, "whether the blackbox term is divided by the root v of the second moment", "yes"
    )
    nominal_step: float | None = setting(
        None,
        "beta_1, the step size of the nominal term before it is modulated; on the embedded images, "
        f"without --preset, --config and --normalize-update, {EMBEDDED_STEP}, the rate of tuned "
        "Adam",
        1e-3,
    )
    nominal_exponent: float | None = setting(
        None, "beta_2, the scale of the exponent that modulates the nominal term", 1e-3
    )
    blackbox_step: float | None = setting(
        None, "beta_3, the step size of the blackbox term before it is modulated", 1e-3
    )
    blackbox_exponent: float | None = setting(
        None, "beta_4, the scale of the exponent that modulates the blackbox term", 1e-3
    )
    initial_head_scale: float | None = setting(
        None,
        "scale of the initial random weights in the network's last layer; 0 starts without a "
        "blackbox term",
        unset="1",
    )
    normalize_update: bool | None = setting(
        None,
        "whether the sum of both terms is divided by its root mean square over each tensor; "
        "nominal_step and blackbox_step then set only the terms' relative weights",
        unset="no",
    )
    normalized_step: float | None = setting(
        None, "root mean square of a normalized update of each tensor", unset="1e-3"
    )
    orthogonalize_update: bool | None = setting(
        None,
        "whether the singular values of a normalized update of each matrix are brought near one, "
        "as in Muon; it needs normalize_update",
        unset="no",
    )
    estimator: str = setting(
        "pes",
        f"estimator of the meta-gradient: {', '.join(ESTIMATORS)}, which is the closed form for "
        "the linear optimizer",
        "pes",
    )
    horizon: int = setting(500, "largest number of inner steps in an episode", 2000)
    horizon_schedule: str = setting(
        "constant",
        "length of the episodes: constant, log-uniform, or growing up to the horizon",
        "constant",
    )
    horizon_min: int | None = setting(
        None,
        "shortest episode of the log-uniform schedule, or first one of the growing schedule",
        unset="none",
    )
    horizon_growth: float = setting(
        0.5, "fraction of the outer steps after which a growing schedule reaches the horizon"
    )
    inner_schedule: str = setting(
        "constant",
        "factor on the inner steps of an episode: constant, or cosine, which falls from 1 to 0 "
        "over its length as a learning rate does in use",
        "constant",
    )
    truncation: int = setting(
        50, "inner steps per outer step; the full estimators run a whole episode instead", 50
    )
    pairs: int = setting(
        8, "number of antithetic pairs of particles; with backpropagation, of particles"
    )
    sigma: float = setting(0.01, "standard deviation of the perturbations", 0.01)
    outer_steps: int = setting(400, "number of meta-training steps")
    learning_rate: float = setting(5e-3, "learning rate of AdamW on the meta-parameters", 1e-4)
    final_learning_rate: float = setting(
        0.05,
        "fraction of the learning rate that a cosine decay ends at; 1 keeps the rate constant",
        1.0,
    )
    weight_decay: float = setting(
        0.1,
        "weight decay of the network's weights, which AdamW multiplies by the learning rate",
        "0.1 and 0.5; elsewhere 0",
    )
    clip: float = setting(
        1.0, "largest global norm of the meta-gradient, beyond which it is clipped", 1.0
    )
    seed: int = setting(0, "random seed of the run")
    devices: int | None = setting(
        None,
        "number of devices over which the pairs are spread",
        unset="as many as there are and divide the pairs; a CPU's cores where that is faster",
    )
    monitor_every: int | None = setting(
        None,
        "outer steps between two measurements of the eigenvalues; 0 switches the monitor off",
        unset="such that measurements take about 4 % of the time",
    )
    rules: tuple[str, ...] = setting(
        (),
        "actions that eigenvalues trigger, such as 'radius>1.05 for 3: stop'; the actions are "
        "stop, log, checkpoint and raise-weight-decay",
        unset="none",
    )
    checkpoint_every: int = setting(100, "outer steps between two checkpoints")

    def __post_init__(self) -> None:
        check(self)

    @property
    def optimizer_config(self) -> StarConfig | LinearConfig:
        """The learned optimizer's terms and constants."""
        if self.optimizer == LINEAR:
            return LinearConfig(make_quadratic(self.task).dimension, self.nominal_step or 0.0)
        given = {k: getattr(self, k) for k in STAR_FIELDS if getattr(self, k) is not None}
        if self.nominal_term is not None:
            given["nominal_term"] = NOMINAL[self.nominal_term]
        if self.nominal_decay is not None:  # these terms take the last momentum
            order = sorted(NOMINAL_DECAYS, key=lambda decay: decay == self.nominal_decay)
            given["initial_momentum_decays"] = given["initial_adafactor_decays"] = tuple(order)
        return replace(STARS[self.optimizer], **given)

    def spread(self, present: int) -> int:
        """The number of devices over which the pairs are spread where `present` are available.

        Examples
        --------
        >>> TrainConfig(pairs=6).spread(4), TrainConfig(pairs=6, devices=2).spread(4)
        (3, 2)
        """
        if self.devices is not None:
            return self.devices
        most = 1 if self.estimator == EXACT else min(self.pairs, present)
        return max(n for n in range(1, most + 1) if self.pairs % n == 0)

    @property
    def task_names(self) -> tuple[str, ...]:
        """The names of all inner problems."""
        return self.tasks or (self.task,)

    def make_task(self) -> Task:
        """The inner problem, the first if there are several, with its data loaded."""
        return self.prepared(make_task(self.task))

    def make_tasks(self) -> tuple[Task, ...]:
        """All inner problems with their data loaded."""
        return tuple(self.prepared(make_task(name)) for name in self.task_names)

    def prepared(self, task: Task) -> Task:
        """The task with the validation examples and the augmentation of the configuration."""
        if self.meta_objective == VALIDATION and not jax.tree.leaves(task.validation):
            task = with_validation(task)
        if self.augmentation == "none":
            return task
        return augmented(task, self.augmentation, self.augmentation_min, self.augmentation_max)

    def make_optimizer(
        self, theta: Any, *, fused: bool = True
    ) -> optax.GradientTransformationExtraArgs:
        """The inner optimizer with meta-parameters theta; see `lopt.star` for `fused`."""
        return self.optimizer_config.make(theta, fused=fused)

    def make_schedule(self) -> Schedule:
        """The distribution of an episode's length, and whether its steps are annealed."""
        lengths = self._lengths()
        return Annealed(lengths) if self.inner_schedule == COSINE else lengths

    def _lengths(self) -> Schedule:
        if self.horizon_schedule == "constant" or self.horizon_min is None:
            return Constant(self.horizon)
        if self.horizon_schedule == "log-uniform":
            return LogUniform(self.horizon_min, self.horizon)
        growth = max(1, round(self.horizon_growth * self.outer_steps))
        return Growing(self.horizon_min, self.horizon, growth)

    def make_estimator(self, task: Task) -> Estimator:
        """The estimator of the meta-gradient on a task.

        Backpropagation takes the unfused optimizer, whose update can be differentiated cheaply.
        """
        horizon, make, pairs = self.make_schedule(), self.make_optimizer, self.pairs
        objective = self.meta_objective
        unfused = partial(make, fused=False)
        match self.estimator:
            case "exact":
                if task.quadratic is None:
                    raise ValueError(f"estimator exact needs a quadratic; {task.name!r} is none.")
                step = self.optimizer_config.nominal_step
                return ExactMetaGradient(task.quadratic, step, self.horizon)
            case "full-es":
                return FullES(task, make, horizon, pairs, self.sigma, objective=objective)
            case "truncated-backprop":
                return TruncatedBackprop(
                    task, unfused, horizon, self.truncation, pairs, objective=objective
                )
            case "full-backprop":
                return FullBackprop(task, unfused, horizon, pairs, objective)
        return PES(
            task,
            make,
            horizon,
            self.truncation,
            pairs,
            self.sigma,
            persistent=self.estimator != "truncated-es",
            noise="shared" if self.estimator == "nres" else "individual",
            objective=objective,
        )

    def make_meta_optimizer(self) -> optax.GradientTransformationExtraArgs:
        """The optimizer of the meta-parameters, see `lopt.meta.meta_optimizer`."""
        return make_meta_optimizer(self)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The configuration with these values; an unknown key is an error that names the nearest
        field, and a value of the wrong type is an error, too.
        """
        return from_fields(cls, values)
