"""Recurrent layers over whole sequences: one direction, both, several on top of each other.

The inputs' products with the weights are made for all steps at once, before the scan. The backward
pass carries a gradient from step to step and does everything else for all steps at once: one matrix
product for each weight, where the derivative of a plain scan adds up a product for each step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.precision import at_least_float32
from jaxnets.ops.recurrent_cells import RECURRENT_CELLS, Carry, Cell, product
from jaxnets.ops.recurrent_checks import check_carry, check_mask, check_weights, find_cell


class RecurrentWeights(NamedTuple):
    """Weights of one layer in one direction; the cell says how many gates there are, in what order.

    Attributes:
        input: (d, gates · h), W.
        recurrent: (h, gates · h), U.
        bias: (gates · h,), b, or None.
        recurrent_bias: (h,), inside the reset gate of a "gru" (PyTorch and cuDNN have it), or None.

    >>> import jax.numpy as jnp
    >>> RecurrentWeights(jnp.ones((2, 12)), jnp.ones((3, 12)), jnp.ones(12)).recurrent.shape
    (3, 12)
    """

    input: jax.Array
    recurrent: jax.Array
    bias: jax.Array | None = None
    recurrent_bias: jax.Array | None = None


def recurrent(
    cell: str,
    x: jax.Array,
    weights: RecurrentWeights,
    carry: Carry | None = None,
    *,
    mask: jax.Array | None = None,
    reverse: bool = False,
) -> tuple[jax.Array, Carry]:
    """A recurrent layer over a batch of sequences.

    * "rnn", "rnn_relu", "rnn_linear": h' = φ(x W + h U + b).
    * "lstm": c' = f ∘ c + i ∘ g, h' = o ∘ tanh(c'); columns i, f, g, o.
    * "gru": n = tanh(x W_n + b_n + r ∘ (h U_n + b_h)), h' = (1 − z) ∘ n + z ∘ h, columns r, z, n:
      the reset gate comes after the product, as in cuDNN, PyTorch and Cho et al.'s first versions.
    * "gru_reset_before": n = tanh(x W_n + b_n + (r ∘ h) U_n), as in Cho et al.'s last version.
    * "mgu": n = tanh(x W_n + b_n + (f ∘ h) U_n), h' = (1 − f) ∘ h + f ∘ n, columns f, n.

    Where the mask is False the carry stays as it is, so that padding on either side changes
    nothing: a reversed layer starts at each sequence's own last step, and the final carry is that
    of its own end. bfloat16 inputs make bfloat16 products; gates and carry are float32 then.

    Args:
        cell: a name of `RECURRENT_CELLS`.
        x: (B, T, d).
        weights: of the layer, in the dtype of ``x``.
        carry: (h,), for an LSTM (h, c), each (B, h); zeros where None.
        mask: (B, T) booleans: which steps are there; all where None. A sequence without any step
            gives the carry that it was given.
        reverse: from the last step to the first.

    Returns:
        (outputs (B, T, h), final carry). Outputs are 0 where the mask is False.

    Raises:
        ValueError: no step at all, or shapes that do not fit together.

    Source: Elman 1990; Hochreiter & Schmidhuber 1997 with Gers et al. 2000; Cho et al. 2014; Zhou
    et al. 2016 (Minimal Gated Unit).

    >>> import jax.numpy as jnp
    >>> weights = RecurrentWeights(jnp.zeros((2, 4)), jnp.zeros((1, 4)), jnp.full(4, 9.0))
    >>> mask = jnp.array([[True, True, False]])
    >>> y, (h, c) = recurrent("lstm", jnp.ones((1, 3, 2)), weights, mask=mask)
    >>> y.round(2).ravel().tolist(), round(float(c[0, 0]), 2)  # counts its steps
    ([0.7599..., 0.9599..., 0.0], 2.0)
    """
    kind = find_cell(cell)
    check_weights(cell, kind, x, weights)
    check_mask(x, mask)
    size = weights.recurrent.shape[0]
    carry = check_carry(kind, carry, x.shape[0], size, at_least_float32(x).dtype)
    if mask is not None:
        x = jnp.where(mask[..., None], x, jnp.zeros_like(x))
        mask = mask.T[..., None]
    projected = project(jnp.swapaxes(x, 0, 1), weights)
    arguments = projected, carry, weights.recurrent, weights.recurrent_bias, mask
    outputs, carry = run(cell, reverse, *arguments)
    return jnp.swapaxes(outputs, 0, 1).astype(x.dtype), carry


def recurrent_step(
    cell: str, x: jax.Array, weights: RecurrentWeights, carry: Carry | None = None
) -> tuple[jax.Array, Carry]:
    """One step of `recurrent`, for decoding.

    Args:
        cell: a name of `RECURRENT_CELLS`.
        x: (B, d).
        weights: of the layer.
        carry: of the step before; zeros where None.

    Returns:
        (output (B, h), carry).

    Raises:
        ValueError: shapes that do not fit together.

    >>> import jax.numpy as jnp
    >>> weights = RecurrentWeights(jnp.ones((1, 1)), jnp.ones((1, 1)))
    >>> y, carry = recurrent_step("rnn_linear", jnp.ones((1, 1)), weights)
    >>> recurrent_step("rnn_linear", jnp.ones((1, 1)), weights, carry)[0].tolist()
    [[2.0]]
    """
    kind = find_cell(cell)
    check_weights(cell, kind, x[:, None] if x.ndim == 2 else x, weights)
    size = weights.recurrent.shape[0]
    carry = check_carry(kind, carry, x.shape[0], size, at_least_float32(x).dtype)
    carry, _ = kind.step(project(x, weights), carry, weights.recurrent, weights.recurrent_bias)
    return carry[0].astype(x.dtype), carry


Direction = RecurrentWeights | tuple[RecurrentWeights, RecurrentWeights]


def recurrent_stack(
    cell: str,
    x: jax.Array,
    layers: Sequence[Direction],
    carry: Sequence | None = None,
    *,
    mask: jax.Array | None = None,
    between: Callable[[int, jax.Array], jax.Array] | None = None,
) -> tuple[jax.Array, tuple]:
    """Layers on top of each other, each in one direction or in both.

    A pair of weights is a bidirectional layer: its outputs are those of both directions side by
    side, and the second runs from each sequence's own end.

    Args:
        cell: a name of `RECURRENT_CELLS`.
        x: (B, T, d).
        layers: for each layer its weights, or a pair of them: forward and backward.
        carry: for each layer its carry, or a pair of them; zeros where None.
        mask: (B, T) booleans, see `recurrent`.
        between: (number of the layer, its input) → its input, for every layer but the first:
            dropout, mostly.

    Returns:
        (outputs (B, T, h or 2 h), the layers' final carries).

    Raises:
        ValueError: no layers, or as many carries as there are no layers, or as `recurrent`.

    Source: Graves et al. 2013 (Hybrid Speech Recognition with Deep Bidirectional LSTM), §3.

    >>> import jax.numpy as jnp
    >>> one = RecurrentWeights(jnp.ones((1, 1)), jnp.ones((1, 1)))
    >>> x = jnp.array([[[1.0], [2.0], [3.0]]])
    >>> recurrent_stack("rnn_linear", x, [(one, one)])[0].tolist()
    [[[1.0, 6.0], [3.0, 5.0], [6.0, 3.0]]]
    """
    if not layers:
        raise ValueError("layers: got none; expected at least one")
    if carry is None:
        carry = [None] * len(layers)
    if len(carry) != len(layers):
        raise ValueError(f"carry: got {len(carry)} for {len(layers)} layers; expected one for each")
    finals = []
    for number, (weights, start) in enumerate(zip(layers, carry, strict=True)):
        if number and between is not None:
            x = between(number, x)
        if isinstance(weights, RecurrentWeights):
            x, final = recurrent(cell, x, weights, start, mask=mask)
        else:
            starts = (None, None) if start is None else start
            both = [
                recurrent(cell, x, w, s, mask=mask, reverse=reverse)
                for w, s, reverse in zip(weights, starts, (False, True), strict=True)
            ]
            x = jnp.concatenate([y for y, _ in both], -1)
            final = tuple(end for _, end in both)
        finals.append(final)
    return x, tuple(finals)


def project(x: jax.Array, weights: RecurrentWeights) -> jax.Array:
    """x W + b for any leading axes, in float32 or wider.

    >>> project(jnp.ones((4, 2, 3)), RecurrentWeights(jnp.ones((3, 5)), jnp.ones((5, 5)))).shape
    (4, 2, 5)
    """
    y = product(at_least_float32(x), weights.input)
    if weights.bias is None:
        return y
    return y + lax.expand_dims(weights.bias.astype(y.dtype), range(y.ndim - 1))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def run(cell, reverse, projected, carry, weights, recurrent_bias, mask):
    """The scan of `recurrent`, time first: outputs (T, B, h) and the final carry."""
    kind = RECURRENT_CELLS[cell]

    def body(carry, inputs):
        projected, here = inputs
        new, _ = kind.step(projected, carry, weights, recurrent_bias)
        return freeze(here, new, carry)

    carry, outputs = lax.scan(body, carry, (projected, mask), reverse=reverse)
    return outputs, carry


def freeze(mask: jax.Array | None, new: Carry, old: Carry) -> tuple[Carry, jax.Array]:
    """(carry, output): the new carry where the mask is True; else the old one, and the output 0."""
    if mask is None:
        return new, new[0]
    carry = tuple(jnp.where(mask, n, o) for n, o in zip(new, old, strict=True))
    return carry, jnp.where(mask, new[0], jnp.zeros_like(new[0]))


@run.defjvp
def _run_jvp(cell, reverse, primals, tangents):
    kind: Cell = RECURRENT_CELLS[cell]
    projected, carry, weights, recurrent_bias, mask = primals
    d_projected, d_carry, d_weights, d_recurrent_bias, _ = tangents

    def body(carry, inputs):
        projected, here = inputs
        new, saved = kind.step(projected, carry, weights, recurrent_bias)
        after, output = freeze(here, new, carry)
        return after, (output, carry, saved)

    end, (outputs, before, saved) = lax.scan(body, carry, (projected, mask), reverse=reverse)
    slopes = kind.slopes(saved, before)
    drive = kind.drive(d_projected, d_weights, d_recurrent_bias, saved, before)

    def linear(d_carry, inputs):
        slopes, drive, here = inputs
        return freeze(here, kind.tangent(slopes, drive, d_carry, weights), d_carry)

    d_end, d_outputs = lax.scan(linear, d_carry, (slopes, drive, mask), reverse=reverse)
    return (outputs, end), (d_outputs, d_end)
