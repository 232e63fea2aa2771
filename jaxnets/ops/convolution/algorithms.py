"""The list of algorithms: three functions of two arrays each, and what each cannot do."""

import dataclasses
import functools
from collections.abc import Callable

import jax

from jaxnets.ops.convolution import (
    direct,
    fft,
    grouped,
    im2col,
    onednn,
    pointwise,
    shift,
    strassen,
    winograd,
)
from jaxnets.ops.convolution.cook_toom import POINTS
from jaxnets.ops.convolution.problem import Problem

Function = Callable[[jax.Array, jax.Array, Problem], jax.Array]


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A convolution and its two gradients, each a bilinear function of two arrays.

    Attributes:
        forward: (x, kernel, problem) to y.
        input_gradient: (g, kernel, problem) to x's gradient.
        kernel_gradient: (x, g, problem) to the kernel's gradient.
        unsupported: from a problem to the reason why it cannot be done, or None.
        summary: one line for tables.
    """

    forward: Function
    input_gradient: Function
    kernel_gradient: Function
    unsupported: Callable[[Problem], str | None]
    summary: str


def _module(module, summary: str) -> Algorithm:
    return Algorithm(
        module.forward,
        module.input_gradient,
        module.kernel_gradient,
        module.unsupported,
        summary,
    )


def _winograd(m: int) -> Algorithm:
    def unsupported(problem: Problem) -> str | None:
        if m + max(problem.window) - 1 > len(POINTS) + 1:
            return f"the window {problem.window} is too large for pieces of {m} pixels"
        return winograd.unsupported(problem)

    return Algorithm(
        functools.partial(winograd.forward, m=m),
        functools.partial(winograd.input_gradient, m=m),
        functools.partial(winograd.kernel_gradient, m=m),
        unsupported,
        f"minimal filtering F({m}×{m}, 3×3)",
    )


def _inside_blocks(inside: Algorithm, summary: str) -> Algorithm:
    """`blocked` with another algorithm for the wider groups."""

    def unsupported(problem: Problem) -> str | None:
        reason = grouped.unsupported(problem)
        if reason:
            return reason
        return inside.unsupported(grouped.merged(problem))

    return Algorithm(
        functools.partial(grouped.forward, inside=inside.forward),
        functools.partial(grouped.input_gradient, inside=inside.input_gradient),
        functools.partial(grouped.kernel_gradient, inside=inside.kernel_gradient),
        unsupported,
        summary,
    )


ALGORITHMS: dict[str, Algorithm] = {
    "direct": _module(direct, "XLA's own convolution"),
    "im2col": _module(im2col, "windows as rows, one matrix product"),
    "fft": _module(fft, "product of spectra"),
    "winograd": _winograd(4),
    "winograd2": _winograd(2),
    "winograd6": _winograd(6),
    "strassen": _module(strassen, "im2col with Strassen's matrix product"),
    "shift": _module(shift, "sum of shifted products"),
    "pointwise": _module(pointwise, "1×1 as a matrix product over channels"),
    "onednn": _module(onednn, "oneDNN's convolution and matrix product"),
}
ALGORITHMS["blocked"] = _inside_blocks(ALGORITHMS["im2col"], "wider groups, im2col inside")
ALGORITHMS["blocked-winograd"] = _inside_blocks(
    ALGORITHMS["winograd"], "wider groups, F(4×4, 3×3) inside"
)


@functools.cache
def find(name: str) -> Algorithm | None:
    """The algorithm of a name; "strassen:64" is `strassen` with the cut-off 64.

    >>> find("strassen:64").summary, find("strassen:0"), find("magic")
    ("im2col with Strassen's matrix product down to sides of 64", None, None)
    """
    kind, colon, cutoff = name.partition(":")
    if not colon:
        return ALGORITHMS.get(name)
    if kind != "strassen" or not cutoff.isdecimal() or int(cutoff) < 1:
        return None
    side = int(cutoff)
    return Algorithm(
        functools.partial(strassen.forward, cutoff=side),
        functools.partial(strassen.input_gradient, cutoff=side),
        functools.partial(strassen.kernel_gradient, cutoff=side),
        strassen.unsupported,
        f"im2col with Strassen's matrix product down to sides of {side}",
    )


def supporting(problem: Problem) -> list[str]:
    """Names of the algorithms that can do ``problem``."""
    return [name for name, a in ALGORITHMS.items() if a.unsupported(problem) is None]


def check(name: str, problem: Problem) -> None:
    """Raise a ValueError that says why ``name`` cannot do ``problem`` and what can."""
    algorithm = find(name)
    if algorithm is None:
        raise ValueError(
            f"algorithm must be 'auto' or one of {', '.join(ALGORITHMS)} (or 'strassen:N' with a "
            f"cut-off N ≥ 1), got {name!r}"
        )
    reason = algorithm.unsupported(problem)
    if reason:
        raise ValueError(
            f"algorithm={name!r} cannot do this convolution: {reason} ({problem.describe()}). "
            f"These can: auto, {', '.join(supporting(problem))}"
        )
