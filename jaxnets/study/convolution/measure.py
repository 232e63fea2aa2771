"""One convolution in every direction: jaxnets' algorithms beside XLA's own and PyTorch's."""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import jax

from jaxnets.ops.convolution.algorithms import ALGORITHMS, supporting
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.problem import Problem, make_problem
from jaxnets.study.convolution import timing
from jaxnets.study.convolution.shapes import Case
from jaxnets.study.torch_beside import settle_torch


def measure_case(
    case: Case, *, algorithms: str = "auto", batch: int = 8, rounds: int = 5, torch: bool = True
) -> list[dict[str, Any]]:
    """Time one convolution; a row for each direction and algorithm.

    Args:
        case: the convolution.
        algorithms: "auto" (against direct), "all", or names separated by commas.
        batch: images.
        rounds: turns of every candidate; the median counts.
        torch: PyTorch takes turns with ours, where it is installed.

    Returns:
        Rows {"family", "shape", "count", "direction", "algorithm", "auto", "ms"}; all but PyTorch's
        with "ratio" (XLA's time over this one's), "gflops" (of the definition's arithmetic),
        "error" (relative to XLA's result) and "temporary_mb".
    """
    x, kernel = (batch, *case.x[1:]), case.kernel
    shapes = [jax.ShapeDtypeStruct(s, "float32") for s in (x, kernel)]
    problem = make_problem(*shapes, **case.arguments)
    data = timing.arrays(problem)
    plan = choose(problem, "float32", jax.default_backend())
    common = {"family": case.family, "shape": case.name, "count": case.count}
    peers = torch_calls(problem) if torch and importlib.util.find_spec("torch") else {}
    rows = []
    for direction in timing.DIRECTIONS:
        auto = getattr(plan, direction)
        operands = timing.operands(direction, data)
        candidates = {
            name: (timing.function(name, direction, problem), operands)
            for name in _names(algorithms, problem, auto)
        }
        if direction == "forward" and can_prepare(problem):
            candidates["winograd prepared"] = timing.prepared_winograd(problem, data)
        beside = {"PyTorch": peers[direction]} if peers else {}
        results = timing.time_programs(candidates, rounds, peers=beside)
        direct = results["direct"]
        for name in beside:
            ms = results.pop(name).milliseconds
            rows.append(
                common | {"auto": False, "algorithm": name, "direction": direction, "ms": ms}
            )
        for name, result in results.items():
            row = {
                "direction": direction,
                "algorithm": name,
                "auto": name == auto,
                "ms": result.milliseconds,
                # One program and one measurement where auto is direct.
                "ratio": direct.milliseconds / result.milliseconds,
                "gflops": 2e-6 * problem.macs / result.milliseconds,
                "error": timing.relative_error(result.value, direct.value),
                "temporary_mb": result.temporary_bytes / 1e6,
            }
            rows.append(common | row)
    return rows


def can_prepare(problem: Problem) -> bool:
    """Whether a kernel that is transformed beforehand pays: 3×3, and 64 channels at least.

    Args:
        problem: the convolution.

    Returns:
        True where the prepared forward pass is worth a candidate of its own.
    """
    narrow = min(problem.in_channels, problem.out_channels)
    able = ALGORITHMS["winograd"].unsupported(problem) is None and problem.groups == 1
    return able and problem.window == (3, 3) and narrow >= 64


def _names(asked: str, problem: Problem, auto: str) -> list[str]:
    able = supporting(problem)
    if asked == "all":
        return able
    wanted = {"auto": [auto]}.get(asked) or asked.split(",")
    names = dict.fromkeys([auto, *wanted])
    return ["direct", *(n for n in names if n in able and n != "direct")]


def torch_calls(problem: Problem) -> dict[str, Callable[[], None]]:
    """PyTorch's convolution in each direction, channels last, on as many threads as JAX has.

    Args:
        problem: the convolution; padding before and behind must be equal.

    Returns:
        Direction → a call that runs it once.
    """
    import torch

    settle_torch()
    layouts = {1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d}
    layout = layouts[len(problem.window)]

    def normal(*shape: int) -> Any:
        return torch.randn(*shape).contiguous(memory_format=layout)

    x = normal(problem.batch, problem.in_channels, *problem.spatial)
    kernel = normal(problem.out_channels, problem.kernel_shape[-2], *problem.window)
    padding = [before for before, _ in problem.padding]
    g = normal(problem.batch, problem.out_channels, *problem.out_shape[1:-1])
    rest = list(problem.strides), padding, list(problem.dilation)
    unused = [0] * len(padding)

    def forward() -> None:
        with torch.inference_mode():
            torch.ops.aten.convolution(x, kernel, None, *rest, False, unused, problem.groups)

    def gradient(wanted: list[bool]) -> None:
        with torch.inference_mode():
            torch.ops.aten.convolution_backward(
                g, x, kernel, None, *rest, False, unused, problem.groups, wanted
            )

    calls = (
        forward,
        partial(gradient, [True, False, False]),
        partial(gradient, [False, True, False]),
    )
    return dict(zip(timing.DIRECTIONS, calls, strict=True))
