"""A decoder-only transformer without positional encoding."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from lopt.tasks.models.layers import embeddings, haiku_weights, layer_norm, scaled_variance

WIDENING = 4


class TransformerLM(nn.Module):
    """Logits ``[batch, length, vocabulary]`` of the token after each of ``[batch, length]``.

    Layers of causal attention and of a GELU network four times as wide, each after layer
    normalization and with dropout on its output, which is added to the stream; a last layer
    normalization, and a dense layer that shares nothing with the embedding. The weights of the
    layers have the variance ``2 / (layers fan_in)``. Positions are told apart by the causal mask
    alone. Dropout needs the random stream ``dropout``.

    Parameters
    ----------
    layers, width, heads, head_width
        Of the attention; the heads together need not be as wide as the stream.
    vocabulary
        Number of tokens.
    dropout
        Share of each branch's output that is zeroed.

    Examples
    --------
    >>> network = TransformerLM(layers=1, width=8, heads=2, head_width=4, vocabulary=5)
    >>> tokens = jnp.array([[1, 2, 3]])
    >>> logits, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), tokens)
    >>> logits.shape
    (1, 3, 5)
    """

    layers: int = 5
    width: int = 256
    heads: int = 8
    head_width: int = 32
    vocabulary: int = 259
    dropout: float = 0.1

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """The logits."""
        weights = scaled_variance(2.0 / self.layers)
        table = self.param("embedding", embeddings, (self.vocabulary, self.width))
        x = table[tokens]
        for _ in range(self.layers):
            branch = Attention(self.heads, self.head_width, weights)(layer_norm()(x))
            x = x + self._dropped(branch)
            branch = nn.Dense(WIDENING * self.width, kernel_init=weights)(layer_norm()(x))
            branch = nn.Dense(self.width, kernel_init=weights)(nn.gelu(branch))
            x = x + self._dropped(branch)
        return nn.Dense(self.vocabulary, kernel_init=haiku_weights)(layer_norm()(x))

    def _dropped(self, branch: jax.Array) -> jax.Array:
        return nn.Dropout(self.dropout, deterministic=self.dropout == 0)(branch)


class Attention(nn.Module):
    """Causal attention of a sequence ``[batch, length, width]`` to itself."""

    heads: int
    head_width: int
    weights: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The outputs, as wide as the inputs."""
        *shape, width = x.shape
        inner = self.heads * self.head_width

        def heads() -> jax.Array:
            flat = nn.Dense(inner, kernel_init=self.weights)(x)
            return flat.reshape(*shape, self.heads, self.head_width)

        queries, keys, values = heads(), heads(), heads()
        scores = jnp.einsum("bthd,bshd->bhts", queries, keys) / jnp.sqrt(float(self.head_width))
        causal = jnp.tril(jnp.ones((shape[1], shape[1]), bool))
        shares = nn.softmax(jnp.where(causal, scores, -1e30))
        found = jnp.einsum("bhts,bshd->bthd", shares, values).reshape(*shape, inner)
        return nn.Dense(width, kernel_init=self.weights)(found)
