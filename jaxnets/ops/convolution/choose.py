"""`auto`: which algorithm runs a convolution and its gradients, by shape, dtype and backend.

The rule goes through the kinds of convolution, with the limits of `table`. It looks at static
shapes only, so it costs nothing at run time and is deterministic.
"""

import dataclasses

import jax.numpy as jnp

from jaxnets.ops.convolution import onednn_support, winograd
from jaxnets.ops.convolution.plan import DIRECT, Plan
from jaxnets.ops.convolution.problem import Problem
from jaxnets.ops.convolution.table import ONEDNN, TABLES

# A program with a oneDNN call is compiled anew in every process, because XLA cannot store it: dense
# convolutions below so many multiply-adds do not win that back. Grouped ones do, which XLA's own
# code runs slowly at any size.
ONEDNN_DENSE_MACS = 20_000_000

# Small convolutions by groups are XLA's own below so many multiply-adds, with windows whose shifts
# take long to compile, and with so many channels in a group that merging groups wastes too much.
LEAST_GROUPED_MACS, MOST_SMALL_TAPS, MOST_SMALL_FAN_IN = 5_000, 49, 32


def _square_taps(problem: Problem) -> float:
    """Taps of the square window with the same sides: what the limits for spectra count.

    A cube of 3 has as many taps as a square of 5, and spectra of it cost far more.
    """
    return problem.taps ** (2 / problem.rank) if problem.rank > 2 else problem.taps


def _choose_small(problem: Problem) -> str:
    """One direction's algorithm where there is little to do: what compiles fastest, XLA's own.

    Not by groups: there it takes up to a hundred times as long, several milliseconds.
    """
    if problem.groups == 1 or problem.macs < LEAST_GROUPED_MACS:
        return "direct"
    if problem.depthwise:
        return "shift" if problem.taps <= MOST_SMALL_TAPS else "direct"
    fan_in = problem.in_channels // problem.groups
    return "blocked" if fan_in <= MOST_SMALL_FAN_IN else "direct"


def _choose(problem: Problem, limits: dict[str, float]) -> str:
    """One direction's algorithm."""
    if problem.macs < limits["least_macs"]:
        return _choose_small(problem)
    if problem.depthwise:
        large = problem.taps >= limits["depthwise_fft_taps"]
        return "fft" if large and problem.unit_stride else "shift"
    if problem.taps == 1:
        return "pointwise"
    minimal = winograd.unsupported(problem) is None and all(k in (1, 3) for k in problem.window)
    if problem.groups > 1:
        if minimal:
            return "blocked-winograd"
        fan_in = problem.in_channels // problem.groups
        return "blocked" if fan_in <= limits["strided_blocked_channels"] else "direct"
    if problem.unit_stride and _square_taps(problem) >= limits["dense_fft_taps"]:
        return "fft"
    narrow = min(problem.in_channels, problem.out_channels)
    wide = max(problem.in_channels, problem.out_channels)
    if (
        minimal
        and problem.taps >= 9
        and narrow >= limits["winograd_channels"]
        and problem.pixels >= wide * limits["winograd_pixels_per_channel"]
    ):
        return "winograd"
    plain = problem.taps <= 9 and problem.unit_stride
    if problem.in_channels <= limits["few_channels" if plain else "first_layer_channels"]:
        # Large windows of stride 1 have the most columns for their work.
        outputs = problem.out_channels / problem.in_channels
        paid = plain or not problem.unit_stride or outputs >= limits["columns_outputs_per_input"]
        return "im2col" if paid else "direct"
    strided = problem.taps <= 9 and not problem.unit_stride
    if strided and problem.in_channels >= limits["strided_im2col_channels"]:
        return "im2col"
    return "direct"


