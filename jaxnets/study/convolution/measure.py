"""One convolution in every direction: jaxnets' algorithms beside XLA's own and PyTorch's."""

import importlib.util
import statistics
import time
from typing import Any

import jax

from jaxnets.ops.convolution.algorithms import ALGORITHMS, supporting
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.problem import Problem, make_problem
from jaxnets.study.convolution import timing
from jaxnets.study.convolution.shapes import Case


def measure_case(
    case: Case, *, algorithms: str = "auto", batch: int = 8, rounds: int = 5, torch: bool = True
) -> list[dict[str, Any]]:
    """Time one convolution; a row for each direction and algorithm.

    Args:
        case: the convolution.
        algorithms: "auto" (against direct), "all", or names separated by commas.
        batch: images.
        rounds: turns of every candidate; the median counts.
        torch: time PyTorch beside, where it is installed.

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
        results = timing.time_programs(candidates, rounds)
        direct = results["direct"]
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
    if torch and importlib.util.find_spec("torch"):
        forward, gradients = _torch_milliseconds(problem, rounds)
        rows += [
            common | {"auto": False, "algorithm": "PyTorch", "direction": direction, "ms": ms}
            for direction, ms in (("forward", forward), ("gradients", gradients))
        ]
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


def _torch_milliseconds(problem: Problem, rounds: int) -> tuple[float, float]:
    """PyTorch's forward pass, and both gradients together; channels last."""
    import torch

    x = torch.randn(problem.batch, problem.in_channels, *problem.spatial, requires_grad=True)
    x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(problem.out_channels, problem.kernel_shape[-2], *problem.window)
    kernel = kernel.to(memory_format=torch.channels_last).requires_grad_()
    padding = [before for before, _ in problem.padding]

    def run():
        return torch.nn.functional.conv2d(
            x, kernel, None, problem.strides, padding, problem.dilation, problem.groups
        )

    g = torch.ones_like(run())
    forward, both = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with torch.no_grad():
            run()
        forward.append(time.perf_counter() - start)
        start = time.perf_counter()
        torch.autograd.grad(run(), (x, kernel), g)
        both.append(time.perf_counter() - start)
    # The first round warms up.
    forward_ms = 1e3 * statistics.median_low(forward[1:])
    return forward_ms, 1e3 * statistics.median_low(both[1:]) - forward_ms
