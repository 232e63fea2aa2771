"""Mixup and CutMix within the training step: labels, devices, settings."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.augment import cutmix, mixup, mixup_at
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.models import create_model
from jaxnets.tasks import Recipe
from jaxnets.tasks.recipe import _mix, build_mix
from jaxnets.train import DataParallel, create_state, train_step

MIXES = {"mixup": partial(_mix, mixup, alpha=1.0), "cutmix": partial(_mix, cutmix)}


def state_of(seed=0):
    model = create_model("mlp", num_classes=3, hidden=())
    return create_state(model, optax.sgd(0.5), (4, 4, 1), jax.random.key(seed))


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
    step = partial(train_step, mix=partial(MIXES[name], num_classes=3))
    batch = batch_of(16)
    one, one_metrics = jax.jit(step)(state_of(), batch)
    parallel = DataParallel(mode)
    compiled = parallel.parallelize(step)
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
        def mix(key, images, labels, *, axis_name):
            return mixup_at(images, labels, share, num_classes=3, axis_name=axis_name)

        return train_step(state, batch, mix=mix, microbatches=microbatches)[1]

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

    def augment(key, images, ids):
        seen["augment"] = np.asarray(jax.random.key_data(key))
        return images + 1

    def mix(key, images, labels, *, axis_name):
        seen["mix"] = np.asarray(jax.random.key_data(key))
        seen["images"] = images
        return images, labels

    batch = batch_of(4)
    train_step(state_of(), batch, augment=augment, mix=mix)
    assert not np.array_equal(seen["augment"], seen["mix"])
    np.testing.assert_allclose(seen["images"], batch["image"] + 1)


def test_recipes_choose_the_mix():
    assert build_mix(Recipe(), 10) is None
    assert build_mix(Recipe(mixup=0.2), 10).args == (mixup,)
    assert build_mix(Recipe(cutmix=1.0), 10).args == (cutmix,)
    with pytest.raises(JaxnetsError, match="exclude each other"):
        Recipe(mixup=1.0, cutmix=1.0).check()
    for name in ("mixup", "cutmix", "cutout"):
        with pytest.raises(JaxnetsError, match=f"--{name} must be 0 or more"):
            Recipe(**{name: -1}).check()
