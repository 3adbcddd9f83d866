"""Language modelling: predict each token from those before it."""

import math

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from lopt.tasks.data.tokens import PADDING
from lopt.tasks.images import CEILING_OVER_CHANCE
from lopt.tasks.models.layers import outputs
from lopt.tasks.task import Task


def language_task(
    name: str, rows: jax.Array, network: nn.Module, vocabulary: int, batch_size: int = 128
) -> Task:
    """Predict the tokens 1 .. T of a row from those before them; cross-entropy in nats.

    The loss is the mean over the positions whose own token is not padding. The first padding after
    a sentence is a target, which marks its end; it is read nowhere that counts.

    Parameters
    ----------
    name
        How messages call the task.
    rows
        Token ids ``[examples, T + 1]`` below `vocabulary`, 0 for padding at the end.
    network
        ``network.apply({"params": params}, tokens)`` gives logits ``[batch, T, vocabulary]`` of
        ``[batch, T]``, none of which depends on later tokens. Dropout draws from the key of the
        loss.
    vocabulary
        Number of ids. The loss ceiling is 1.5 log(vocabulary).
    batch_size
        Rows a batch.

    Examples
    --------
    >>> from lopt.tasks.data.text import load_text
    >>> from lopt.tasks.data.tokens import Bytes, token_rows
    >>> from lopt.tasks.models.recurrent import RecurrentLM
    >>> rows = token_rows(load_text("tinyshakespeare").test, 9, Bytes(), lines=False)
    >>> task = language_task("tiny", rows, RecurrentLM("gru", 8, 4, 259), 259, batch_size=16)
    >>> shapes = jax.eval_shape(task.init, jax.random.key(0))
    >>> zero = jax.tree.map(lambda x: jnp.zeros(x.shape), shapes)
    >>> loss = task.loss(zero, jax.random.key(1), task.data[:16])
    >>> bool(jnp.isclose(loss, math.log(259)))
    True
    """
    data = jnp.asarray(rows)

    def init(key: jax.Array) -> nn.FrozenDict:
        blank = jnp.ones((1, data.shape[1] - 1), jnp.int32)
        return network.init(key, blank)["params"]

    def loss(params: nn.FrozenDict, key: jax.Array, batch: jax.Array) -> jax.Array:
        tokens = jnp.asarray(batch).astype(jnp.int32)
        read, following = tokens[:, :-1], tokens[:, 1:]
        logits = outputs(network, params, read, key)
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, following)
        counts = read != PADDING
        return jnp.sum(jnp.where(counts, losses, 0.0)) / jnp.maximum(jnp.sum(counts), 1)

    ceiling = CEILING_OVER_CHANCE * math.log(vocabulary)
    return Task(name, init, loss, data, batch_size, ceiling)
