"""Seconds and bytes of one network, for inference and for a training step, at one batch size."""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.models import create_model, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.optim import create_optimizer

Mode = Literal["inference", "training"]


def sampled_variables(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Variables of a network without compiling its initialisation.

    Kernels are He-normal by their fan-in, scales and variances one, all else zero: the arithmetic
    of a freshly initialised network, in a second instead of a minute.
    """
    rng = np.random.default_rng(0)

    def leaf(path, abstract):
        name = path[-1].key
        if len(abstract.shape) > 1:
            fan_in = math.prod(abstract.shape[:-1])
            values = rng.standard_normal(abstract.shape, np.float32) * math.sqrt(2 / fan_in)
        else:
            values = np.full(abstract.shape, float(name in ("scale", "var")), np.float32)
        return jnp.asarray(values, abstract.dtype)

    return jax.tree_util.tree_map_with_path(leaf, abstract_variables(model, input_shape))


def inference(model: nn.Module) -> Callable:
    """(variables, images) → logits."""
    return jax.jit(lambda variables, images: model.apply(variables, images, train=False))


def training(model: nn.Module) -> tuple[Callable, optax.GradientTransformation]:
    """One step of softmax cross-entropy and momentum: (params, state, opt, images, labels) → all.

    Returns:
        The jitted step, which gives its first three arguments' memory to the results, and the
        optimizer.
    """
    tx = create_optimizer("momentum", 0.01)

    def step(params, state, opt, images, labels):
        def loss_of(params):
            logits, new = model.apply(
                {"params": params, **state},
                images,
                train=True,
                mutable=list(state),
                rngs={"dropout": jax.random.key(0)},
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), new

        (loss, state_out), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt = tx.update(gradients, opt, params)
        return optax.apply_updates(params, updates), state_out, opt, loss

    return jax.jit(step, donate_argnums=(0, 1, 2)), tx


def time_calls(call: Callable[[], Any], seconds: float, least: int = 3) -> list[float]:
    """Seconds of each call, one after another until ``seconds`` have passed; the first is thrown.

    Args:
        call: must itself wait for its result.
        seconds: how long to go on.
        least: measure at least this many calls.
    """
    call()
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        clock = time.perf_counter()
        call()
        times.append(time.perf_counter() - clock)
    return times


def measure(name: str, mode: Mode, batch_size: int, seconds: float, dtype: str) -> dict[str, Any]:
    """Compile and run a registered network on random images of its published size.

    Returns:
        ``seconds`` (median of a call), ``fastest``, ``calls``, ``compile_seconds``, and what the
        compiled program needs: ``memory_bytes`` in all, of it ``temporary_bytes``.
    """
    info = model_info(name)
    model = create_model(name, dtype=jnp.dtype(dtype))
    variables = sampled_variables(model, info.input_shape)
    rng = np.random.default_rng(1)
    images = rng.standard_normal((batch_size, *info.input_shape), np.float32)
    images = jnp.asarray(images, dtype)
    clock = time.perf_counter()
    if mode == "inference":
        compiled = inference(model).lower(variables, images).compile()

        def call():
            compiled(variables, images).block_until_ready()

    else:
        step, tx = training(model)
        params, state = variables.pop("params"), variables
        opt = tx.init(params)
        labels = jnp.asarray(rng.integers(0, 10, batch_size))
        compiled = step.lower(params, state, opt, images, labels).compile()
        held = [params, state, opt]
        del params, state, opt, variables

        def call():
            *held[:], loss = compiled(*held, images, labels)
            loss.block_until_ready()

    compile_seconds = time.perf_counter() - clock
    times = time_calls(call, seconds)
    return {**summary(times), "compile_seconds": compile_seconds, **memory(compiled)}


def summary(times: list[float]) -> dict[str, Any]:
    """Median, fastest, number of calls."""
    return {"seconds": statistics.median(times), "fastest": min(times), "calls": len(times)}


def memory(compiled: Any) -> dict[str, int | None]:
    """Bytes of a compiled program: arguments, results and temporaries; None where not known."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return {"memory_bytes": None, "temporary_bytes": None}
    total = (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
        # Results that lie in the memory of donated arguments are counted on both sides.
        - sizes.alias_size_in_bytes
    )
    return {"memory_bytes": total, "temporary_bytes": sizes.temp_size_in_bytes}
