"""Meta-parameters in the layout of the optimizers that the paper's authors released."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lopt.optimizers.network import Network
from lopt.optimizers.star import MetaParameters, StarConfig, star

KINDS = ("star", "small_fc_lopt")


def from_released(
    arrays: Mapping[str, Any], config: Mapping[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """The transformation of released meta-parameters; see `released_meta_parameters` and
    `released_config`.
    """
    return star(released_meta_parameters(arrays), released_config(config))


def released_config(config: Mapping[str, Any]) -> StarConfig:
    """The `StarConfig` of a released configuration of kind ``"star"`` or ``"small_fc_lopt"``.

    Where the released nominal controller is off, its magnitude is the constant 1 (and not 0),
    which is folded into the nominal step here.
    """
    kind = config.get("kind")
    if kind not in KINDS:
        raise ValueError(f"config['kind'] must be one of {', '.join(KINDS)}; it is {kind!r}.")
    decays = {
        f"initial_{name}_decays": tuple(config[f"initial_{name}_decays"])
        for name in ("momentum", "rms", "adafactor")
    }
    exponent, step = float(config["exp_mult"]), float(config["step_mult"])
    shared: dict[str, Any] = {
        **decays,
        "hidden_widths": (int(config["hidden_size"]),) * int(config["hidden_layers"]),
        "learned_nominal_scale": False,
        "blackbox_step": step,
        "blackbox_exponent": exponent,
    }
    if kind == "small_fc_lopt":
        return StarConfig(nominal_term=None, precondition=False, **shared)
    controlled = bool(config["nominal_controller"])
    return StarConfig(
        nominal_term=config["nominal"],
        nominal_controller=controlled,
        precondition=bool(config["normalize_blackbox"]),
        nominal_step=float(config["nominal_stepsize"])
        * (1.0 if controlled else math.exp(exponent)),
        nominal_exponent=exponent,
        **shared,
    )


def released_meta_parameters(arrays: Mapping[str, Any]) -> MetaParameters:
    """theta from ``theta_w0, theta_b0, ...`` and ``theta_{momentum,rms,adafactor}_decays``;
    other arrays are ignored.
    """

    def read(name: str) -> jax.Array:
        if name not in arrays:
            raise ValueError(
                f"arrays lacks {name!r}; a released optimizer has theta_w0, theta_b0, … "
                "and the three decay offsets."
            )
        return jnp.asarray(np.asarray(arrays[name]), jnp.float32)

    layers = sum(f"theta_w{k}" in arrays for k in range(len(arrays)))
    return MetaParameters(
        network=Network(
            tuple(read(f"theta_w{k}") for k in range(max(layers, 1))),
            tuple(read(f"theta_b{k}") for k in range(max(layers, 1))),
        ),
        momentum_offsets=read("theta_momentum_decays"),
        rms_offsets=read("theta_rms_decays"),
        adafactor_offsets=read("theta_adafactor_decays"),
        log_nominal_scale=jnp.zeros((0,), jnp.float32),
    )
