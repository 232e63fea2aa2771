"""What is done for the compiler's sake alone, so that the other files hold nothing but mathematics.

Minimizing a small function is a loop of many tiny operations, and there the time goes into things
that a formula does not show: how many arrays the loop carries, which branch is computed in vain,
in which order a convolution's axes come. Every such measure is in this file, with its reason.
None of them changes a result.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

# Accelerators compute float32 products in bfloat16 or TF32 by default. Inner products of nearly
# orthogonal vectors decide here whether a direction descends, so they are taken in full precision.
EXACT = jax.lax.Precision.HIGHEST


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """The inner product of two vectors in full precision."""
    return jnp.vdot(a, b, precision=EXACT)


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product in full precision."""
    return jnp.matmul(a, b, precision=EXACT)


# --- scalars: XLA's CPU compiler runs one kernel for each array that a loop's body puts out -------
# A minimizer carries some thirty numbers. As two vectors they take two kernels and two copies, and
# a small problem a fifth less time.


class Packed(NamedTuple):
    """The scalars of a tree as two vectors.

    Attributes:
        floats: the floating-point leaves, in the tree's order.
        integers: the integer and boolean leaves, in the tree's order, as int32.
    """

    floats: jax.Array
    integers: jax.Array


def pack(tree: Any) -> Packed:
    """Lay the scalars of a tree out as two vectors; `unpack` is the way back.

    >>> packed = pack({"a": jnp.float32(1.5), "b": jnp.int32(3), "c": jnp.asarray(True)})
    >>> packed.floats.tolist(), packed.integers.tolist()
    ([1.5], [3, 1])
    """
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    others = [leaf for leaf in leaves if not jnp.issubdtype(leaf.dtype, jnp.floating)]
    return Packed(jnp.stack(floats), jnp.stack([leaf.astype(jnp.int32) for leaf in others]))


def unpack(packed: Packed, like: Any) -> Any:
    """The tree that was packed, with the structure and dtypes of `like`.

    >>> like = {"a": jnp.float32(0), "b": jnp.int32(0), "c": jnp.asarray(False)}
    >>> unpack(pack({"a": 1.5, "b": 3, "c": True}), like)["c"].tolist()
    True
    """
    floats, integers = iter(range(packed.floats.size)), iter(range(packed.integers.size))
    leaves, structure = jax.tree.flatten(like)
    restored = [
        packed.floats[next(floats)]
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else packed.integers[next(integers)].astype(leaf.dtype)
        for leaf in leaves
    ]
    return jax.tree.unflatten(structure, restored)


# --- branches: jnp.where computes both sides, a cond only one ------------------------------------


def packed_cond(
    predicate: jax.Array,
    on_true: Callable,
    on_false: Callable,
    packed: Packed,
    like: Any,
    *operands: jax.Array,
) -> Packed:
    """``lax.cond`` between two functions of a tree of scalars, which goes in and out packed."""

    def on_packed(function):
        return lambda packed, *operands: pack(function(unpack(packed, like), *operands))

    return jax.lax.cond(predicate, on_packed(on_true), on_packed(on_false), packed, *operands)


def compute_if(predicate: jax.Array, function: Callable[[], Any], otherwise: Any) -> Any:
    """``function()`` where the predicate holds, else `otherwise`: rarely needed sums cost nothing.

    >>> float(compute_if(jnp.asarray(False), lambda: jnp.sum(jnp.ones(1000)), jnp.float32(2)))
    2.0
    """
    return jax.lax.cond(predicate, function, lambda: otherwise)


# --- blocks of rows: a long memory is read as far as it is filled --------------------------------
# L-BFGS reads its whole memory four times an iteration, and many runs end before it is full. So
# the rows lie in up to three arrays (a quarter, a quarter, a half), and one branch for each number
# of arrays in use reads no more than those.

Blocks = tuple[jax.Array, ...]


