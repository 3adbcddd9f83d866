"""The update of STAR and its relatives, equations (20)-(22), its constants and meta-parameters."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from lopt.checks import require
from lopt.optimizers.constants import (
    is_zero,
    require_count,
    require_flag,
    require_number,
    require_sequence,
)
from lopt.optimizers.orthogonalized import orthogonalized
from lopt.optimizers.parts.accumulators import (
    Accumulators,
    Decays,
    bounded,
    decay,
)
from lopt.optimizers.parts.features import RMS_FLOOR, feature_count
from lopt.optimizers.parts.network import Network, apply_network, apply_plainly, init_network
from lopt.optimizers.parts.normalization import normalizing_factor
from lopt.optimizers.parts.state import Moved, StarState, Tensor, init_state, tensors, together
from lopt.optimizers.parts.sweep import sweep
from lopt.optimizers.star_terms import NominalTerm, UpdateTerms, nominal_direction

NOMINAL_TERMS: tuple[NominalTerm, ...] = ("AdamAggMo", "Adam", "AggMo", "SGDM", "SGD")
FLAGS = (
    *("blackbox_term", "nominal_controller", "learned_nominal_scale", "precondition"),
    *("normalize_update", "orthogonalize_update"),
)
DECAYS = ("initial_momentum_decays", "initial_rms_decays", "initial_adafactor_decays")
MOST_DECAYS, MOST_LAYERS, MOST_UNITS = 64, 64, 2**16
#: While it holds a function, that stands in for every update of STAR that is traced, wherever a
#: wrapper calls it: (meta_parameters, config, gradients, state, params) -> (updates, state). JAX
#: keeps what it traces under one value apart from the rest.
stand_in: Any = jax.make_user_context()


@dataclass(frozen=True)
class StarConfig:
    r"""What is fixed by hand: which terms there are, and the constants :math:`\beta_1` to
    :math:`\beta_4`.

    The update is :math:`\phi \leftarrow \phi - f_g - f_b` with the nominal term
    :math:`f_g = \beta_1 s \exp(\beta_2 m_g) g` (21) and the blackbox term
    :math:`f_b = \beta_3 d / v \exp(\beta_4 m_b)` (22); `d`, `m_b` and `m_g` are the network's
    heads, `s` a learned scale.

    Parameters
    ----------
    nominal_term
        The direction `g` of the nominal term, or None to leave it out (the Blackbox optimizer).
    blackbox_term
        False leaves the blackbox term out (the Hyperparam optimizer).
    nominal_controller
        Whether a head of the network sets the nominal term's magnitude; False fixes :math:`m_g =
        0`.
    learned_nominal_scale
        Whether the meta-parameters hold the scale `s`; False fixes it at 1.
    precondition
        Whether the blackbox term is divided by :math:`v = \sqrt{\mathrm{rms} + 10^{-6}}`.
    nominal_step, nominal_exponent, blackbox_step, blackbox_exponent
        :math:`\beta_1, \beta_2, \beta_3, \beta_4`. The paper prints 1e-3 for each, with which an
        untrained STAR moves parameters by up to their own size; section 5.2 asks that
        :math:`\beta_3` account for the division by `v`, hence 1e-5 here.
    initial_momentum_decays, initial_rms_decays, initial_adafactor_decays
        The decays at offset zero.
    hidden_widths
        Widths of the network's hidden layers.
    initial_head_scale
        What the random weights of the network's last layer are multiplied by. With 0 a fresh
        blackbox term is silent, with 1 it pushes parameters in directions that have nothing to do
        with the loss, which meta-training has to unlearn first.
    weight_decay
        Decoupled weight decay of the inner parameters, per step: the update gains
        :math:`-\lambda \phi`, which neither term scales. 0 leaves it out.
    normalize_update
        Whether the sum of both terms is divided by its root mean square over the tensor, as in
        Celo2 (arXiv 2602.19142): :math:`\phi \leftarrow \phi - \eta u / \mathrm{rms}(u)` with
        :math:`u = f_g + f_b`. The learning rate is then :math:`\eta` alone; :math:`\beta_1`,
        :math:`\beta_3` and `s` set the weight of the terms relative to each other, and have no
        effect where there is only one. A tensor whose gradient is zero stands still.
    normalized_step
        :math:`\eta`, the root mean square of the change of every tensor in every step.
    orthogonalize_update
        Whether `u` of a tensor with two axes or more, as the matrix of a linear map to its last
        axis, is first brought near its polar factor, as in Muon; it needs `normalize_update`.
    """

    nominal_term: NominalTerm | None = "AdamAggMo"
    blackbox_term: bool = True
    nominal_controller: bool = True
    learned_nominal_scale: bool = True
    precondition: bool = True
    nominal_step: float = 1e-3
    nominal_exponent: float = 1e-3
    blackbox_step: float = 1e-5
    blackbox_exponent: float = 1e-3
    initial_momentum_decays: tuple[float, ...] = (0.9, 0.99, 0.999)
    initial_rms_decays: tuple[float, ...] = (0.999,)
    initial_adafactor_decays: tuple[float, ...] = (0.9, 0.99, 0.999)
    hidden_widths: tuple[int, ...] = (4, 4)
    initial_head_scale: float = 1.0
    weight_decay: float = 0.0
    normalize_update: bool = False
    normalized_step: float = 1e-3
    orthogonalize_update: bool = False

    def __post_init__(self) -> None:
        require(
            "nominal_term",
            self.nominal_term,
            self.nominal_term is None or self.nominal_term in NOMINAL_TERMS,
            f"one of {', '.join(NOMINAL_TERMS)} or None",
        )
        for name in FLAGS:
            require_flag(name, getattr(self, name))
        if self.nominal_term is None and not self.blackbox_term:
            raise ValueError(
                "nominal_term and blackbox_term are both left out, so nothing moves. "
                "Keep one of them."
            )
        if self.orthogonalize_update and not self.normalize_update:
            raise ValueError(
                "orthogonalize_update needs normalize_update: an orthogonalized matrix has no "
                "length of its own. Set both, or neither."
            )
        for name in ("nominal_step", "blackbox_step", "initial_head_scale", "normalized_step"):
            require_number(name, getattr(self, name), least=0.0)
        for name in ("nominal_exponent", "blackbox_exponent"):
            require_number(name, getattr(self, name))
        # A decay is the share of an average that a step keeps, and takes off from a parameter.
        require_number("weight_decay", self.weight_decay, least=0.0, below=1.0)
        for name in DECAYS:
            for kept in require_sequence(name, getattr(self, name), range(1, MOST_DECAYS + 1)):
                require_number(f"each of {name}", kept, least=0.0, below=1.0)
        for width in require_sequence("hidden_widths", self.hidden_widths, range(MOST_LAYERS + 1)):
            require_count("each of hidden_widths", width, MOST_UNITS)
        if len(self.initial_rms_decays) != 1:
            raise ValueError(
                f"initial_rms_decays must hold one decay, not {len(self.initial_rms_decays)}: "
                "the preconditioner v of (22) is one tensor."
            )
        if len(self.initial_momentum_decays) != len(self.initial_adafactor_decays):
            raise ValueError(
                f"initial_momentum_decays and initial_adafactor_decays must be of one length, not "
                f"{len(self.initial_momentum_decays)} and {len(self.initial_adafactor_decays)}: "
                "each momentum is scaled by the factored second moment of its index."
            )

    @property
    def controls_nominal(self) -> bool:
        """Whether the network has a head for the nominal term's magnitude."""
        return self.nominal_term is not None and self.nominal_controller

    @property
    def heads(self) -> int:
        """The number of heads in use: direction and magnitude, then the nominal magnitude."""
        return 2 * self.blackbox_term + self.controls_nominal

    @property
    def input_size(self) -> int:
        """The number of the network's inputs, 39 by default."""
        return feature_count(
            len(self.initial_momentum_decays),
            len(self.initial_rms_decays),
            len(self.initial_adafactor_decays),
        )

    def init(self, key: jax.Array) -> "MetaParameters":
        """Fresh meta-parameters, see `init_meta_parameters`."""
        return init_meta_parameters(key, self)

    def make(
        self, meta_parameters: "MetaParameters", *, fused: bool = True
    ) -> optax.GradientTransformationExtraArgs:
        """The optimizer of meta-parameters, see `star`."""
        return make_star(meta_parameters, self, fused=fused)


#: The paper's STAR: both terms, (21) and (22); 203 meta-parameters.
STAR = StarConfig()
#: small_fc_lopt, equation (20): the blackbox term alone, without the preconditioner.
BLACKBOX = StarConfig(
    nominal_term=None, precondition=False, learned_nominal_scale=False, blackbox_step=1e-3
)
#: The hyperparameter controller: the nominal term (21) alone.
HYPERPARAM = StarConfig(blackbox_term=False)


class MetaParameters(NamedTuple):
    """What is meta-learned, theta: 203 numbers for STAR, 197 for small_fc_lopt."""

    network: Network
    momentum_offsets: jax.Array
    rms_offsets: jax.Array
    adafactor_offsets: jax.Array
    log_nominal_scale: jax.Array
    """``[1]``, or ``[0]`` where the configuration has no learned nominal scale."""


def init_meta_parameters(key: jax.Array, config: StarConfig = STAR) -> MetaParameters:
    """Random network weights, every decay at its initial value, nominal scale 1.

    Examples
    --------
    >>> theta = init_meta_parameters(jax.random.key(0), STAR)
    >>> sum(leaf.size for leaf in jax.tree.leaves(theta))
    203
    """
    scaled = config.learned_nominal_scale and config.nominal_term is not None
    sizes = (config.input_size, *config.hidden_widths, config.heads)
    return MetaParameters(
        network=init_network(key, sizes, config.initial_head_scale),
        momentum_offsets=jnp.zeros((len(config.initial_momentum_decays),), jnp.float32),
        rms_offsets=jnp.zeros((len(config.initial_rms_decays),), jnp.float32),
        adafactor_offsets=jnp.zeros((len(config.initial_adafactor_decays),), jnp.float32),
        log_nominal_scale=jnp.zeros((int(scaled),), jnp.float32),
    )


def learned_decays(theta: MetaParameters, config: StarConfig) -> Decays:
    """The accumulators' decays under theta; those of second moments are kept in [0, 1]."""
    rms = decay(theta.rms_offsets, config.initial_rms_decays)
    adafactor = decay(theta.adafactor_offsets, config.initial_adafactor_decays)
    return Decays(
        momentum=decay(theta.momentum_offsets, config.initial_momentum_decays),
        rms=jnp.clip(rms, 0.0, 1.0),
        adafactor=jnp.clip(adafactor, 0.0, 1.0),
    )


class Star(optax.GradientTransformationExtraArgs):
    """What `star` returns: an optax transformation that knows its meta-parameters and its
    configuration, so that `lopt.monitor.inspect` can use the derivative written by hand.
    """

    meta_parameters: MetaParameters
    config: StarConfig

    def _replace(self, **changes: Any) -> optax.GradientTransformationExtraArgs:
        """Return the optimizer itself if nothing changes, otherwise a plain transformation."""
        parts = self._asdict() | changes
        if parts == self._asdict():
            return self
        return optax.GradientTransformationExtraArgs(**parts)


def make_star(
    meta_parameters: MetaParameters, config: StarConfig = STAR, *, fused: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer of meta-parameters in memory; `lopt.star` also takes names and paths.

    It is a `Star`, or with `orthogonalize_update` a transformation that has one inside.

    Raises
    ------
    ValueError
        See `lopt.star`.
    """
    if config.orthogonalize_update:
        inside = make_star(meta_parameters, _terms_alone(config), fused=fused)
        return orthogonalized(inside, config.normalized_step, config.weight_decay)
    made = Star(*_transformation(meta_parameters, config, fused=fused))
    made.meta_parameters, made.config = meta_parameters, config
    return made


def make_blackbox(
    meta_parameters: MetaParameters, config: StarConfig
) -> optax.GradientTransformationExtraArgs:
    """The blackbox term of `make_star`'s updates alone, over the same state."""
    if config.orthogonalize_update:
        alone = _terms_alone(config)
        whole = make_star(meta_parameters, alone, fused=False)
        return orthogonalized(
            whole, config.normalized_step, part=make_blackbox(meta_parameters, alone)
        )
    return _transformation(meta_parameters, config, fused=False, blackbox_alone=True)


def _terms_alone(config: StarConfig) -> StarConfig:
    """The configuration without what follows the sum of the terms."""
    return replace(config, orthogonalize_update=False, normalize_update=False, weight_decay=0.0)


def _transformation(
    meta_parameters: MetaParameters,
    config: StarConfig,
    *,
    fused: bool,
    blackbox_alone: bool = False,
) -> optax.GradientTransformationExtraArgs:
    if not isinstance(meta_parameters, MetaParameters):
        raise ValueError(
            "meta_parameters must be MetaParameters, as init_meta_parameters makes them, what "
            f"lopt.load returns, a name or a path; it is a {type(meta_parameters).__name__}."
        )
    decays = learned_decays(meta_parameters, config)
    counts = tuple(d.shape[0] for d in decays)
    heads = meta_parameters.network.biases[-1].shape[0]
    if heads < config.heads:
        raise ValueError(
            f"meta_parameters has a network with {heads} heads; this configuration uses "
            f"{config.heads}. "
            "Make them with init_meta_parameters(key, config)."
        )

    def init(params: optax.Params) -> StarState:
        return init_state(params, counts)

    def update(
        updates: optax.Updates,
        state: StarState,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, StarState]:
        del extra_args
        if params is None:
            raise ValueError("star needs the parameters; call update(gradients, state, params).")
        if stand_in.value is not None and not blackbox_alone:
            return stand_in.value(meta_parameters, config, updates, state, params)
        one = partial(
            partial(_tensor_update, fused=fused, blackbox_alone=blackbox_alone),
            *(meta_parameters, config, decays, state.count),
        )
        moved = [None if t is None else one(t) for t in tensors(updates, params, state)]
        return together(updates, state, moved)

    return optax.GradientTransformationExtraArgs(init, update)


def _tensor_update(
    theta: MetaParameters,
    config: StarConfig,
    decays: Decays,
    count: jax.Array,
    tensor: Tensor,
    *,
    fused: bool,
    blackbox_alone: bool,
) -> Moved:
    """The step and the new accumulators of one tensor."""
    g, p = (jnp.asarray(x, jnp.float32) for x in (tensor.gradient, tensor.parameter))
    a, x, squares, factors = sweep(tensor.accumulators, g, p, decays, blocked=fused)
    heads: list[jax.Array] = []
    if config.heads and fused:
        heads = apply_network(theta.network, x, squares, factors, count, config.heads)
    elif config.heads:
        heads = apply_plainly(theta.network, x, squares, count, config.heads)
    terms = update_terms(theta, config, heads, bounded(g), a)
    step = terms._replace(nominal=None).whole if blackbox_alone else terms.whole
    if config.normalize_update:
        gradient = squares.gradient[0]
        step = normalizing_factor(config.normalized_step, terms.whole, gradient) * step
    if not blackbox_alone and not is_zero(config.weight_decay):
        step = step - config.weight_decay * p
    return Moved(step.astype(jnp.asarray(tensor.parameter).dtype), a)


def update_terms(
    theta: MetaParameters,
    config: StarConfig,
    heads: list[jax.Array],
    gradient: jax.Array,
    a: Accumulators,
) -> UpdateTerms:
    """``-f_g`` (21) and ``-f_b`` (22) of one tensor, from the network's heads and the accumulators
    that already hold this step's gradient.
    """
    nominal = blackbox = None
    if config.nominal_term is not None:
        size = jnp.exp(config.nominal_exponent * heads[-1]) if config.controls_nominal else 1.0
        scale = jnp.exp(theta.log_nominal_scale[0]) if theta.log_nominal_scale.size else 1.0
        direction = nominal_direction(config.nominal_term, gradient, a)
        nominal = -config.nominal_step * scale * size * direction
    if config.blackbox_term:
        head, magnitude = heads[:2]
        blackbox = -config.blackbox_step * head * jnp.exp(config.blackbox_exponent * magnitude)
        if config.precondition:
            blackbox = blackbox * lax.rsqrt(a.rms[-1] + RMS_FLOOR)
    return UpdateTerms(nominal, blackbox)
