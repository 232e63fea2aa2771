"""One network's work, ready to be timed: inference, or a training step, at one batch size."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.models import create_model, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.nn import optimize_for_inference
from jaxnets.optim import create_optimizer
from jaxnets.study.programs import Compiled, compile_ahead

Mode = Literal["inference", "training"]


def sampled_variables(model: nn.Module, input_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Variables of a network without compiling its initialization.

    Kernels are He-normal by their fan-in, scales and variances one, all else zero: the arithmetic
    of a freshly initialized network, in a second instead of a minute.

    Args:
        model: a network.
        input_shape: (H, W, C) of one image.

    Returns:
        Variables as ``model.init`` gives them.

    >>> variables = sampled_variables(create_model("mlp", hidden=(4,)), (8, 8, 1))
    >>> variables["params"]["fc1"]["kernel"].shape
    (64, 4)
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


def inference_program(model: nn.Module) -> Callable:
    """(variables, images) → logits, jitted.

    Args:
        model: a network.

    Returns:
        The function.

    >>> net = create_model("mlp", hidden=(4,), num_classes=3)
    >>> inference_program(net)(sampled_variables(net, (8, 8, 1)), jnp.ones((2, 8, 8, 1))).shape
    (2, 3)
    """
    return jax.jit(lambda variables, images: model.apply(variables, images, train=False))


def training_program(model: nn.Module) -> tuple[Callable, optax.GradientTransformation]:
    """One step of softmax cross-entropy and momentum, as plain as a framework's can be.

    Args:
        model: a network.

    Returns:
        The jitted step (params, state, opt, images, labels) → (params, state, opt, loss), which
        gives its first three arguments' memory to the results, and the optimizer.

    >>> net = create_model("mlp", hidden=(4,), num_classes=3)
    >>> step, tx = training_program(net)
    >>> params = sampled_variables(net, (8, 8, 1))["params"]
    >>> x, labels = jnp.zeros((2, 8, 8, 1)), jnp.array([0, 1])
    >>> *_, loss = step(params, {}, tx.init(params), x, labels)
    >>> round(float(loss), 4)  # ln 3
    1.0986
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


def prepare_optimized(
    name: str, batch_size: int, dtype: str
) -> tuple[Callable[[], jax.Array], dict[str, Any]]:
    """Like `prepare_workload` at inference, through `jaxnets.nn.optimize_for_inference`.

    Args:
        name: of `jaxnets.list_models()`.
        batch_size: images at a time.
        dtype: compute dtype, of the images as well.

    Returns:
        As `prepare_workload`.

    >>> call, _ = prepare_optimized("lenet5", 2, "float32")
    >>> call().shape
    (2, 10)
    """
    info = model_info(name)
    model = create_model(name, dtype=jnp.dtype(dtype))
    images = np.random.default_rng(1).standard_normal((batch_size, *info.input_shape), np.float32)
    images = jnp.asarray(images, dtype)
    variables = sampled_variables(model, info.input_shape)
    optimized, folded = optimize_for_inference(model, variables, images)
    compiled = compile_ahead(optimized, folded, images)
    return partial(compiled.program, folded, images), {
        "compile_seconds": compiled.compile_seconds,
        "memory_bytes": compiled.memory_bytes,
        "temporary_bytes": compiled.temporary_bytes,
    }


def prepare_workload(
    name: str, mode: Mode, batch_size: int, dtype: str
) -> tuple[Callable[[], jax.Array], dict[str, Any]]:
    """Compile a registered network for random images of its published size.

    Args:
        name: of `jaxnets.list_models()`.
        mode: "inference" or "training".
        batch_size: images at a time.
        dtype: compute dtype, of the images as well.

    Returns:
        A call that runs it once, whose result is to be waited for, and what is known already:
        ``compile_seconds``, ``memory_bytes`` that the program needs in all, of it
        ``temporary_bytes``.

    >>> call, facts = prepare_workload("lenet5", "inference", 2, "float32")
    >>> call().shape, sorted(facts)
    ((2, 10), ['compile_seconds', 'memory_bytes', 'temporary_bytes'])
    """
    call, compiled = compile_workload(name, mode, batch_size, dtype)
    return call, {
        "compile_seconds": compiled.compile_seconds,
        "memory_bytes": compiled.memory_bytes,
        "temporary_bytes": compiled.temporary_bytes,
    }


def compile_workload(
    name: str, mode: Mode, batch_size: int, dtype: str
) -> tuple[Callable[[], jax.Array], Compiled]:
    """As `prepare_workload`, with the compiled program itself.

    Args:
        name: of `jaxnets.list_models()`.
        mode: "inference" or "training".
        batch_size: images at a time.
        dtype: compute dtype, of the images as well.

    Returns:
        A call that runs it once, whose result is to be waited for, and the program.

    >>> call, compiled = compile_workload("lenet5", "inference", 2, "float32")
    >>> call().shape, compiled.compile_seconds > 0
    ((2, 10), True)
    """
    info = model_info(name)
    model = create_model(name, dtype=jnp.dtype(dtype))
    variables = sampled_variables(model, info.input_shape)
    rng = np.random.default_rng(1)
    images = rng.standard_normal((batch_size, *info.input_shape), np.float32)
    images = jnp.asarray(images, dtype)
    if mode == "inference":
        compiled = compile_ahead(inference_program(model), variables, images)

        def call():
            return compiled.program(variables, images)

    else:
        step, tx = training_program(model)
        params, state = variables.pop("params"), variables
        opt = tx.init(params)
        labels = jnp.asarray(rng.integers(0, 10, batch_size))
        compiled = compile_ahead(step, params, state, opt, images, labels)
        held = [params, state, opt]
        del params, state, opt, variables

        def call():
            *held[:], loss = compiled.program(*held, images, labels)
            return loss

    return call, compiled
