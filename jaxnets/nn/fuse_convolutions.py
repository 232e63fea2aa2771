"""Finding what one convolution can swallow: affine maps by channel, an addition, an activation."""

import dataclasses

import jax.numpy as jnp
from jax import lax

from jaxnets.nn.inference_graph import Graph, Node, Operation, Weight
from jaxnets.ops.convolution.fused import fused_conv
from jaxnets.ops.convolution.problem import Problem

# Operations that change nothing at inference.
_IDENTITIES = ("jaxnets_materialize", "optimization_barrier", "copy", "copy_p", "stop_gradient")
_AFFINE = ("add", "sub", "mul", "div", "neg", "add_any")


@dataclasses.dataclass
class _Chain:
    """What follows a convolution, as far as one call computes it.

    y = activation(scale·(x ⋆ kernel) + shift + addend)
    """

    scales: list = dataclasses.field(default_factory=list)  # ("mul" or "add", weight or −1)
    addend: Node | None = None
    activation: str | None = None
    last: Operation | None = None


def _problem(step: Operation) -> Problem | None:
    """The convolution of a step, where it is one by a fixed kernel with channels last."""
    if len(step.inputs) != 2 or not isinstance(step.inputs[0], Node):
        return None
    if not isinstance(step.inputs[1], Weight) or step.inputs[1].constant is not None:
        # A kernel that is one number, written in the program, is a pooling's.
        return None
    if step.name == "jaxnets_conv":
        return step.params["problem"]
    p, x, kernel = step.params, step.inputs[0], step.inputs[1]
    if step.name != "conv_general_dilated" or not jnp.issubdtype(x.dtype, jnp.floating):
        return None
    rank = len(x.shape) - 2
    numbers, middle = p["dimension_numbers"], tuple(range(1, rank + 1))
    if (
        rank not in (1, 2, 3)
        or tuple(numbers.lhs_spec) != (0, rank + 1, *middle)
        or tuple(numbers.out_spec) != (0, rank + 1, *middle)
        or tuple(numbers.rhs_spec) != (rank + 1, rank, *range(rank))
        or any(d != 1 for d in p["lhs_dilation"])
        or p["batch_group_count"] != 1
        or any(min(pair) < 0 for pair in p["padding"])
        or step.results[0].dtype != x.dtype
        or kernel.dtype != x.dtype
    ):
        return None
    return Problem(
        tuple(x.shape),
        tuple(kernel.shape),
        tuple(p["window_strides"]),
        tuple(tuple(pair) for pair in p["padding"]),
        tuple(p["rhs_dilation"]),
        p["feature_group_count"],
    )


def _is_number(value, number: float) -> bool:
    return isinstance(value, Weight) and value.constant == number


def _activation(step: Operation, so_far: str | None) -> str | None:
    """The activation that ``step`` makes of what came before, or None."""
    inputs = step.inputs
    if so_far is None:
        if step.name == "max" and any(_is_number(i, 0) for i in inputs):
            return "RELU"
        if step.name == "clamp" and _is_number(inputs[0], 0) and _is_number(inputs[2], 6):
            return "RELU6"
        return {"tanh": "TANH", "logistic": "SIGMOID"}.get(step.name)
    if so_far == "RELU" and step.name == "min" and any(_is_number(i, 6) for i in inputs):
        return "RELU6"
    return None


def _take(chain: _Chain, step: Operation, node: Node, dtype) -> bool:
    """Let the chain swallow ``step``, which reads ``node``; False if it cannot."""
    if step.name in _IDENTITIES and len(step.results) == 1:
        return True
    result = step.results[0]
    if step.name == "convert_element_type":
        # To and fro between the compute dtype and that of the statistics.
        return bool(jnp.issubdtype(result.dtype, jnp.floating))
    if result.shape != node.shape or len(step.results) != 1:
        return False
    activation = _activation(step, chain.activation)
    if activation is not None:
        chain.activation = activation
        return True
    if step.name not in _AFFINE or chain.activation is not None:
        return False
    if step.name == "neg":
        if chain.addend is None:
            chain.scales.append(("mul", -1))
        return chain.addend is None
    first = step.inputs[0] is node
    other = step.inputs[1] if first else step.inputs[0]
    if isinstance(other, Weight):
        if chain.addend is not None or not other.per_channel(node.shape):
            return False
        if step.name == "div" and not first:
            return False
        if step.name == "sub" and not first:
            chain.scales += [("mul", -1), ("add", other)]
        else:
            chain.scales.append((step.name, other))
        return True
    if step.name in ("add", "add_any") and chain.addend is None and other is not node:
        chain.addend = other if other.shape == node.shape else None
        return chain.addend is not None
    return False


