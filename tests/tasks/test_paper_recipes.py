"""The papers' recipes: their numbers, and that each can be built and makes a step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.augment import per_example
from jaxnets.errors import UnknownNameError
from jaxnets.models import create_model, list_models, model_info
from jaxnets.optim import Plateau, averaged_params, list_optimizers, list_schedules
from jaxnets.optim.plateau import PlateauState
from jaxnets.tasks import classification
from jaxnets.tasks.paper_recipes import list_paper_recipes, paper_recipe
from jaxnets.train import create_state, train_step

# Batch, rate, decay, epochs as the papers or their solvers print them.
NUMBERS = {
    "alexnet": (128, 0.01, 5e-4, 90),
    "vgg": (256, 0.01, 5e-4, 74),
    "googlenet": (32, 0.01, 2e-4, 250),
    "inception_v3": (32, 0.045, 0.0, 100),
    "resnet_imagenet": (256, 0.1, 1e-4, 120),
    "resnet_cifar": (128, 0.1, 1e-4, 164),
    "densenet_imagenet": (256, 0.1, 1e-4, 90),
    "densenet_cifar": (64, 0.1, 1e-4, 300),
    "squeezenet": (512, 0.04, 2e-4, 68),
}
# Learning rates at numbers of updates.
RATES = {
    "googlenet": {0: 0.01, 8 * 40_037 - 1: 0.01, 8 * 40_037: 0.0096},
    "inception_v3": {0: 0.045, 2 * 40_037: 0.0423, 4 * 40_037: 0.045 * 0.94**2},
    "resnet_cifar": {31_999: 0.1, 32_000: 0.01, 48_000: 0.001},
    "densenet_imagenet": {30 * 5005 - 1: 0.1, 30 * 5005: 0.01, 60 * 5005: 0.001},
    "densenet_cifar": {150 * 782 - 1: 0.1, 150 * 782: 0.01, 225 * 782: 0.001},
    "squeezenet": {0: 0.04, 85_000: 0.02, 170_000: 0.0},
}


def test_all_are_listed():
    assert set(list_paper_recipes()) == set(NUMBERS)
    with pytest.raises(UnknownNameError, match="'alexnet'"):
        paper_recipe("alex_net")


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name):
    found = paper_recipe(name)
    settings = found.recipe
    settings.check()
    numbers = (settings.batch_size, settings.learning_rate, settings.weight_decay, settings.epochs)
    assert numbers == NUMBERS[name]
    assert settings.model in list_models() and settings.optimizer in list_optimizers()
    assert settings.schedule in list_schedules()
    smoothed = 0.1 if name == "inception_v3" else 0.0
    assert settings.label_smoothing == smoothed and settings.warmup_epochs == 0
    assert settings.clip_norm == (2.0 if name == "inception_v3" else None)
    built = found.build()
    if name in RATES:
        for step, rate in RATES[name].items():
            np.testing.assert_allclose(built.schedule(step), rate, rtol=1e-5, atol=1e-9)
    else:
        assert isinstance(built.schedule, Plateau) and built.schedule.factor == 0.1
    if found.iterations:
        # Epochs and updates tell the same story.
        epochs = found.iterations * settings.batch_size / found.examples
        assert abs(epochs - settings.epochs) < 1


def test_alexnet_drops_three_times_and_no_more():
    schedule = paper_recipe("alexnet").build().schedule
    state = schedule.init()
    rates = {
        round(float(schedule(state := schedule.update(state, value=1.0))), 9) for _ in range(60)
    }
    assert rates == {1e-2, 1e-3, 1e-4, 1e-5}


# The map before the classifier, as the paper draws it or as its strides make it.
LAST_MAPS = {
    "alexnet": ("pool5", (6, 6, 256)),
    "vgg": ("pool5", (7, 7, 512)),
    "googlenet": ("inception5b", (7, 7, 1024)),
    "inception_v3": ("mixed7c", (8, 8, 2048)),
    "resnet_imagenet": ("stage4", (7, 7, 2048)),
    "resnet_cifar": ("stage3", (8, 8, 64)),
    "densenet_imagenet": ("stage4", (7, 7, 1024)),
    "densenet_cifar": ("stage3", (8, 8, 448)),
    "squeezenet": ("stage3", (13, 13, 512)),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_each_runs_with_its_own_network_at_full_size(name):
    """Stored image → transform → network → loss: shapes alone, nothing is computed."""
    found = paper_recipe(name)
    built, info = found.build(), model_info(found.recipe.model)
    small = found.recipe.dataset == "cifar10"
    stored = jax.ShapeDtypeStruct((32, 32, 3) if small else (256, 256, 3), np.uint8)
    image = jax.eval_shape(built.transform, jax.random.key(0), stored)
    # SqueezeNet's table names 224 pixels and has the maps of 227, which its solver cuts.
    side = 227 if name == "squeezenet" else info.input_size
    assert image.shape == (side, side, 3)
    x = jax.ShapeDtypeStruct((2, *image.shape), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}

    def loss(x):
        network = create_model(found.recipe.model)
        logits, _ = network.init_with_output(keys, x, train=True)
        return built.loss(logits, jnp.zeros(2, int))

    assert jax.eval_shape(loss, x).shape == ()
    backbone = create_model(found.recipe.model, num_classes=None)
    maps = jax.eval_shape(lambda x: backbone.init_with_output(keys, x)[0], x)
    last, shape = LAST_MAPS[name]
    assert maps[last].shape == (2, *shape)


def test_inception_v3s_update_rule():
    """TensorFlow's: s ← 0.9s + 0.1g², s₀ = 1; v ← 0.9v + η g / √(s + 1), w ← w − v."""
    built = paper_recipe("inception_v3").build()
    w = np.random.default_rng(0).normal(size=(3, 2))
    s, v = np.ones((3, 2)), np.zeros((3, 2))
    params = {"kernel": jnp.asarray(w, jnp.float32)}
    state = built.optimizer.init(params)
    for step in range(5):
        gradient = np.random.default_rng(step).normal(size=(3, 2))
        gradient *= min(1, 2 / np.linalg.norm(gradient))  # the paper clips at 2
        s = 0.9 * s + 0.1 * gradient**2
        v = 0.9 * v + 0.045 * gradient / np.sqrt(s + 1)
        w = w - v
        gradients = {"kernel": jnp.asarray(gradient, jnp.float32)}
        updates, state = built.optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["kernel"], w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NUMBERS)
