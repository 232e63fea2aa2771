"""A network made ready for inference: nothing computed that could be known before."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn.fuse_convolutions import fuse
from jaxnets.nn.inference_graph import Graph, Node, Operation, Weight, move_bits, trace

# Sides of the images that are tried where no example is given, those of the published networks.
# The smallest that works: a classifier that slides over larger images computes otherwise there.
SIDES = (28, 32, 64, 224, 227, 299, 331)


class OptimizedModel:
    """What `optimize_for_inference` returns: call it with its variables and a batch.

    Attributes:
        fused: convolutions of the network, each one operation together with what follows it.
        removed: operations that are gone, computed beforehand or part of a convolution.

    >>> model = nn.Conv(2, (3, 3), name="conv")
    >>> variables = model.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    >>> optimize_for_inference(model, variables, jnp.ones((1, 8, 8, 3)))[0].fused
    1
    """

    def __init__(self, model: nn.Module, variables: Any, call: Mapping[str, Any]):
        self._model, self._call = model, dict(call)
        self._variables = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), variables)
        self._graphs: dict[tuple, tuple[Graph, Any, list[Weight]]] = {}
        self._shapes: list | None = None
        self.fused = self.removed = 0

    def __call__(self, variables: Mapping[str, jax.Array], x: jax.Array) -> Any:
        """What ``model.apply`` returns in inference.

        Args:
            variables: the tree that `optimize_for_inference` returned.
            x: a batch; any number of images, and any size that the network takes.

        Raises:
            ValueError: variables of another network, or a size for which the network computes
                with other parameters.
        """
        return self.watch(variables, x, lambda step, values: None)

    def watch(
        self,
        variables: Mapping[str, jax.Array],
        x: jax.Array,
        see: Callable[[Operation, Sequence[Any]], None],
    ) -> Any:
        """As a call, which shows every operation's inputs before it runs.

        Args:
            variables, x: as of a call.
            see: (operation, its inputs' values) → nothing.
        """
        graph, structure, weights = self._graph(x)
        if len(variables) != len(weights):
            raise ValueError(
                f"variables: got {len(variables)} arrays, expected the {len(weights)} that "
                "optimize_for_inference returned for this network"
            )
        values: dict[int, Any] = {id(w): variables[f"w{i:04}"] for i, w in enumerate(weights)}
        values[id(graph.inputs[0])] = x

        def read(value):
            if isinstance(value, Weight) and value.compact != value.shape:
                return jnp.broadcast_to(values[id(value)], value.shape)
            return values[id(value)]

        for step in graph.operations:
            # A fused convolution takes its bias as it is; other operations take whole arrays.
            given = [read(v) for v in step.inputs]
            see(step, given)
            results = step.run(*given)
            values.update((id(n), r) for n, r in zip(step.results, results, strict=True))
        return jax.tree.unflatten(structure, [read(r) for r in graph.results])

    def _graph(self, x: Any) -> tuple[Graph, Any, list[Weight]]:
        key = (tuple(x.shape), jnp.dtype(x.dtype))
        if key not in self._graphs:

            def apply(variables, x):
                return self._model.apply(variables, x, **self._call)

            struct = jax.ShapeDtypeStruct(*key)
            before, structure = trace(apply, self._variables, struct)
            graph = move_bits(self._changed(fuse(_needed(before))))
            weights = _weights_of(graph)
            shapes = [(w.compact, jnp.dtype(w.dtype)) for w in weights]
            if self._shapes is None:
                self._shapes = shapes
                kinds = "fused_conv", "int8_conv"
                self.fused = sum(s.name in kinds for s in graph.operations)
                self.removed = len(before.operations) - len(graph.operations)
            if shapes != self._shapes:
                raise ValueError(
                    f"x: for {key[0]} this network computes with other parameters than for the "
                    "example of optimize_for_inference; call that again with an x like this one"
                )
            self._graphs[key] = graph, structure, weights
        return self._graphs[key]

    def _changed(self, graph: Graph) -> Graph:
        """What else is done to the graph; a subclass's."""
        return graph

    def prepare(self, variables: Any, x: Any) -> dict[str, jax.Array]:
        """The variables of the optimized network, from those of the network."""
        _, _, weights = self._graph(x)

        @jax.jit
        def compute(flat):
            flat = list(flat)
            return {f"w{i:04}": w.compute(flat) for i, w in enumerate(weights)}

        return compute(jax.tree.leaves(variables))


def _needed(graph: Graph) -> Graph:
    """The graph without operations whose results nobody reads."""
    wanted, kept = {id(r) for r in graph.results}, []
    for step in reversed(graph.operations):
        if any(id(r) in wanted for r in step.results):
            kept.append(step)
            wanted.update(id(v) for v in step.inputs)
    return Graph(graph.inputs, kept[::-1], graph.results)


def _weights_of(graph: Graph) -> list[Weight]:
    """Every weight that an operation reads, in the order of their first use."""
    found: dict[int, Weight] = {}
    values: list[Sequence[Node | Weight]] = [s.inputs for s in graph.operations]
    for value in (v for some in (*values, graph.results) for v in some):
        if isinstance(value, Weight):
            found.setdefault(id(value), value)
    return list(found.values())


def _example(model: nn.Module, variables: Any, call: Mapping[str, Any]) -> jax.ShapeDtypeStruct:
    """An input that the network takes, by trying."""
    leaves = jax.tree.leaves(variables.get("params", {}))
    kernels = [leaf for leaf in leaves if len(leaf.shape) in (3, 4, 5)]
    channels = sorted({k.shape[-2] for k in kernels} | {1, 3})
    ranks = sorted({len(k.shape) for k in kernels} | {4}, key=lambda r: r != 4)
    for rank in ranks:
        for side in SIDES:
            for c in channels[:8]:
                x = jax.ShapeDtypeStruct((1, *(side,) * (rank - 2), c), jnp.float32)
                try:
                    jax.eval_shape(lambda v, x: model.apply(v, x, **call), variables, x)
                except Exception:  # whatever a foreign module makes of a wrong input
                    continue
                return x
    raise ValueError(
        "x: no example was given, and none of the usual sizes of images fits this network; pass a "
        "batch (or its jax.ShapeDtypeStruct) as third argument"
    )


def optimize_for_inference(
    model: nn.Module, variables: Mapping[str, Any], x: Any = None, **call: Any
) -> tuple[OptimizedModel, dict[str, jax.Array]]:
    """Fold and fuse a network's inference; works for any Flax module.

    Whatever depends on the variables alone is computed once. Batch normalizations, biases and other
    affine maps by channel that follow a convolution are folded into its kernel and bias, and with
    them a residual addition and an activation (ReLU, ReLU6, sigmoid, tanh) become one operation:
    where oneDNN may be called one call, which reads and writes memory once, elsewhere what
    ``algorithm="auto"`` runs. In float32 the result differs by rounding, about 1e-6 of its size.

    Args:
        model: a network, or any Flax module of one input.
        variables: its variables, as ``model.init`` or a checkpoint gives them.
        x: a batch, or its shape and dtype; by default one of the usual sizes of images is found by
            trying. The result takes other numbers of images and other sizes as well.
        call: keywords of the module's call; ``train=False`` by itself where there is such a one.

    Returns:
        a function ``optimized(folded, x)`` for `jax.jit` (an `OptimizedModel`), and the variables
        ``folded`` for it, a flat dictionary of arrays.

    Raises:
        ValueError: no example was given and none could be found.

    Source: Jacob et al. 2018 (Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference), §3.2; oneDNN's developer guide, "Primitive Attributes:
    Post-ops".

    >>> from jaxnets.nn import BatchNorm, Conv
    >>> class Block(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x, train):
    ...         y = Conv(3, (3, 3), padding=1, use_bias=False, name="conv")(x)
    ...         return nn.relu(x + BatchNorm(name="bn")(y, train=train))
    >>> block, x = Block(), jnp.ones((2, 8, 8, 3))
    >>> variables = block.init(jax.random.key(0), x, train=False)
    >>> optimized, folded = optimize_for_inference(block, variables, x)
    >>> optimized.fused, sorted(a.shape for a in folded.values())
    (1, [(3,), (3, 3, 3, 3)])
    >>> y = jax.jit(optimized)(folded, x)
    >>> bool(jnp.allclose(y, block.apply(variables, x, train=False), atol=1e-5))
    True
    """
    parameters = inspect.signature(type(model).__call__).parameters
    if "train" in parameters:
        call = {"train": False, **call}
    if x is None:
        x = _example(model, variables, call)
    optimized = OptimizedModel(model, variables, call)
    return optimized, optimized.prepare(variables, x)
