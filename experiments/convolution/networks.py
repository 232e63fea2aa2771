"""A training step of a network of the zoo on jaxnets' convolutions and on Flax's own."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.convolution.timing import by_turns
from jaxnets.models import create_model
from jaxnets.nn import Conv


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
    """`flax.linen.Conv` under the field names of `jaxnets.nn.Conv`."""
    del algorithm
    rank = len(kernel_size)
    if not isinstance(padding, str):
        padding = [
            (p, p) if isinstance(p, int) else p for p in np.broadcast_to(padding, rank).tolist()
        ]
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
    """A jittable (variables, momentum, images, labels) → the same, loss; and its arguments."""
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
    """Median milliseconds of a training step on either, and how far their losses are apart."""
    candidates = {
        "flax": training_step(name, flax_conv, batch, size),
        "jaxnets": training_step(name, Conv, batch, size),
    }
    results = by_turns(candidates, rounds, patience=90.0)
    losses = {k: float(r["value"][2]) for k, r in results.items()}
    return {
        "flax_ms": results["flax"]["ms"],
        "jaxnets_ms": results["jaxnets"]["ms"],
        "ratio": results["flax"]["ms"] / results["jaxnets"]["ms"],
        "loss_difference": abs(losses["flax"] - losses["jaxnets"]),
    }
