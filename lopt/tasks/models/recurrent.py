"""Language models of one recurrent layer: LSTM and GRU as Haiku defines them."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from lopt.tasks.models.layers import embeddings, haiku_weights, scaled_variance

CELLS = ("lstm", "gru")


class RecurrentLM(nn.Module):
    """Logits ``[batch, length, vocabulary]`` of the token after each of ``[batch, length]``.

    An embedding, one recurrent layer whose initial state is learned and starts at zero, and a
    dense layer that shares nothing with the embedding. The LSTM adds 1 to its forget gate; the GRU
    applies its reset gate before the recurrent product of the candidate.

    Parameters
    ----------
    cell
        ``lstm`` or ``gru``.
    units
        Width of the hidden state.
    embedding
        Width of the embedding.
    vocabulary
        Number of tokens.

    Examples
    --------
    >>> network = RecurrentLM("gru", units=4, embedding=2, vocabulary=5)
    >>> tokens = jnp.array([[1, 2, 3]])
    >>> logits, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), tokens)
    >>> logits.shape
    (1, 3, 5)
    """

    cell: str
    units: int
    embedding: int
    vocabulary: int

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """The logits."""
        if self.cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}; it is {self.cell!r}.")
        table = self.param("embedding", embeddings, (self.vocabulary, self.embedding))
        inputs = jnp.swapaxes(table[tokens], 0, 1)  # [length, batch, embedding]
        layer = self._lstm if self.cell == "lstm" else self._gru
        hidden = jnp.swapaxes(layer(inputs), 0, 1)
        return nn.Dense(self.vocabulary, kernel_init=haiku_weights)(hidden)

    def _start(self, name: str, batch: int) -> jax.Array:
        """A learned initial state, the same for every sequence."""
        learned = self.param(name, nn.initializers.zeros, (self.units,))
        return jnp.broadcast_to(learned, (batch, self.units))

    def _lstm(self, inputs: jax.Array) -> jax.Array:
        both = (self.embedding + self.units, 4 * self.units)
        weights = self.param("weights", haiku_weights, both)
        bias = self.param("bias", nn.initializers.zeros, (4 * self.units,))
        of_input, recurrent = weights[: self.embedding], weights[self.embedding :]

        def step(carry: Any, drive: jax.Array) -> tuple[Any, jax.Array]:
            hidden, cell = carry
            gates = jnp.split(drive + hidden @ recurrent, 4, axis=-1)
            gate_in, candidate, forget, gate_out = gates
            cell = nn.sigmoid(forget + 1) * cell + nn.sigmoid(gate_in) * jnp.tanh(candidate)
            hidden = nn.sigmoid(gate_out) * jnp.tanh(cell)
            return (hidden, cell), hidden

        batch = inputs.shape[1]
        start = self._start("initial_hidden", batch), self._start("initial_cell", batch)
        return jax.lax.scan(step, start, inputs @ of_input + bias)[1]

    def _gru(self, inputs: jax.Array) -> jax.Array:
        shape, units = (self.embedding, 3 * self.units), self.units
        of_input = self.param("input_weights", scaled_variance(1.0), shape)
        recurrent = self.param("weights", scaled_variance(1.0), (units, 3 * units))
        bias = self.param("bias", nn.initializers.zeros, (3 * units,))

        def step(hidden: jax.Array, drive: jax.Array) -> tuple[jax.Array, jax.Array]:
            gates = nn.sigmoid(drive[:, : 2 * units] + hidden @ recurrent[:, : 2 * units])
            update, reset = jnp.split(gates, 2, axis=-1)
            carried = (reset * hidden) @ recurrent[:, 2 * units :]
            hidden = (1 - update) * hidden + update * jnp.tanh(drive[:, 2 * units :] + carried)
            return hidden, hidden

        start = self._start("initial_hidden", inputs.shape[1])
        return jax.lax.scan(step, start, inputs @ of_input + bias)[1]