def test_each_is_built_and_makes_a_step(name):
    """Loss, optimizer, schedule and average together, on images of 2×2 pixels."""
    found = paper_recipe(name)
    built = found.build(steps_per_epoch=4)
    assert built.steps == 4 * found.recipe.epochs
    network = create_model("mlp", num_classes=3, hidden=())
    images = np.random.default_rng(0).normal(size=(2, 2, 2, 3)).astype(np.float32)
    batch = {"image": images, "label": np.array([0, 2])}
    task = classification(3, loss=built.loss)
    state = create_state(network, built.optimizer, batch, jax.random.key(0), task=task)
    after, metrics = jax.jit(partial(train_step, task=task))(state, batch)
    assert np.isfinite(metrics["loss"])
    moved = [
        np.abs(a - b).max()
        for a, b in zip(
            *(jax.tree.leaves(jax.device_get(s.params)) for s in (after, state)), strict=True
        )
    ]
    assert min(moved) > 0
    if found.average is None:
        with pytest.raises(ValueError, match="exactly one average"):
            averaged_params(after.opt_state, after.params)
    else:
        averaged = averaged_params(after.opt_state, after.params)
        assert jax.tree.structure(averaged) == jax.tree.structure(after.params)


def test_alexnets_update_rule():
    """v ← 0.9v − 0.0005·ε·w − ε·∂L, w ← w + v (section 5), with ε divided on the way."""
    built = paper_recipe("alexnet").build()
    random = np.random.default_rng(0)
    w, v = random.normal(size=(3, 2)), np.zeros((3, 2))
    params = {"kernel": jnp.asarray(w, jnp.float32), "bias": jnp.ones(2)}
    state = built.optimizer.init(params)
    rate = 0.01
    for _ in range(12):
        gradient = random.normal(size=(3, 2))
        v = 0.9 * v - 5e-4 * rate * w - rate * gradient
        w = w + v
        gradients = {"kernel": jnp.asarray(gradient, jnp.float32), "bias": jnp.zeros(2)}
        updates, state = built.optimizer.update(gradients, state, params)
        params = jax.tree.map(jnp.add, params, updates)
        np.testing.assert_allclose(params["kernel"], w, atol=5e-6)
        # The first observation is the best one; the fourth without improvement is one too many.
        state = built.schedule.observe(state, 1.0)
        (plateau,) = (
            node
            for node in jax.tree.leaves(state, is_leaf=lambda n: isinstance(n, PlateauState))
            if isinstance(node, PlateauState)
        )
        rate = float(plateau.rate)
    assert rate == pytest.approx(1e-4, rel=1e-5)
    # Biases do not decay.
    np.testing.assert_array_equal(params["bias"], 1)