def _folded(step: Operation, problem: Problem, chain: _Chain) -> tuple[Weight, Weight | None]:
    """The kernel times the chain's factor, and the bias; computed in float32 or wider."""
    kernel = step.inputs[1]
    outputs, dtype = problem.out_channels, kernel.dtype
    if not chain.scales:
        return kernel, None
    source = kernel.wide or kernel
    wide = jnp.promote_types(source.dtype, jnp.float32)

    def channels(value, flat):
        if isinstance(value, int):
            return jnp.full((outputs,), value, wide)
        return jnp.broadcast_to(value.compute(flat).astype(wide).reshape(-1), (outputs,))

    def factor_and_shift(flat):
        factor, shift = jnp.ones((outputs,), wide), jnp.zeros((outputs,), wide)
        for kind, value in chain.scales:
            number = channels(value, flat)
            if kind in ("mul", "div"):
                number = number if kind == "mul" else 1 / number
                factor, shift = factor * number, shift * number
            else:
                shift = shift - number if kind == "sub" else shift + number
        return factor, shift

    def scaled(flat):
        factor = lax.expand_dims(factor_and_shift(flat)[0], range(len(kernel.shape) - 1))
        return (source.compute(flat).astype(wide) * factor).astype(dtype)

    shape = tuple(kernel.shape)
    new = Weight(scaled, shape, dtype, shape)
    bias = Weight(
        lambda flat: factor_and_shift(flat)[1].astype(dtype), (outputs,), dtype, (outputs,)
    )
    return new, bias


def fuse(graph: Graph) -> Graph:
    """The same program with every convolution and what it can swallow as one operation."""
    readers: dict[Node, list[Operation]] = {}
    for step in graph.operations:
        for value in step.inputs:
            if isinstance(value, Node):
                readers.setdefault(value, []).append(step)
    results = {id(r) for r in graph.results}
    gone: set[int] = set()
    placed: dict[int, Operation] = {}  # the last swallowed operation → the fused one
    for step in graph.operations:
        problem = None if id(step) in gone else _problem(step)
        if problem is None:
            continue
        chain, node, swallowed = _Chain(last=step), step.results[0], [step]
        dtype = node.dtype
        while len(readers.get(node, [])) == 1 and id(node) not in results:
            following = readers[node][0]
            if id(following) in gone or not _take(chain, following, node, dtype):
                break
            swallowed.append(following)
            node = following.results[0]
        gone.update(id(s) for s in swallowed)
        placed[id(swallowed[-1])] = _fused(step, problem, chain, node)
    operations = []
    for step in graph.operations:
        if id(step) in placed:
            operations.append(placed[id(step)])
        elif id(step) not in gone:
            operations.append(step)
    return Graph(graph.inputs, operations, graph.results)


def _fused(step: Operation, problem: Problem, chain: _Chain, node: Node) -> Operation:
    kernel, bias = _folded(step, problem, chain)
    inputs: list = [step.inputs[0], kernel]
    inputs += [value for value in (bias, chain.addend) if value is not None]
    with_bias, with_addend = bias is not None, chain.addend is not None

    def run(x, kernel, *extra):
        y = fused_conv(
            x,
            kernel,
            problem,
            bias=extra[0] if with_bias else None,
            addend=extra[-1].astype(x.dtype) if with_addend else None,
            activation=chain.activation,
        )
        return [y.astype(node.dtype)]

    params = {
        "problem": problem,
        "activation": chain.activation,
        "with_bias": with_bias,
        "with_addend": with_addend,
    }
    return Operation("fused_conv", run, inputs, [node], params)
