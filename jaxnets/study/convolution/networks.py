"""A training step of a network of the zoo on jaxnets' convolutions and on Flax's own."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.models import create_model
from jaxnets.nn import Conv
from jaxnets.study.convolution.timing import time_programs


def flax_conv(
    features: int,
    kernel_size,
    *,
    strides=1,
    padding=0,
    dilation=1,
    groups=1,
    algorithm="auto",
    **fields,
) -> nn.Module:
    """`flax.linen.Conv` under the field names of `jaxnets.nn.Conv`.

    Args:
        features: output channels.
        kernel_size: window.
        strides: one for all axes, or one an axis.
        padding: "SAME", "VALID", an integer, or one integer or pair an axis.
        dilation: of the kernel.
        groups: of channels.
        algorithm: left aside; Flax has XLA's alone.
        fields: all others, such as ``use_bias``.

    Returns:
        The module.
    """
    del algorithm
    rank = len(kernel_size)
    if not isinstance(padding, str):
        each = [padding] * rank if isinstance(padding, int) else padding
        padding = [(p, p) if isinstance(p, int) else tuple(p) for p in each]
    return nn.Conv(
        features,
        kernel_size,
        strides=strides,
        padding=padding,
        kernel_dilation=dilation,
        feature_group_count=groups,
        **fields,
    )


def training_step(name: str, conv, batch: int, size: int):
    """A training step by momentum on random images.

    Args:
        name: a network of `jaxnets.list_models()`.
        conv: what makes its convolutions (`jaxnets.nn.Conv`, `flax_conv`).
        batch: images.
        size: their height and width.

    Returns:
        A function (variables, momentum, images, labels) → (variables, momentum, loss) to be jitted,
        and its first arguments.
    """
    model = create_model(name, conv=conv)
    images = jnp.asarray(
        np.random.default_rng(0).standard_normal((batch, size, size, 3)), "float32"
    )
    labels = jnp.arange(batch) % 1000
    shapes = jax.eval_shape(partial(model.init, train=True), jax.random.key(0), images[:1])
    rng = np.random.default_rng(0)

    def value(path, leaf):  # Compiling the real initialization takes longer than the benchmark.
        name = path[-1].key
        if name in ("scale", "var"):
            return jnp.ones(leaf.shape)
        if name != "kernel":
            return jnp.zeros(leaf.shape)
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(rng.standard_normal(leaf.shape, "float32") * spread, "float32")

    variables = jax.tree_util.tree_map_with_path(value, shapes)
    optimizer = optax.sgd(0.1, 0.9)

    def step(variables, state, images, labels):
        def loss(params):
            logits, changed = model.apply(
                {**variables, "params": params},
                images,
                train=True,
                mutable=[k for k in variables if k != "params"],
            )
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
            return loss, changed

        (value, changed), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        updates, state = optimizer.update(gradient, state)
        params = optax.apply_updates(variables["params"], updates)
        return {**changed, "params": params}, state, value

    return step, (variables, optimizer.init(variables["params"]), images, labels)


def measure(name: str, batch: int, size: int, rounds: int) -> dict[str, float]:
    """Time a network's training step on either convolution.

    Args:
        name: a network of `jaxnets.list_models()`.
        batch: images.
        size: their height and width.
        rounds: turns of each; the median counts.

    Returns:
        {"flax_ms", "jaxnets_ms", "ratio" (Flax's time over jaxnets'), "loss_difference"}.
    """
    candidates = {
        "flax": training_step(name, flax_conv, batch, size),
        "jaxnets": training_step(name, Conv, batch, size),
    }
    results = time_programs(candidates, rounds, patience_seconds=90.0)
    losses = {k: float(r.value[2]) for k, r in results.items()}
    flax, ours = results["flax"].milliseconds, results["jaxnets"].milliseconds
    return {
        "flax_ms": flax,
        "jaxnets_ms": ours,
        "ratio": flax / ours,
        "loss_difference": abs(losses["flax"] - losses["jaxnets"]),
    }
