"""One of the three functions of a convolution divided among the devices of a mesh under `jax.jit`.

XLA divides its own operations by itself, and would gather the operands of a custom call on every
device. Here each device computes its part of the images, and, without groups, of the output
channels; what a sum over images or output channels needs is added over the devices. Under
`jax.pmap` and `jax.shard_map` a device has its part already, and nothing is to be done.
"""

import math
from collections.abc import Callable

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

try:  # Not public: without it several devices run the other algorithms, which XLA divides.
    from jax._src.dispatch import prim_requires_devices_during_lowering as _with_devices
except ImportError:
    _with_devices = set()

from jaxnets.ops.convolution import onednn_support
from jaxnets.ops.convolution.plan import Plan
from jaxnets.ops.convolution.problem import Problem

# For each function whether (first operand, second operand, result) have an axis of images, the
# first one, and of output channels, the last one.
_IMAGES = {
    "forward": (True, False, True),
    "input_gradient": (True, False, True),
    "kernel_gradient": (True, True, False),
}
_OUTPUTS = {
    "forward": (False, True, True),
    "input_gradient": (True, True, False),
    "kernel_gradient": (False, True, True),
}


def called_here(module) -> bool:
    """Whether the module that is being lowered may call oneDNN: for this process's CPU only."""
    if tuple(module.platforms) != ("cpu",) or module.lowering_parameters.for_export:
        return False
    if of_many(module) and getattr(module.axis_context, "abstract_mesh", True) is None:
        return False  # Several devices and no mesh: the axes of the division have no names.
    return onednn_support.available()


def divide(primitive) -> None:
    """Have the lowering of ``primitive`` told on which devices a program runs."""
    _with_devices.add(primitive)


def of_many(module) -> bool:
    """Whether a module that is being lowered is a program of several devices."""
    context = module.axis_context
    return (getattr(context, "num_devices", None) or 2) > 1


def _axes(entry) -> tuple[str, ...]:
    """Mesh axes of one entry of a PartitionSpec."""
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else tuple(entry)


def _division(direction: str, problem: Problem, mesh, shardings) -> tuple[tuple, tuple]:
    """Mesh axes that divide the images, and those that divide the output channels."""

    def found(has_axis, position: int, length: int, taken: tuple) -> tuple:
        for has, sharding in zip(has_axis, shardings, strict=True):
            spec = getattr(sharding, "spec", None)
            if not has or spec is None or len(spec) == 0:
                continue
            # A specification may leave out axes at the end.
            whole = [*spec, *(None,) * (problem.rank + 2 - len(spec))]
            axes = _axes(whole[position])
            parts = math.prod(mesh.shape[a] for a in axes)
            if axes and not set(axes) & set(taken) and length % parts == 0:
                return axes
        return ()

    images = found(_IMAGES[direction], 0, problem.batch, ())
    if problem.groups > 1:
        return images, ()
    return images, found(_OUTPUTS[direction], -1, problem.out_channels, images)


def _specifications(direction: str, rank: int, images: tuple, outputs: tuple) -> list[P]:
    """How both operands and the result lie."""
    middle = (None,) * rank
    return [
        P(images or None if has else None, *middle, outputs or None if out else None)
        for has, out in zip(_IMAGES[direction], _OUTPUTS[direction], strict=True)
    ]


def _rule(direction: str, rank: int) -> str:
    """The division in Shardy's notation: images are "n", output channels "d"."""
    names = iter("abcefghijklmopqrstuvwxyz")
    terms = []
    for has, out in zip(_IMAGES[direction], _OUTPUTS[direction], strict=True):
        middle = [next(names) for _ in range(rank)]
        first = "n" if has else next(names)
        terms.append(" ".join([first, *middle, "d" if out else next(names)]))
    return f"{terms[0]}, {terms[1]} -> {terms[2]}"


def over_devices(direction: str, run: Callable) -> Callable:
    """``run(a, b, problem=…, plan=…)`` such that a mesh of devices divides its work.

    Args:
        direction: "forward", "input_gradient" or "kernel_gradient".
        run: that function of a convolution, on one device.
    """

    def alone(a, b, problem: Problem, plan: Plan):
        return run(a, b, problem=problem, plan=plan)

    divided = custom_partitioning(alone, static_argnums=(2, 3))

    def lay_out(problem, mesh, arguments, result):
        shardings = [a.sharding for a in arguments]
        images, outputs = _division(direction, problem, mesh, [*shardings, result])
        specs = _specifications(direction, problem.rank, images, outputs)
        return images, outputs, [NamedSharding(mesh, spec) for spec in specs]

    def partition(problem, plan, mesh, arguments, result):
        images, outputs, (first, second, out) = lay_out(problem, mesh, arguments, result.sharding)
        parts = [math.prod(mesh.shape[a] for a in axes) for axes in (images, outputs)]
        kernel_shape = (*problem.kernel_shape[:-1], problem.out_channels // parts[1])
        x_shape = (problem.batch // parts[0], *problem.x_shape[1:])
        own = problem.replace(x_shape=x_shape, kernel_shape=kernel_shape)
        summed = {"kernel_gradient": images, "input_gradient": outputs}.get(direction, ())

        def one(a, b):
            part = run(a, b, problem=own, plan=plan)
            return jax.lax.psum(part, summed) if summed else part

        return mesh, one, out, (first, second)

    def infer(problem, plan, mesh, arguments, result):
        del plan, result
        return lay_out(problem, mesh, arguments, None)[2][2]

    divided.def_partition(
        partition=partition,
        infer_sharding_from_operands=infer,
        sharding_rule=lambda problem, plan, mesh, operands, results: _rule(direction, problem.rank),
    )

    def call(a, b, *, problem: Problem, plan: Plan):
        return divided(a, b, problem, plan)

    return call
