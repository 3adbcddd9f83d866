"""The configuration of a meta-training run: plain frozen values, the whole of which goes into
the run directory.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import optax

from lopt.optimizers.star import (
    BLACKBOX,
    HYPERPARAM,
    STAR,
    MetaParameters,
    StarConfig,
    star,
)
from lopt.tasks.registry import make_task, parse_task_name
from lopt.tasks.task import Task

OPTIMIZERS: dict[str, StarConfig] = {"star": STAR, "blackbox": BLACKBOX, "hyperparam": HYPERPARAM}


def _field(default: Any, help: str) -> Any:
    """A dataclass field that documents itself."""
    from dataclasses import field

    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TrainConfig:
    """One meta-training run; ``lopt train --help`` prints every field.

    Raises
    ------
    ValueError
        Where a value is outside its range; the message names the field, the value and the rule.
    """

    task: str = _field("fashion-mnist-8x8-mlp", "the inner problem")
    optimizer: str = _field("star", "the learned optimizer: star, blackbox or hyperparam")
    nominal_step: float | None = _field(None, "beta_1; the optimizer's own where not given")
    nominal_exponent: float | None = _field(None, "beta_2")
    blackbox_step: float | None = _field(None, "beta_3")
    blackbox_exponent: float | None = _field(None, "beta_4")
    horizon: int = _field(500, "inner steps an episode (paper: 2000)")
    truncation: int = _field(50, "inner steps between two outer steps (paper: 50)")
    pairs: int = _field(16, "antithetic pairs of particles")
    sigma: float = _field(0.01, "standard deviation of a perturbation (paper: 0.01)")
    outer_steps: int = _field(1500, "steps of meta-training")
    learning_rate: float = _field(1e-3, "of AdamW on the meta-parameters (paper: 1e-4)")
    final_learning_rate: float = _field(1.0, "cosine decay to this fraction; 1 keeps it constant")
    weight_decay: float = _field(
        0.1, "of the network's weights, times the learning rate (paper: 0.1, 0.5)"
    )
    clip: float = _field(1.0, "global norm that a meta-gradient is clipped to (paper: 1.0)")
    seed: int = _field(0, "of everything random in the run")
    devices: int = _field(1, "devices that the pairs are spread over")
    monitor_every: int = _field(
        50, "outer steps between two measurements of the eigenvalues; 0 is off"
    )
    checkpoint_every: int = _field(100, "outer steps between two checkpoints")

    def __post_init__(self) -> None:
        parse_task_name(self.task)
        _member("optimizer", self.optimizer, OPTIMIZERS)
        for name in (
            "horizon",
            "truncation",
            "pairs",
            "devices",
            "checkpoint_every",
            "outer_steps",
        ):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name in ("sigma", "learning_rate", "clip"):
            value = getattr(self, name)
            _require(name, value, 0 < value < math.inf, "positive and finite")
        _require("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0")
        _require("monitor_every", self.monitor_every, self.monitor_every >= 0, "at least 0")
        _require(
            "final_learning_rate",
            self.final_learning_rate,
            0 <= self.final_learning_rate <= 1,
            "in [0, 1]",
        )
        _require("seed", self.seed, 0 <= self.seed < 2**32, "in [0, 2^32)")
        if self.pairs % self.devices:
            raise ValueError(
                f"pairs must be a multiple of devices; {self.pairs} is not one of {self.devices}. "
                f"Take {self.devices * max(1, self.pairs // self.devices)} pairs."
            )

    @property
    def star_config(self) -> StarConfig:
        """The learned optimizer's terms and constants."""
        names = ("nominal_step", "nominal_exponent", "blackbox_step", "blackbox_exponent")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(OPTIMIZERS[self.optimizer], **given)

    def make_task(self) -> Task:
        """The inner problem, its data loaded."""
        return make_task(self.task)

    def make_optimizer(
        self, theta: MetaParameters, *, fused: bool = True
    ) -> optax.GradientTransformationExtraArgs:
        """The inner optimizer of meta-parameters theta; see `lopt.star` for `fused`."""
        return star(theta, self.star_config, fused=fused)

    def make_meta_optimizer(self) -> optax.GradientTransformationExtraArgs:
        """AdamW with clipping as in Appendix B; weight decay acts on the network's weights alone
        (section 5.1).

        A meta-gradient that is not finite is skipped and counted.
        """
        rate: Any = self.learning_rate
        if self.final_learning_rate < 1:
            rate = optax.cosine_decay_schedule(rate, self.outer_steps, self.final_learning_rate)
        adamw = optax.adamw(rate, weight_decay=self.weight_decay, mask=_decayed)
        chain = optax.chain(optax.clip_by_global_norm(self.clip), adamw)
        return optax.apply_if_finite(chain, max_consecutive_errors=10)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The configuration of a mapping; an unknown key is an error that names the nearest
        field.
        """
        from difflib import get_close_matches

        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                near = get_close_matches(key, known, 1)
                raise ValueError(
                    f"{key!r} is no field of the configuration."
                    + (f" Did you mean {near[0]!r}?" if near else "")
                )
        return cls(**values)


def _decayed(theta: MetaParameters) -> MetaParameters:
    """Which meta-parameters weight decay acts on: the network, not the decays' offsets nor
    the nominal scale.
    """
    mask = jax.tree.map(lambda _: False, theta)
    return mask._replace(network=jax.tree.map(lambda _: True, theta.network))


def _member(name: str, value: str, known: Mapping[str, Any]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; it is {value!r}.")


def _require(name: str, value: Any, holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(f"{name} must be {rule}; it is {value}.")
