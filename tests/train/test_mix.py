"""Mixup and CutMix within the training step: labels, devices, settings."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.augment import chain, cutmix, mixup, mixup_at
from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.models import create_model
from jaxnets.tasks import Recipe, classification
from jaxnets.tasks.recipe import build_prepare
from jaxnets.train import BATCH_AXIS, DataParallel, create_state, train_step

TASK = classification(3)
MIXES = {"mixup": partial(mixup, alpha=1.0), "cutmix": cutmix}


def state_of(seed=0):
    model = create_model("mlp", num_classes=3, hidden=())
    return create_state(model, optax.sgd(0.5), batch_of(1), jax.random.key(seed), task=TASK)


def batch_of(size, seed=0):
    random = np.random.default_rng(seed)
    return {
        "image": random.normal(size=(size, 4, 4, 1)).astype(np.float32),
        "label": random.integers(0, 3, size).astype(np.int32),
    }


def test_cross_entropy_is_linear_in_the_labels(x64):
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(6, 3)), random.integers(0, 3, 6)
    images = random.normal(size=(6, 2, 2, 1))
    for share in (0.0, 0.3, 1.0):
        one_hot = np.eye(3)[labels]
        _, soft = mixup_at(images, jnp.asarray(one_hot), share)
        mixed = cross_entropy(logits, soft, reduction="none")
        own = cross_entropy(logits, labels, reduction="none")
        other = cross_entropy(logits, np.roll(labels, 1), reduction="none")
        np.testing.assert_allclose(mixed, share * own + (1 - share) * other, rtol=1e-13)


@pytest.mark.parametrize("name", MIXES)
@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_eight_devices_mix_as_one(name, mode):
    """The partner is the neighbor in the global batch, on whatever device that lies."""

    def step_of(axis_name):
        mix = partial(MIXES[name], num_classes=3, axis_name=axis_name)
        return partial(train_step, task=TASK, prepare=mix)

    batch = batch_of(16)
    one, one_metrics = jax.jit(step_of(None))(state_of(), batch)
    parallel = DataParallel(mode)
    compiled = parallel.parallelize(step_of(BATCH_AXIS if mode == "pmap" else None))
    eight, metrics = compiled(parallel.replicate(state_of()), parallel.shard(batch))
    jax.tree.map(
        partial(np.testing.assert_allclose, atol=1e-6), one.params, parallel.fetch(eight.params)
    )
    for key, value in parallel.fetch(metrics).items():
        np.testing.assert_allclose(value, one_metrics[key], rtol=1e-5)


def test_accuracy_is_against_the_larger_share():
    """With λ = 0.7 the own class counts, with 0.3 the partner's; the loss knows both."""
    state, batch = state_of(), batch_of(9)

    @partial(jax.jit, static_argnames="microbatches")
    def step(share, microbatches):
        def mix(key, batch, example_ids):
            images, labels = mixup_at(batch["image"], batch["label"], share, num_classes=3)
            return {**batch, "image": images, "label": labels}

        return train_step(state, batch, task=TASK, prepare=mix, microbatches=microbatches)[1]

    for share, classes in ((0.7, batch["label"]), (0.3, np.roll(batch["label"], 1))):
        images = share * batch["image"] + (1 - share) * np.roll(batch["image"], 1, 0)
        logits = np.asarray(state.apply_fn(state.variables, images, train=False))
        log_p = np.asarray(jax.nn.log_softmax(logits))
        own, other = batch["label"], np.roll(batch["label"], 1)
        loss = -share * log_p[np.arange(9), own] - (1 - share) * log_p[np.arange(9), other]
        for parts in (1, 3):
            metrics = step(share, parts)
            np.testing.assert_allclose(metrics["accuracy"], (logits.argmax(1) == classes).mean())
            np.testing.assert_allclose(metrics["loss"], loss.mean(), rtol=1e-5)


def test_augmentation_comes_before_mixing_with_its_own_key():
    seen = {}

    def augment(key, batch, ids):
        seen["augment"] = np.asarray(jax.random.key_data(key))
        return {**batch, "image": batch["image"] + 1}

    def mix(key, batch, ids):
        seen["mix"] = np.asarray(jax.random.key_data(key))
        seen["images"] = batch["image"]
        return batch

    batch = batch_of(4)
    train_step(state_of(), batch, task=TASK, prepare=chain(augment, None, mix))
    assert not np.array_equal(seen["augment"], seen["mix"])
    np.testing.assert_allclose(seen["images"], batch["image"] + 1)


def test_recipes_choose_the_mix():
    digits = load_dataset("digits")
    plain = Recipe(augment="none")
    assert build_prepare(plain, digits) is None
    batch = {"image": jnp.asarray(digits.train.images[:4]), "label": jnp.arange(4)}
    key = jax.random.key(0)
    for name, mix in (("mixup", partial(mixup, alpha=0.2)), ("cutmix", partial(cutmix, alpha=0.2))):
        prepared = build_prepare(replace(plain, **{name: 0.2}), digits)(key, batch, jnp.arange(4))
        expected = mix(key, batch, num_classes=10)
        for entry in ("image", "label"):
            np.testing.assert_array_equal(prepared[entry], expected[entry])
    with pytest.raises(JaxnetsError, match="exclude each other"):
        Recipe(mixup=1.0, cutmix=1.0).check()
    for name in ("mixup", "cutmix", "cutout"):
        with pytest.raises(JaxnetsError, match=f"--{name} must be 0 or more"):
            Recipe(**{name: -1}).check()
