"""Transfer with fully connected networks: many runs as one compiled program."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import optim
from jaxnets.models import create_model
from jaxnets.study.data import Data, Part
from jaxnets.study.training import train_many
from jaxnets.tasks import classification
from jaxnets.train import TrainState, train_step
from jaxnets.transfer import fit_linear_probe, head_inputs

WAYS = ("probe", "full", "scratch")


@functools.lru_cache
def network(width: int, depth: int, num_classes: int) -> nn.Module:
    """``fc1`` … ``fcDEPTH`` and ``classifier``."""
    return create_model("mlp", hidden=(width,) * depth, num_classes=num_classes)


def classes_of(data: Data, classes: Sequence[int], *, scrambled: bool = False) -> Data:
    """Some classes, numbered from 0; on request with their pixels in one fixed random order.

    A fully connected network learns scrambled images from scratch exactly as well as others: what
    changes is only what a network pretrained on unscrambled images is worth.
    """
    side, channels = data.image_shape[0], data.image_shape[-1]
    order = np.random.default_rng(0).permutation(side * side)

    def part(split: Part) -> Part:
        labels = np.asarray(split.labels)
        kept = np.isin(labels, classes)
        images = np.asarray(split.images)[kept]
        if scrambled:
            flat = images.reshape(len(images), -1, channels)[:, order]
            images = flat.reshape(images.shape)
        numbers = np.searchsorted(classes, labels[kept])
        return Part(jnp.asarray(images), jnp.asarray(numbers, jnp.int32))

    return Data(data.name, part(data.train), part(data.test), len(classes))


def sample(part: Part, per_class: int, seed: int) -> np.ndarray:
    """Row numbers of this many random examples of each class, with repetition where too few."""
    random = np.random.default_rng(seed)
    labels = np.asarray(part.labels)
    rows = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    return np.concatenate(
        [random.choice(r, per_class, replace=len(r) < per_class) for r in rows]
    ).astype(np.int32)


@functools.partial(jax.jit, static_argnames=("model", "steps", "batch_size"))
def train_runs(
    model: nn.Module,
    starts: Any,
    factors: Any,
    rates: jax.Array,
    rows: jax.Array,
    seeds: jax.Array,
    part: Part,
    *,
    steps: int,
    batch_size: int,
) -> Any:
    """Momentum from given parameters, for R runs at once.

    Args:
        model: without batch normalization.
        starts: parameters, leaves (R, …).
        factors: layer → (R,) factor of its learning rate; 0 freezes it.
        rates: (R,), falling to 0 over the run.
        rows: (R, N) examples of each run, drawn with replacement.
        seeds: (R,).
        part: where the rows lie.

    Returns:
        Parameters, leaves (R, …).
    """

    task = classification(model.num_classes)

    def one(params, factors, rate, rows, seed):
        rule = optim.momentum(lambda t: rate * (1 - t / steps))

        def scale(updates, state, params=None):
            return {k: optax.tree.scale(factors[k], u) for k, u in updates.items()}, state

        scaled = optax.GradientTransformation(lambda _: optax.EmptyState(), scale)
        rule = optax.chain(rule, scaled)
        key = jax.random.key(seed)
        state = TrainState(
            jnp.zeros((), jnp.int32),
            params,
            {},
            rule.init(params),
            key,
            apply_fn=model.apply,
            tx=rule,
        )

        def body(state, number):
            chosen = jax.random.randint(
                jax.random.fold_in(key, number), (batch_size,), 0, rows.shape[0]
            )
            index = rows[chosen]
            batch = {"image": part.images[index], "label": part.labels[index]}
            return train_step(state, batch, task=task)[0], None

        return jax.lax.scan(body, state, jnp.arange(steps))[0].params

    return jax.vmap(one)(starts, factors, rates, rows, seeds)


@functools.partial(jax.jit, static_argnames="model")
def accuracies(model: nn.Module, params: Any, part: Part) -> jax.Array:
    """Per cent of the right answers of R networks, (R,)."""

    def one(p):
        return (model.apply({"params": p}, part.images).argmax(-1) == part.labels).mean()

    return 100 * jax.vmap(one)(params)


def pretrain(
    model: nn.Module, data: Data, keys: Sequence[int], *, steps: int, rate: float
) -> dict[str, Any]:
    """Parameters of one network a key, trained on ``data``."""
    runs = train_many(model, optim.momentum, np.float32(rate), data, keys, steps=steps)
    return runs.variables["params"]


def initial(model: nn.Module, image_shape: Sequence[int], keys: Sequence[int]) -> Any:
    """New parameters, leaves (keys, …)."""

    def one(seed):
        return model.init(jax.random.key(seed), jnp.zeros((1, *image_shape)))["params"]

    return jax.jit(jax.vmap(one))(jnp.asarray(keys, jnp.uint32) + 77)


def small_set_transfer(
    model: nn.Module,
    source: Any,
    target: Data,
    keys: Sequence[int],
    *,
    per_class: int,
    rates: Sequence[float],
    steps: int,
) -> dict[str, np.ndarray]:
    """What a small set gives by linear probe, full fine-tuning, and from scratch.

    Fine-tuning and scratch get the best of the same rates (of the mean over keys, on the test
    images: in their favor), the probe has none.

    Returns:
        Way → (keys,) test accuracies in per cent.
    """
    rows = np.stack([sample(target.train, per_class, int(k)) for k in keys])
    fresh = initial(model, target.image_shape, keys)
    full = {**source, "classifier": fresh["classifier"]}
    runs, repeats = len(keys), 2 * len(rates)
    starts = jax.tree.map(
        lambda a, b: jnp.concatenate([jnp.concatenate([a, b])] * len(rates)), full, fresh
    )
    ends = train_runs(
        model,
        starts,
        {layer: jnp.ones(runs * repeats) for layer in starts},
        jnp.repeat(jnp.float32(rates), 2 * runs),
        jnp.asarray(np.tile(rows, (repeats, 1))),
        jnp.tile(jnp.asarray(keys, jnp.uint32), repeats),
        target.train,
        steps=steps,
        batch_size=min(32, rows.shape[1]),
    )
    # (rates, source or fresh, keys)
    found = np.asarray(accuracies(model, ends, target.test)).reshape(len(rates), 2, runs)
    best = found.mean(-1).argmax(0)
    probe = []
    for number, chosen in enumerate(rows):
        variables = {"params": jax.tree.map(lambda a, i=number: a[i], full)}
        x = [
            np.asarray(_features(model, variables, images))
            for images in (target.train.images[chosen], target.test.images)
        ]
        fitted = fit_linear_probe(
            x[0], target.train.labels[chosen], target.num_classes, l2=1 / len(chosen)
        )
        probe.append(100 * fitted.accuracy(x[1], target.test.labels))
    return {
        "probe": np.array(probe),
        "full": found[best[0], 0],
        "scratch": found[best[1], 1],
    }


_features = jax.jit(head_inputs, static_argnums=0)
