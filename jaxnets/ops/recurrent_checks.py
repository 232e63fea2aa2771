"""What the arguments of a recurrent layer must be, said in sentences."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import UnknownNameError
from jaxnets.ops.recurrent_cells import RECURRENT_CELLS, Carry, Cell


def find_cell(name: str) -> Cell:
    """The cell of a name, or an error that offers the names there are."""
    if name not in RECURRENT_CELLS:
        raise UnknownNameError("recurrent cell", name, RECURRENT_CELLS)
    return RECURRENT_CELLS[name]


def check_weights(name: str, cell: Cell, x, weights) -> None:
    """Raise a ValueError where sequences and weights do not fit together."""
    if getattr(x, "ndim", None) != 3:
        got = f"shape {x.shape}" if hasattr(x, "shape") else f"a {type(x).__name__}"
        raise ValueError(
            f"x: got {got}; expected (batch, time, features), sequences of different lengths "
            "padded to one (`jaxnets.data.pad_sequences`)"
        )
    if x.shape[1] == 0:
        raise ValueError(f"x: sequences of length 0, shape {x.shape}; expected at least one step")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x: got {x.dtype}; expected floats: embed tokens first")
    size, wide = weights.recurrent.shape[0], weights.recurrent.shape[-1]
    if weights.recurrent.ndim != 2 or wide != cell.gates * size:
        raise ValueError(
            f"weights.recurrent: got shape {weights.recurrent.shape}; a {name!r} has {cell.gates} "
            f"gates, expected (h, {cell.gates}·h)"
        )
    if weights.input.shape != (x.shape[-1], wide):
        raise ValueError(
            f"weights.input: got shape {weights.input.shape}; expected {(x.shape[-1], wide)}, for "
            f"x of shape {x.shape} and {size} units"
        )
    if weights.bias is not None and weights.bias.shape != (wide,):
        raise ValueError(f"weights.bias: got shape {weights.bias.shape}; expected {(wide,)}")
    if weights.recurrent_bias is not None:
        if not cell.recurrent_bias:
            raise ValueError(f"weights.recurrent_bias: a {name!r} has none, only a 'gru'")
        if weights.recurrent_bias.shape != (size,):
            raise ValueError(
                f"weights.recurrent_bias: got shape {weights.recurrent_bias.shape}; "
                f"expected {(size,)}"
            )


def check_mask(x, mask) -> None:
    """Raise a ValueError where a mask is not one boolean for each step."""
    if mask is None:
        return
    if getattr(mask, "dtype", None) != jnp.bool_ or mask.shape != x.shape[:2]:
        got = getattr(mask, "dtype", type(mask).__name__), getattr(mask, "shape", "")
        raise ValueError(
            f"mask: got {got[0]} {got[1]}; expected booleans {x.shape[:2]}, one for each step"
        )


def check_carry(cell: Cell, carry: Carry | None, batch: int, size: int, dtype) -> Carry:
    """The carry in ``dtype``; zeros where it is None."""
    if carry is None:
        return (jnp.zeros((batch, size), dtype),) * cell.states
    shapes = [getattr(state, "shape", None) for state in carry]
    if shapes != [(batch, size)] * cell.states:
        raise ValueError(f"carry: got shapes {shapes}; expected {cell.states} of {(batch, size)}")
    return tuple(state.astype(dtype) for state in carry)


def length_mask(lengths: jax.Array | np.ndarray, size: int) -> jax.Array:
    """Which steps are there: mask[i, t] = t < lengths[i].

    Args:
        lengths: (…,) integers.
        size: T, the padded length.

    Returns:
        (…, T) booleans.

    Raises:
        ValueError: lengths that are no integers, or, where they are known (not inside jit),
            negative or greater than ``size``.

    >>> import jax.numpy as jnp
    >>> length_mask(jnp.array([1, 3]), 3).tolist()
    [[True, False, False], [True, True, True]]
    """
    lengths = jnp.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"lengths: got {lengths.dtype}; expected integers")
    if not isinstance(lengths, jax.core.Tracer) and lengths.size:
        least, most = int(lengths.min()), int(lengths.max())
        if least < 0 or most > size:
            raise ValueError(
                f"lengths: got {least} to {most}; expected 0 to {size}, the padded length"
            )
    steps = jnp.arange(size, dtype=lengths.dtype)
    return jax.lax.expand_dims(steps, range(lengths.ndim)) < lengths[..., None]
