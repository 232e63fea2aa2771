"""`Problem`: the static description of one convolution, checked once, in one place.

Every algorithm gets a `Problem` and the two arrays; none of them checks arguments again. A
`Problem` is hashable, so it can be a static argument of a jitted function.
"""

import dataclasses
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.ops.windows import Padding


@dataclasses.dataclass(frozen=True)
class Problem:
    """Shapes and window of one convolution y = x ⋆ kernel, all static.

    Attributes:
        x_shape: (N, spatial…, C_in).
        kernel_shape: (window…, C_in/groups, C_out).
        strides, dilation: one int per spatial axis.
        padding: one (before, after) pair per spatial axis.
        groups: channel groups.
    """

    x_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.strides)

    @property
    def batch(self) -> int:
        return self.x_shape[0]

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.x_shape[1:-1]

    @property
    def window(self) -> tuple[int, ...]:
        return self.kernel_shape[:-2]

    @property
    def taps(self) -> int:
        """Positions of the window, K₁·K₂·…"""
        return math.prod(self.window)

    @property
    def extent(self) -> tuple[int, ...]:
        """The window's reach with its holes: (K − 1)·dilation + 1."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.window, self.dilation, strict=True))

    @property
    def padded(self) -> tuple[int, ...]:
        return tuple(s + a + b for s, (a, b) in zip(self.spatial, self.padding, strict=True))

    @property
    def out_spatial(self) -> tuple[int, ...]:
        return tuple(
            (p - e) // s + 1 for p, e, s in zip(self.padded, self.extent, self.strides, strict=True)
        )

    @property
    def in_channels(self) -> int:
        return self.x_shape[-1]

    @property
    def out_channels(self) -> int:
        return self.kernel_shape[-1]

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (self.batch, *self.out_spatial, self.out_channels)

    @property
    def pixels(self) -> int:
        """Output positions of the whole batch."""
        return self.batch * math.prod(self.out_spatial)

    @property
    def macs(self) -> int:
        """Multiply-adds of the definition, padding counted: pixels · taps · C_in/groups · C_out."""
        return self.pixels * math.prod(self.kernel_shape)

    @property
    def depthwise(self) -> bool:
        return self.groups == self.in_channels and self.kernel_shape[-2] == 1 and self.groups > 1

    @property
    def unit_stride(self) -> bool:
        return all(s == 1 for s in self.strides)

    @property
    def unit_dilation(self) -> bool:
        # A window of one tap has no holes whatever its dilation says.
        return all(d == 1 or k == 1 for d, k in zip(self.dilation, self.window, strict=True))

    def replace(self, **changes) -> "Problem":
        return dataclasses.replace(self, **changes)

    def describe(self) -> str:
        """The shapes, for messages."""
        return f"x {self.x_shape}, kernel {self.kernel_shape}"

    def transposed(self) -> "Problem":
        """The stride-1 convolution of y's gradient with the flipped kernel that gives x's gradient.

        Needs unit strides. Padding may come out negative (x was padded by more than extent − 1);
        `jaxnets.ops.convolution.window.pad` crops then.
        """
        padding = tuple(
            (e - 1 - a, e - 1 - b) for e, (a, b) in zip(self.extent, self.padding, strict=True)
        )
        fan_in, fan_out = self.kernel_shape[-2:]
        kernel_shape = (*self.window, fan_out // self.groups, fan_in * self.groups)
        return self.replace(x_shape=self.out_shape, kernel_shape=kernel_shape, padding=padding)


def _integers(name: str, value, rank: int, least: int) -> tuple[int, ...]:
    """``value`` as one int per axis, or a ValueError that names the argument."""
    try:
        values = (
            tuple(operator.index(v) for v in value)
            if isinstance(value, Sequence) and not isinstance(value, str)
            else (operator.index(value),) * rank
        )
    except TypeError:
        values = ()
    if len(values) != rank or any(v < least for v in values):
        raise ValueError(
            f"{name} must be an integer ≥ {least} or {rank} of them (one per spatial axis), "
            f"got {value!r}"
        )
    return values


def resolve_padding(padding: Padding, spatial, extent, strides) -> tuple[tuple[int, int], ...]:
    """The padding of each axis as (before, after), or a ValueError that says what is expected."""
    rank = len(spatial)
    if isinstance(padding, str):
        if padding.upper() == "VALID":
            return ((0, 0),) * rank
        if padding.upper() == "SAME":
            total = [
                max((-(-size // s) - 1) * s + e - size, 0)
                for size, e, s in zip(spatial, extent, strides, strict=True)
            ]
            return tuple((t // 2, t - t // 2) for t in total)
        raise ValueError(f"padding must be an integer, pairs, 'SAME' or 'VALID', got {padding!r}")
    try:
        if not isinstance(padding, Sequence):
            padding = (operator.index(padding),) * rank
        pairs = tuple(
            (operator.index(p[0]), operator.index(p[1]))
            if isinstance(p, Sequence) and len(p) == 2
            else (operator.index(p),) * 2
            for p in padding
        )
    except TypeError:
        pairs = ()
    if len(pairs) != rank or any(p < 0 for pair in pairs for p in pair):
        raise ValueError(
            f"padding must be a non-negative integer, {rank} of them, {rank} (before, after) "
            f"pairs, 'SAME' or 'VALID', got {padding!r}"
        )
    return pairs


def make_problem(
    x: jax.Array,
    kernel: jax.Array,
    strides: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Problem:
    """Check a convolution's arguments and return its `Problem`; arguments as for `conv`.

    Raises:
        ValueError: naming the argument, with both shapes.

    >>> p = make_problem(jnp.zeros((8, 7, 7, 3)), jnp.zeros((3, 3, 3, 16)), strides=2, padding=1)
    >>> p.out_shape, p.padding
    ((8, 4, 4, 16), ((1, 1), (1, 1)))
    """
    shapes = f"x {jnp.shape(x)}, kernel {jnp.shape(kernel)}"
    rank = jnp.ndim(kernel) - 2
    if rank not in (1, 2, 3):
        raise ValueError(
            f"kernel must have 3 to 5 axes (1 to 3 window axes, C_in/groups, C_out): {shapes}"
        )
    if jnp.ndim(x) != rank + 2:
        raise ValueError(
            f"x must have {rank + 2} axes (batch, {rank} spatial, channels) to fit the kernel: "
            f"{shapes}; add a batch axis with x[None] if it is missing"
        )
    for name, array in (("x", x), ("kernel", kernel)):
        if not jnp.issubdtype(jnp.result_type(array), jnp.floating):
            raise ValueError(
                f"{name} must be of a floating dtype, got {jnp.result_type(array)}: {shapes}; "
                f"convert it first, as in {name}.astype(jnp.float32)"
            )
    if jnp.result_type(x) != jnp.result_type(kernel):
        raise ValueError(
            f"x and kernel must have one dtype, got {jnp.result_type(x)} and "
            f"{jnp.result_type(kernel)}: {shapes}; convert one of them"
        )
    if any(k < 1 for k in jnp.shape(kernel)):
        raise ValueError(f"kernel must have no empty axis: {shapes}")
    strides = _integers("strides", strides, rank, 1)
    dilation = _integers("dilation", dilation, rank, 1)
    (groups,) = _integers("groups", groups, 1, 1)
    in_channels, out_channels = x.shape[-1], kernel.shape[-1]
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups={groups} must divide the channels of x ({in_channels}) and of the output "
            f"({out_channels}): {shapes}"
        )
    if kernel.shape[-2] * groups != in_channels:
        raise ValueError(
            f"kernel must take C_in/groups = {in_channels}/{groups} = {in_channels // groups} "
            f"channels on its last axis but one, got {kernel.shape[-2]}: {shapes}"
        )
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape[:-2], dilation, strict=True))
    pairs = resolve_padding(padding, x.shape[1:-1], extent, strides)
    problem = Problem(tuple(x.shape), tuple(kernel.shape), strides, pairs, dilation, groups)
    if any(p < e for p, e in zip(problem.padded, extent, strict=True)):
        raise ValueError(
            f"the kernel reaches over {extent} but the padded input has only {problem.padded}: "
            f"{shapes}, padding {pairs}, dilation {dilation}"
        )
    return problem
