"""Stacked denoising autoencoders, learned layer by layer."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnets.errors import JaxnetsError
from jaxnets.models.stacked_autoencoder import StackedAutoencoder


def train_autoencoder(
    key: jax.Array,
    network: StackedAutoencoder,
    examples: jax.Array,
    *,
    noise: float = 0.1,
    steps: int = 200,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-4,
) -> dict[str, Any]:
    """Variables of a stacked denoising autoencoder: each layer learns to clean the codes below it.

    Layer l minimizes ½‖d(e(h + ε)) − h‖² over the codes h of the layers below, ε being Gaussian
    noise; then all layers together do so for the examples themselves.

    Args:
        key: a JAX random key.
        network: its layers.
        examples: (N, D), from 0 to 1.
        noise: standard deviation of ε.
        steps: updates of each layer, and of all together.
        batch_size: examples an update.
        learning_rate: of Adam.
        weight_decay: of kernels.

    Returns:
        ``{"params": …}``, the score's among them as it was initialized.

    Raises:
        JaxnetsError: examples that do not fit the network.

    Source: Vincent et al., "Stacked Denoising Autoencoders", 2010, section 3; Wang, Yeung, 2013,
    section 3.1.

    >>> examples = jnp.tile(jnp.array([[0.0, 1.0], [1.0, 0.0]]), (1, 3))
    >>> found = train_autoencoder(
    ...     jax.random.key(0), StackedAutoencoder(6, (4, 2)), examples, steps=2, batch_size=2)
    >>> sorted(found["params"])
    ['decode0', 'decode1', 'encode0', 'encode1', 'score']
    """
    examples = jnp.asarray(examples, jnp.float32)
    if examples.ndim != 2 or examples.shape[1] != network.features or len(examples) == 0:
        raise JaxnetsError(
            f"examples: got {examples.shape}; expected (N, {network.features}), N at least 1"
        )
    init_key, key = jax.random.split(key)
    variables = network.init(init_key, examples[:1], method="everything")
    params = dict(variables["params"])
    optimizer = optax.adamw(learning_rate, weight_decay=weight_decay)
    fit = jax.jit(partial(_fit, optimizer, batch_size, steps, noise), static_argnums=0)
    codes = examples
    for level in range(len(network.hidden)):
        names = (f"encode{level}", f"decode{level}")
        key, own = jax.random.split(key)
        pair = fit(_one_layer, own, {name: params[name] for name in names}, codes)
        params |= pair
        codes = _through(params[names[0]], codes)
    layers = {name: value for name, value in params.items() if name != "score"}
    key, own = jax.random.split(key)
    return {"params": params | fit(_all_layers, own, layers, examples)}


def _through(layer, x):
    return jax.nn.sigmoid(x @ layer["kernel"] + layer["bias"])


def _one_layer(params, x):
    (encode,) = (value for name, value in params.items() if name.startswith("encode"))
    (decode,) = (value for name, value in params.items() if name.startswith("decode"))
    return _through(decode, _through(encode, x))


def _all_layers(params, x):
    depth = len(params) // 2
    for level in range(depth):
        x = _through(params[f"encode{level}"], x)
    for level in reversed(range(depth)):
        x = _through(params[f"decode{level}"], x)
    return x


def _fit(optimizer, batch_size, steps, noise, rebuild, key, params, examples):
    def loss(params, clean, noisy):
        return 0.5 * ((rebuild(params, noisy) - clean) ** 2).sum(-1).mean()

    def update(carry, key):
        params, state = carry
        row_key, noise_key = jax.random.split(key)
        rows = jax.random.randint(row_key, (batch_size,), 0, len(examples))
        clean = examples[rows]
        noisy = clean + noise * jax.random.normal(noise_key, clean.shape)
        slopes = jax.grad(loss)(params, clean, noisy)
        changes, state = optimizer.update(slopes, state, params)
        return (optax.apply_updates(params, changes), state), None

    keys = jax.random.split(key, steps)
    (params, _), _ = jax.lax.scan(update, (params, optimizer.init(params)), keys)
    return params