def test_alexnets_first_parameters():
    """Which biases are one, and the spread of the kernels, on a narrow copy of the network."""
    network = create_model("alexnet", num_classes=10).clone(
        channels=(8, 16, 24, 24, 16), fc_width=64, stretch=True
    )
    # Under jit nothing but the parameters is computed; keys of this kind compile faster.
    key = jax.random.key(0, impl="rbg")
    params = jax.jit(network.init)(key, jnp.zeros((1, 67, 67, 3)))["params"]
    params = jax.device_get(params)
    ones = {name for name, layer in params.items() if (layer["bias"] == 1).all()}
    zeros = {name for name, layer in params.items() if (layer["bias"] == 0).all()}
    assert ones == {"conv2", "conv4", "conv5", "fc6", "fc7"}
    assert zeros == {"conv1", "conv3", "head"}
    for name, layer in params.items():
        kernel = np.asarray(layer["kernel"], np.float64).ravel()
        deviation = 5 / np.sqrt(2 * kernel.size)  # of a sample's spread: five standard errors
        assert abs(kernel.std() / 0.01 - 1) < deviation, name
        assert abs(kernel.mean()) < 5 * 0.01 / np.sqrt(kernel.size), name
    # Normal, not cut off at two standard deviations.
    assert np.abs(params["fc6"]["kernel"]).max() > 0.03


def test_alexnets_recipe_trains_a_narrow_copy():
    """Stored images → crop, mirror, noise → two groups, normalization, dropout → loss → plateau."""
    found = paper_recipe("alexnet")
    built = found.build()
    network = create_model("alexnet", num_classes=10).clone(channels=(8,) * 5, fc_width=16)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 256, 256, 3), np.uint8)
    batch = {"image": images, "label": np.array([0, 1, 0, 1])}
    task = classification(10, loss=built.loss, preprocess=lambda x: x / 64.0 - 2)
    first = {"image": np.zeros((1, 227, 227, 3), np.uint8), "label": np.array([0])}
    key = jax.random.key(0, impl="rbg")
    state = create_state(network, built.optimizer, first, key, task=task)
    prepare = per_example(built.transform)
    step = jax.jit(partial(train_step, task=task, prepare=prepare))
    losses, moved = [], []
    for number in range(12):
        before = state.params["head"]["bias"]
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
        moved.append(float(jnp.abs(state.params["head"]["bias"] - before).max()))
        if number >= 5:  # the error stalls: the first observation, and one more than patience
            state = state.replace(opt_state=built.schedule.observe(state.opt_state, 0.5))
    # Two of ten classes: the biases of the head learn that at once.
    assert losses[0] == pytest.approx(np.log(10), abs=0.05) and losses[-1] < losses[0] - 0.2
    assert np.isfinite(losses).all() and np.diff(losses[:6]).max() < 0
    # At ε/10 the velocity goes on and dies out, as in the papers' solvers.
    assert moved[11] < 0.97 * moved[9]
    (plateau,) = (
        node
        for node in jax.tree.leaves(
            state.opt_state, is_leaf=lambda node: isinstance(node, PlateauState)
        )
        if isinstance(node, PlateauState)
    )
    assert float(plateau.rate) == pytest.approx(1e-3)