def empty_blocks(rows: int, columns: int, dtype: Any) -> Blocks:
    """A matrix of zeros, cut into blocks of rows where reading it takes time."""
    heights = [rows]
    while len(heights) < 3 and heights[0] > 20 and heights[0] * columns > 2**14:
        heights[:1] = [heights[0] // 2, heights[0] - heights[0] // 2]
    return tuple(jnp.zeros((height, columns), dtype) for height in heights)


def with_used_blocks(
    function: Callable, count: jax.Array, first: Blocks, second: Blocks, *operands: jax.Array
) -> jax.Array:
    """``function(first, second, rows, *operands)`` with the blocks that hold the first rows only.

    Args:
        function: of the leading blocks of two matrices, the number of their rows, the operands.
        count: rows in use; more than there are is as good as all.
        first: one matrix.
        second: another one, cut in the same way.
        operands: what else the function needs.
    """
    ends = [sum(block.shape[0] for block in first[: i + 1]) for i in range(len(first))]

    def use(blocks):
        def branch(first, second, *operands):
            return function(first[:blocks], second[:blocks], ends[blocks - 1], *operands)

        return branch

    which = sum((count > end).astype(jnp.int32) for end in ends[:-1])
    branches = [use(blocks) for blocks in range(1, len(first) + 1)]
    if len(branches) == 1:
        return branches[0](first, second, *operands)
    return jax.lax.switch(which, branches, first, second, *operands)


def rows_times(blocks: Blocks, vector: jax.Array) -> jax.Array:
    """A matrix in blocks of rows times a vector."""
    return jnp.concatenate([matmul(block, vector) for block in blocks])


def times_rows(weights: jax.Array, blocks: Blocks) -> jax.Array:
    """The sum of the rows of a matrix in blocks, each times its weight."""
    total, begin = 0, 0
    for block in blocks:
        total = total + matmul(weights[begin : begin + block.shape[0]], block)
        begin += block.shape[0]
    return total


def write_row(blocks: Blocks, index: jax.Array, vector: jax.Array, when: jax.Array) -> Blocks:
    """The matrix with one row replaced where `when` is true, in place inside a loop.

    A slice is read and written back in every block: a select on the whole array would copy it.
    """
    written, begin = [], 0
    for block in blocks:
        row = index - begin
        old = jax.lax.dynamic_slice_in_dim(block, row, 1)
        inside = when & (row >= 0) & (row < block.shape[0])
        new = jnp.where(inside, vector[None], old)
        written.append(jax.lax.dynamic_update_slice_in_dim(block, new, row, 0))
        begin += block.shape[0]
    return tuple(written)


# --- convolutions: fast inside a loop only in the order (batch, space, feature) ------------------
# On CPUs XLA hands a convolution to its fast kernel only in that order, and its pass that brings
# other orders into this one looks at the outermost program alone. The gradients of a convolution
# come in other orders, so inside a while_loop, where a minimizer lives, they fall to a slow general
# path: a small network's gradient takes two to three times longer there than outside.


def convolutions_for_cpu(jaxpr: core.Jaxpr) -> Callable | None:
    """A function of a program's inputs with all convolutions in (batch, space, feature) order.

    The traced program is run again, equation by equation, with explicit transposes.

    Args:
        jaxpr: the program.

    Returns:
        ``(constants, inputs) -> outputs``, lists of arrays; None where there is nothing to gain:
        another backend, or no convolution in another order.
    """
    if jax.default_backend() != "cpu" or not _has_foreign(jaxpr):
        return None

    def run(constants: Sequence, inputs: Sequence) -> list[jax.Array]:
        return _evaluate(jaxpr, constants, inputs)

    return run


def _native(dimensions: int) -> jax.lax.ConvDimensionNumbers:
    last, space = dimensions - 1, tuple(range(1, dimensions - 1))
    image = (0, last, *space)
    kernel = (last, last - 1, *(axis - 1 for axis in space))
    return jax.lax.ConvDimensionNumbers(image, kernel, image)


def _foreign(equation: Any) -> bool:
    if equation.primitive.name != "conv_general_dilated":
        return False
    layout = equation.params["dimension_numbers"]
    return tuple(layout) != tuple(_native(len(layout.lhs_spec)))


def _nested(equation: Any) -> core.ClosedJaxpr | None:
    """The program of a nested jit; loops and branches stay as they are."""
    return equation.params["jaxpr"] if equation.primitive.name in ("jit", "pjit") else None


def _has_foreign(jaxpr: Any) -> bool:
    for equation in jaxpr.eqns:
        nested = _nested(equation)
        if _foreign(equation) or (nested is not None and _has_foreign(nested.jaxpr)):
            return True
    return False


def _evaluate(jaxpr: Any, constants: Sequence, inputs: Sequence) -> list[jax.Array]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        values = [read(atom) for atom in equation.invars]
        nested = _nested(equation)
        if nested is not None:
            out = _evaluate(nested.jaxpr, nested.consts, values)
        elif _foreign(equation):
            out = [_convolve(*values, **equation.params)]
        else:
            bound = equation.primitive.get_bind_params(equation.params)
            # JAX used to hand the functions of a call apart from its other parameters.
            functions, params = bound if isinstance(bound, tuple) else ((), bound)
            out = equation.primitive.bind(*functions, *values, **params)
            out = out if equation.primitive.multiple_results else [out]
        known.update(zip(equation.outvars, out, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _convolve(image, kernel, *, dimension_numbers, **params) -> jax.Array:
    lhs, rhs, out = dimension_numbers
    image = image.transpose(lhs[0], *lhs[2:], lhs[1])
    kernel = kernel.transpose(*rhs[2:], rhs[1], rhs[0])
    native = _native(image.ndim)
    result = jax.lax.conv_general_dilated_p.bind(image, kernel, dimension_numbers=native, **params)
    # Axis `out[k]` of the wanted result is the k-th of (batch, feature, space).
    order = [0] * result.ndim
    for axis, here in zip(out, (0, result.ndim - 1, *range(1, result.ndim - 1)), strict=True):
        order[axis] = here
    return result.transpose(order)


# --- devices: a point that all devices share, before its gradient is taken ------------------------


def as_varying(vector: jax.Array, axis_name: str) -> jax.Array:
    """Mark a point as differing between devices, so that autodiff leaves the sum to the caller.

    Where shard_map tracks what is replicated, the gradient of a replicated point is summed over
    devices on its own; under pmap it is not. Marked, both give each device its own gradient.
    """
    kind = jax.typeof(vector)
    # JAX keeps the axes in `vma`, newer ones in `manual_axis_type.varying`.
    varying = kind.vma if hasattr(kind, "vma") else kind.manual_axis_type.varying
    return vector if axis_name in varying else jax.lax.pcast(vector, axis_name, to="varying")
