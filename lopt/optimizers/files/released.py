"""Meta-parameters in the layout of the optimizers that the paper's authors released."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from lopt.keys import random_key
from lopt.optimizers.files.configuration import MOST_ENTRIES, typed
from lopt.optimizers.linear import LinearConfig
from lopt.optimizers.parts.network import Network
from lopt.optimizers.star_update import MetaParameters, NominalTerm, StarConfig, make_star
from nqm.untrusted import quoted

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

    Raises
    ------
    ValueError
        Where either is damaged, or the arrays do not fit the configuration.
    """
    theta, made = released_meta_parameters(arrays), released_config(config)
    check_shapes(theta, made)
    return make_star(theta, made)


def released_config(config: Mapping[str, Any]) -> StarConfig:
    """The `StarConfig` of a released configuration of kind ``"star"`` or ``"small_fc_lopt"``.

    Where the released nominal controller is off, its magnitude is the constant 1 (and not 0),
    which is folded into the nominal step here.

    Raises
    ------
    ValueError
        Where a value is missing, of another type, or out of its range.
    """
    kind = config.get("kind")
    if kind not in KINDS:
        raise ValueError(f"config['kind'] must be one of {', '.join(KINDS)}; it is {quoted(kind)}.")

    def read(name: str, hint: Any) -> Any:
        if name not in config:
            raise ValueError(f"config lacks {name!r}, which a released one of kind {kind} has.")
        return typed(f"config[{name!r}]", config[name], hint)

    exponent, layers = read("exp_mult", float), read("hidden_layers", int)
    if not 1 <= layers <= MOST_ENTRIES:
        raise ValueError(
            f"config['hidden_layers'] must be from 1 to {MOST_ENTRIES}; it is {quoted(layers)}."
        )
    shared: dict[str, Any] = {
        **{f"initial_{n}_decays": read(f"initial_{n}_decays", tuple[float, ...]) for n in FAMILIES},
        "hidden_widths": (read("hidden_size", int),) * layers,
        "learned_nominal_scale": False,
        "blackbox_step": read("step_mult", float),
        "blackbox_exponent": exponent,
    }
    if kind == "small_fc_lopt":
        made = StarConfig(nominal_term=None, precondition=False, **shared)
    else:
        controlled = read("nominal_controller", bool)
        try:
            scale = 1.0 if controlled else math.exp(exponent)
        except OverflowError:
            raise ValueError(f"config['exp_mult'] is {exponent}, whose exp overflows.") from None
        made = StarConfig(
            nominal_term=read("nominal", NominalTerm),
            nominal_controller=controlled,
            precondition=read("normalize_blackbox", bool),
            nominal_step=read("nominal_stepsize", float) * scale,
            nominal_exponent=exponent,
            **shared,
        )
    return made


def released_meta_parameters(arrays: Mapping[str, Any]) -> MetaParameters:
    """theta from ``theta_w0, theta_b0, ...`` and ``theta_{momentum,rms,adafactor}_decays``;
    other arrays are ignored.

    Raises
    ------
    ValueError
        Where an array is missing, holds anything but finite floats, or the shapes of the layers
        do not follow each other.
    """

    def read(name: str, axes: int) -> jax.Array:
        if name not in arrays:
            raise ValueError(
                f"arrays lacks {name!r}; a released optimizer has theta_w0, theta_b0, … "
                "and the three decay offsets."
            )
        given = arrays[name]
        array = given if isinstance(given, jax.Array) else np.asarray(given)
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name} must hold floats; its type is {array.dtype}.")
        if array.ndim != axes:
            raise ValueError(
                f"{name} must have {axes} axes; its shape is {quoted(list(array.shape))}."
            )
        with np.errstate(over="ignore"):
            single = np.asarray(array).astype(np.float32)
        if not np.all(np.isfinite(single)):
            raise ValueError(f"{name} has a value that is not finite in float32.")
        return jnp.asarray(single)

    layers = max(sum(f"theta_w{k}" in arrays for k in range(len(arrays))), 1)
    weights = tuple(read(f"theta_w{k}", 2) for k in range(layers))
    biases = tuple(read(f"theta_b{k}", 1) for k in range(layers))
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        inputs = weights[k - 1].shape[1] if k else weight.shape[0]
        if weight.shape != (inputs, bias.shape[0]):
            raise ValueError(
                f"theta_w{k} has shape {list(weight.shape)}; its neighbours need "
                f"{[inputs, bias.shape[0]]}."
            )
    return MetaParameters(
        network=Network(weights, biases),
        momentum_offsets=read("theta_momentum_decays", 1),
        rms_offsets=read("theta_rms_decays", 1),
        adafactor_offsets=read("theta_adafactor_decays", 1),
        log_nominal_scale=jnp.zeros((0,), jnp.float32),
    )


def check_shapes(theta: Any, config: StarConfig | LinearConfig) -> None:
    """Raise where meta-parameters are not of their configuration's shapes; the last layer may have
    the heads of a released one.
    """
    needed = jax.eval_shape(lambda: config.init(random_key(0)))
    leaves = jax.tree_util.tree_leaves_with_path(needed)
    given = jax.tree.leaves(theta)
    if len(given) != len(leaves):
        raise ValueError(
            f"it has {len(given)} arrays; its configuration needs {len(leaves)} of them."
        )
    allowed = [leaf.shape for _, leaf in leaves]
    if isinstance(config, StarConfig):
        layers = len(config.hidden_widths) + 1
        last = {layers - 1, 2 * layers - 1}
        released = [(*s[:-1], RELEASED_HEADS) if k in last else s for k, s in enumerate(allowed)]
        allowed = released if [x.shape for x in given] == released else allowed
    for (path, _), leaf, shape in zip(leaves, given, allowed, strict=True):
        if leaf.shape != shape:
            raise ValueError(
                f"{jax.tree_util.keystr(path) or 'P'} has shape {quoted(list(leaf.shape))}; its "
                f"configuration needs {list(shape)}."
            )


def to_released(theta: MetaParameters, config: StarConfig) -> Released:
    """Meta-parameters and configuration in the released layout, the inverse of `from_released`.

    The learned nominal scale goes into the nominal step, and a star's network gains the unused
    head that the released one carries, with weights zero.

    Raises
    ------
    ValueError
        Where the released implementation has no such optimizer: no nominal term with a
        preconditioner, no blackbox term, weight decay, a normalized update, exponents that differ,
        or hidden layers of different widths.

    Examples
    --------
    >>> from lopt.optimizers import STAR, init_meta_parameters
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
        "normalize_update must be False": not config.normalize_update,
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