def _choose_with_onednn(problem: Problem, limits: dict[str, float]) -> str:
    """One direction's algorithm where oneDNN may be called: it, unless another is known to win."""
    if problem.macs < limits["least_macs"]:
        small = problem.groups > 1 and problem.macs >= LEAST_GROUPED_MACS
        return "onednn" if small else "direct"
    fan_in = problem.in_channels // problem.groups
    if problem.depthwise:
        if problem.unit_stride and problem.taps >= limits["depthwise_fft_taps"]:
            return "fft"
        return "shift" if problem.taps <= limits["depthwise_shift_taps"] else "onednn"
    if problem.groups > 1:
        if fan_in > limits["blocked_channels"]:
            return "onednn"
        minimal = winograd.unsupported(problem) is None and all(k in (1, 3) for k in problem.window)
        return "blocked-winograd" if minimal else "blocked"
    if problem.unit_stride and _square_taps(problem) >= limits["dense_fft_taps"]:
        return "fft"
    narrow = min(problem.in_channels, problem.out_channels)
    wide = max(problem.in_channels, problem.out_channels)
    if (
        problem.taps >= 9
        and winograd.unsupported(problem) is None
        and all(k in (1, 3) for k in problem.window)
        and narrow >= limits["winograd_channels"]
        and problem.pixels >= wide * limits["winograd_pixels_per_channel"]
    ):
        return "winograd"
    return "onednn"


def choose(problem: Problem, dtype, backend: str) -> Plan:
    """The plan of ``algorithm="auto"`` for ``problem``.

    Args:
        problem: shapes and window of the convolution.
        dtype: of x and the kernel; float64 stays with exact algorithms.
        backend: "cpu", "gpu" or "tpu"; without a table of its own everything is "direct".

    Returns:
        one algorithm for each of the three functions.

    >>> from jaxnets.ops.convolution.problem import Problem
    >>> p = Problem((8, 56, 56, 144), (3, 3, 1, 144), (1, 1), ((1, 1),) * 2, (1, 1), groups=144)
    >>> choose(p, jnp.float32, "cpu").forward in ("onednn", "shift")
    True
    >>> choose(p, jnp.float32, "tpu").forward
    'direct'
    """
    dtype = jnp.dtype(dtype)
    if dtype == jnp.float64:
        # Double precision is asked for where exactness comes before speed.
        return DIRECT
    called = backend == "cpu" and onednn_support.available() and onednn_support.computes(dtype)
    if called and not onednn_support.stands_still(problem.groups, problem.rank):
        limits = _onednn_limits(onednn_support.instruction_set(), dtype)
        if limits is not None and (problem.groups > 1 or problem.macs >= ONEDNN_DENSE_MACS):
            return _plan(_choose_with_onednn, problem, limits)
        if limits is not None and not problem.unit_stride:
            # XLA's own gradient of a strided convolution takes forty times as long as oneDNN's.
            gradient = _choose_with_onednn(problem, limits["input_gradient"])
            return dataclasses.replace(_by_hand(problem, backend), input_gradient=gradient)
    return _by_hand(problem, backend)


def portable(problem: Problem, dtype, plan: Plan) -> Plan:
    """``plan`` with what needs oneDNN replaced by the best of the other algorithms.

    Args:
        problem: shapes and window of the convolution.
        dtype: of x and the kernel.
        plan: of `choose`, or what a caller asked for.

    Returns:
        a plan that runs on every platform.
    """
    other = DIRECT if jnp.dtype(dtype) == jnp.float64 else _by_hand(problem, "cpu")
    return Plan(
        *(
            theirs if ours == "onednn" else ours
            for ours, theirs in zip(
                (plan.forward, plan.input_gradient, plan.kernel_gradient),
                (other.forward, other.input_gradient, other.kernel_gradient),
                strict=True,
            )
        )
    )


def _plan(rule, problem: Problem, limits: dict[str, dict[str, float]]) -> Plan:
    return Plan(
        rule(problem, limits["forward"]),
        rule(problem, limits["input_gradient"]),
        rule(problem, limits["kernel_gradient"]),
    )


def _by_hand(problem: Problem, backend: str) -> Plan:
    table = TABLES.get(backend)
    return DIRECT if table is None else _plan(_choose, problem, table)


def _onednn_limits(instruction_set: str | None, dtype) -> dict | None:
    """The table of the processor, or of the nearest narrower one; half precisions share one."""
    kind = "float32" if dtype == jnp.float32 else "bfloat16"
    names = list(onednn_support.INSTRUCTION_SETS)
    if instruction_set not in names:
        return None
    at = names.index(instruction_set)
    # Narrower ones first, then wider ones: any table is nearer than none.
    for name in (*names[at:], *reversed(names[:at])):
        if kind in ONEDNN.get(name, {}):
            return ONEDNN[name][kind]
    return None
