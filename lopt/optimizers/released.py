"""Meta-parameters in the layout of the optimizers that the paper's authors released."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from lopt.optimizers.network import Network
from lopt.optimizers.star import MetaParameters, StarConfig, star

KINDS = ("star", "small_fc_lopt")
FAMILIES = ("momentum", "rms", "adafactor")
# The released star's network has a fourth head that nothing reads.
RELEASED_HEADS = 4


class Released(NamedTuple):
    """An optimizer in the released layout."""

    arrays: dict[str, NDArray[np.float32]]
    config: dict[str, Any]


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
        f"initial_{name}_decays": tuple(config[f"initial_{name}_decays"]) for name in FAMILIES
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


def to_released(theta: MetaParameters, config: StarConfig) -> Released:
    """Meta-parameters and configuration in the released layout, the inverse of `from_released`.

    The learned nominal scale goes into the nominal step, and a star's network gains the unused
    head that the released one carries, with weights zero.

    Raises
    ------
    ValueError
        Where the released implementation has no such optimizer: no nominal term with a
        preconditioner, no blackbox term, weight decay, exponents that differ, or hidden layers of
        different widths.

    Examples
    --------
    >>> from lopt.optimizers.star import STAR, init_meta_parameters
    >>> from dataclasses import replace
    >>> config = replace(STAR, blackbox_step=1e-3)
    >>> arrays, layout = to_released(init_meta_parameters(jax.random.key(0), config), config)
    >>> sum(array.size for array in arrays.values())
    207
    >>> released_config(layout).nominal_term
    'AdamAggMo'
    """
    _check_expressible(config)
    star_kind = config.nominal_term is not None
    network = theta.network
    weights = [np.asarray(w, np.float32) for w in network.weights]
    biases = [np.asarray(b, np.float32) for b in network.biases]
    missing = (RELEASED_HEADS if star_kind else 2) - biases[-1].shape[0]
    weights[-1] = np.pad(weights[-1], ((0, 0), (0, max(missing, 0))))
    biases[-1] = np.pad(biases[-1], (0, max(missing, 0)))
    arrays = {f"theta_w{k}": w for k, w in enumerate(weights)}
    arrays |= {f"theta_b{k}": b for k, b in enumerate(biases)}
    for name in FAMILIES:
        arrays[f"theta_{name}_decays"] = np.asarray(getattr(theta, f"{name}_offsets"), np.float32)
    layout: dict[str, Any] = {
        "kind": "star" if star_kind else "small_fc_lopt",
        "hidden_size": config.hidden_widths[0],
        "hidden_layers": len(config.hidden_widths),
        "step_mult": config.blackbox_step,
        "exp_mult": config.blackbox_exponent,
        **{f"initial_{n}_decays": list(getattr(config, f"initial_{n}_decays")) for n in FAMILIES},
    }
    if star_kind:
        scale = float(np.exp(np.sum(np.asarray(theta.log_nominal_scale, np.float64))))
        step = config.nominal_step * scale
        layout |= {
            "nominal": config.nominal_term,
            "nominal_controller": config.nominal_controller,
            "normalize_blackbox": config.precondition,
            "nominal_stepsize": step
            * (1.0 if config.nominal_controller else math.exp(-config.blackbox_exponent)),
        }
    return Released(arrays, layout)


def _check_expressible(config: StarConfig) -> None:
    """Raise where the released implementation has no optimizer of this configuration."""
    controlled = config.controls_nominal
    rules = {
        "blackbox_term must be kept": config.blackbox_term,
        "precondition must be False without a nominal term": config.nominal_term is not None
        or not config.precondition,
        "weight_decay must be 0": config.weight_decay == 0,
        "nominal_exponent must equal blackbox_exponent": not controlled
        or config.nominal_exponent == config.blackbox_exponent,
        "hidden_widths must hold one width, repeated": len(set(config.hidden_widths)) == 1,
    }
    for rule, holds in rules.items():
        if not holds:
            value = getattr(config, rule.split()[0])
            raise ValueError(
                f"{rule} for the released layout; it is {value!r}. Keep such an optimizer in the "
                "file format of lopt.save."
            )
