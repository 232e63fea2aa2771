"""Seconds and bytes of one network, for inference and for a training step, at one batch size."""

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
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
    """Variables of a network without compiling its initialization.

    Kernels are He-normal by their fan-in, scales and variances one, all else zero: the arithmetic
    of a freshly initialized network, in a second instead of a minute.
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


def time_calls(
    calls: Mapping[str, Callable[[], Any]], seconds: float, least: int = 3
) -> dict[str, list[dict[str, float]]]:
    """Time calls in turn, in blocks of at least a fifth of a second; a first round is thrown away.

    Each round has a block of every call, so that a slow minute of the machine meets all of them.
    Goes on until each call has run for ``seconds`` in at least ``least`` blocks in which the rest
    of the machine was at rest, or until five times that; a short program on a busy machine is
    measured for what it can do, a long one for what it got, and the record says which.

    Args:
        calls: name → what to call; it must itself wait for its result.
        seconds: how long to go on with each, on a machine at rest.
        least: rounds at least.

    Returns:
        For each call its blocks: the ``seconds`` of one call, and the share of the machine's cores
        that ``others`` used meanwhile (0 where the system does not say).
    """
    for call in calls.values():
        call()
    blocks: dict[str, list[dict[str, float]]] = {name: [] for name in calls}
    spent, limit, rounds = 0.0, 5 * seconds * len(calls), 0
    while rounds < least or (
        spent < limit and not all(_enough(b, seconds, least) for b in blocks.values())
    ):
        for name, call in calls.items():
            blocks[name].append(_block(call, min(0.2, seconds)))
            spent += blocks[name][-1]["wall"]
        rounds += 1
    return blocks


def _block(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    busy, own, clock, count = _busy_seconds(), time.process_time(), time.perf_counter(), 0
    while count == 0 or time.perf_counter() - clock < seconds:
        call()
        count += 1
    wall = time.perf_counter() - clock
    others = _busy_seconds() - busy - (time.process_time() - own)
    share = max(0.0, others) / (wall * (os.cpu_count() or 1))
    return {"seconds": wall / count, "others": share, "wall": wall}


AT_REST = 0.1


def _enough(blocks: list[dict[str, float]], seconds: float, least: int) -> bool:
    good = [block["wall"] for block in blocks if block["others"] < AT_REST]
    return len(good) >= least and sum(good) >= seconds


def _busy_seconds() -> float:
    """CPU seconds that all processes of a Linux machine have used; 0 on others."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq = map(int, file.readline().split()[1:8])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def prepare(
    name: str, mode: Mode, batch_size: int, dtype: str
) -> tuple[Callable[[], None], dict[str, Any]]:
    """Compile a registered network for random images of its published size.

    Returns:
        A call that runs it once and waits, and what is known already: ``compile_seconds``, and
        what the compiled program needs: ``memory_bytes`` in all, of it ``temporary_bytes``.
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
    return call, {"compile_seconds": compile_seconds, **memory(compiled)}


def summary(blocks: list[dict[str, float]]) -> dict[str, Any]:
    """Median, fastest, number of blocks, and how busy others were; from those at rest if any were.

    >>> blocks = [{"seconds": 3.0, "others": 0.5}, {"seconds": 1.0, "others": 0.0}]
    >>> summary(blocks)
    {'seconds': 1.0, 'fastest': 1.0, 'calls': 1, 'others': 0.0}
    """
    kept = [block for block in blocks if block["others"] < AT_REST] or blocks
    times = [block["seconds"] for block in kept]
    return {
        "seconds": statistics.median(times),
        "fastest": min(times),
        "calls": len(times),
        "others": statistics.median(block["others"] for block in kept),
    }


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
