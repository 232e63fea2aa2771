"""A network's inference with convolutions of eight-bit integers, calibrated on examples."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.errors import JaxnetsError
from jaxnets.nn.inference_graph import Graph, Operation, Weight
from jaxnets.nn.optimize_for_inference import OptimizedModel, optimize_for_inference
from jaxnets.ops.convolution.fused import ACTIVATIONS
from jaxnets.ops.convolution.int8 import int8_conv, supported

LEAST_CHANNELS = 8  # of the input: first layers see few, gain nothing, and lose most
STEPS = {jnp.dtype(jnp.int8): 127, jnp.dtype(jnp.uint8): 255}


class QuantizedModel(OptimizedModel):
    """What `quantize_for_inference` returns: call it with its variables and a batch.

    Attributes:
        fused, removed: as of `OptimizedModel`.
        quantized: convolutions that multiply integers.

    >>> issubclass(QuantizedModel, OptimizedModel)
    True
    """

    def __init__(self, optimized: OptimizedModel, ranges: Sequence[tuple[float, float]]):
        super().__init__(optimized._model, optimized._variables, optimized._call)
        self._ranges = tuple(ranges)
        self.quantized = 0

    def _changed(self, graph: Graph) -> Graph:
        ranges, steps = iter(self._ranges), []
        for step in graph.operations:
            if step.name == "fused_conv":
                low, high = next(ranges)
                problem = step.params["problem"]
                fit = problem.in_channels >= LEAST_CHANNELS and supported(problem)
                step = _integers(step, low, high) if fit and low < high else step
            steps.append(step)
        self.quantized = sum(step.name == "int8_conv" for step in steps)
        return Graph(graph.inputs, steps, graph.results)


def _integers(step: Operation, low: float, high: float) -> Operation:
    """The fused convolution of integers: x ≈ s q, kernel ≈ t k for each output channel."""
    problem, activation = step.params["problem"], step.params["activation"]
    with_bias, with_addend = step.params["with_bias"], step.params["with_addend"]
    # What is never negative, as behind a ReLU, has all 256 steps above 0.
    dtype = jnp.dtype(jnp.uint8 if low >= 0 else jnp.int8)
    largest = STEPS[dtype]
    scale = np.float32(max(high, -low) / largest)
    least = 0 if low >= 0 else -largest
    x, kernel, *extra = step.inputs
    shape, outputs = tuple(kernel.shape), problem.out_channels

    def steps_of(flat):
        wide = jnp.abs(kernel.compute(flat).astype(jnp.float32))
        most = wide.max(tuple(range(len(shape) - 1)))
        return jnp.where(most > 0, most / 127, 1.0)

    def rounded(flat):
        return jnp.round(kernel.compute(flat).astype(jnp.float32) / steps_of(flat)).astype(jnp.int8)

    integers = Weight(rounded, shape, jnp.dtype(jnp.int8), shape)
    sizes = Weight(
        lambda flat: steps_of(flat) * scale, (outputs,), jnp.dtype(jnp.float32), (outputs,)
    )
    node = step.results[0]

    def run(x, kernel, sizes, *extra):
        wide = jnp.round(x.astype(jnp.float32) * (1 / scale))
        q = jnp.clip(wide, least, largest).astype(dtype)
        y = int8_conv(q, kernel, problem).astype(jnp.float32)
        y = y * lax.expand_dims(sizes, range(y.ndim - 1))
        if with_bias:
            y = y + lax.expand_dims(extra[0].astype(jnp.float32), range(y.ndim - 1))
        if with_addend:
            y = y + extra[-1].astype(jnp.float32)
        if activation is not None:
            y = ACTIVATIONS[activation](y)
        return [y.astype(node.dtype)]

    inputs = [x, integers, sizes, *extra]
    return Operation("int8_conv", run, inputs, [node], step.params)


def quantize_for_inference(
    model: nn.Module,
    variables: Mapping[str, Any],
    batches: Iterable[jax.Array],
    *,
    percentile: float = 100.0,
    **call: Any,
) -> tuple[QuantizedModel, dict[str, jax.Array]]:
    """Fold and fuse a network's inference, and run its convolutions on eight-bit integers.

    Each convolution of at least eight input channels, dense or by channel, multiplies
    q = round(x / s), from 0 to 255 where x is never negative and else from −127 to 127, by
    k = round(kernel / t), t one number an output channel; sums are exact, and y = s t Σ q k + bias
    goes on in the network's dtype. On CPUs with VNNI instructions oneDNN computes them, elsewhere
    XLA, slowly. Connected layers stay as they are.

    Args:
        model: a network, or any Flax module of one input.
        variables: its variables.
        batches: examples from which each convolution's range is taken; a hundred images will do.
        percentile: of a range's ends; 100 takes the extremes, a little less cuts single values off.
        call: keywords of the module's call, as of `optimize_for_inference`.

    Returns:
        a function ``quantized(folded, x)`` for `jax.jit` (a `QuantizedModel`), and the variables
        ``folded`` for it.

    Raises:
        JaxnetsError: no batches, or a percentile outside of 50 … 100.

    Source: Jacob et al. 2018 (Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference), §2 and 3; Krishnamoorthi 2018 (Quantizing deep convolutional
    networks for efficient inference), §3.

    >>> model = nn.Conv(4, (3, 3), name="conv")
    >>> x = jax.random.normal(jax.random.key(0), (2, 6, 6, 8))
    >>> variables = model.init(jax.random.key(1), x)
    >>> quantized, folded = quantize_for_inference(model, variables, [x])
    >>> quantized.quantized, folded["w0000"].dtype
    (1, dtype('int8'))
    >>> bool(jnp.allclose(quantized(folded, x), model.apply(variables, x), atol=0.05))
    True
    """
    if not 50 <= percentile <= 100:
        raise JaxnetsError(f"percentile: got {percentile}; expected 50 to 100")
    ranges: list[tuple[float, float]] = []
    optimized = None
    for x in batches:
        if optimized is None:
            optimized, folded = optimize_for_inference(model, variables, x, **call)
        found: list[tuple[float, float]] = []

        def watch(step: Operation, values: Sequence[Any], found=found) -> None:
            if step.name == "fused_conv":
                ends = np.percentile(
                    np.asarray(values[0], np.float32), [100 - percentile, percentile]
                )
                found.append((float(ends[0]), float(ends[1])))

        optimized.watch(folded, x, watch)
        ranges = [
            (min(a, c), max(b, d)) for (a, b), (c, d) in zip(ranges or found, found, strict=True)
        ]
    if optimized is None:
        raise JaxnetsError("batches: got none; expected at least one to take ranges from")
    quantized = QuantizedModel(optimized, ranges)
    return quantized, quantized.prepare(variables, x)
