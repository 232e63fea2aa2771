"""Auxiliary heads are trained with their published weights, however the step meets the devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from experiments import train_classifier as entry
from jaxnets.data import Dataset, Split
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.models import create_model, list_models, model_info
from jaxnets.models.lenet import map_loss
from jaxnets.tasks import classification, load_classifier, training
from jaxnets.tasks.recipe import Recipe, build_network, build_task
from jaxnets.train import DataParallel, create_state, train_step

# The weights that the papers and released programs print.
PUBLISHED = {
    "googlenet": {"aux1": 0.3, "aux2": 0.3},
    "googlenet_bn": {"aux1": 0.3, "aux2": 0.3},
    "inception_v3": {"aux": 0.4},
    "nasnet_a_cifar": {"aux": 0.4},
    "nasnet_a_large": {"aux": 0.4},
    "nasnet_a_mobile": {"aux": 0.4},
}
# A narrow form of each network, and the side of its images.
SMALL = {
    "googlenet": ({"width": 0.125}, 48),
    "googlenet_bn": ({"width": 0.125}, 32),
    "inception_v3": ({"width": 0.0625}, 299),
    "nasnet_a_cifar": ({"cells": 1, "features": 96}, 32),
}
# How a step meets the devices: mode, devices, microbatches.
WAYS = [("jit", 1, 1), ("jit", 1, 2), ("jit", 2, 1), ("pmap", 2, 1), ("pmap", 2, 2)]
# A plain run has the network without normalization, which compiles fastest, and two ways.
NAMES = ["googlenet", *(pytest.param(name, marks=pytest.mark.slow) for name in list(SMALL)[1:])]
RUNS = [
    pytest.param(
        name, way, marks=[] if name == "googlenet" and way in WAYS[1::3] else pytest.mark.slow
    )
    for name in SMALL
    for way in WAYS
]


def small(name, classes=3):
    fields, side = SMALL[name]
    network = create_model(name, num_classes=classes, auxiliary=True, **fields)
    random = np.random.default_rng(0)
    batch = {
        # Two for each part of the finest division: batch statistics want more than one value.
        "image": random.normal(size=(8, side, side, 3)).astype(np.float32),
        "label": np.array([0, 1, 2, 1] * 2, np.int32),
    }
    return network, batch


def heads(params):
    found = {path: leaf for path, leaf in _leaves(params).items() if path.startswith("aux")}
    assert found
    return found


def _leaves(tree):
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(p, simple=True, separator="/"): np.asarray(v) for p, v in leaves}


def test_every_network_with_heads_declares_the_published_weights():
    names = list_models(task="classification")
    found = {name: dict(model_info(name).auxiliary) for name in names}
    assert {name: weights for name, weights in found.items() if weights} == PUBLISHED


def step_in(way, network, batch, task):
    """The state before and after one step, and its metrics."""
    mode, devices, microbatches = way
    parallel = DataParallel(mode, jax.devices()[:devices])
    key = jax.random.key(0, impl="rbg")  # compiles fastest
    state = create_state(network, optax.sgd(0.1), batch, key, task=task)
    step = parallel.parallelize(partial(train_step, task=task, microbatches=microbatches))
    after, metrics = step(parallel.replicate(state), parallel.shard(batch))
    return state, parallel.fetch(after.params), parallel.fetch(metrics)


@pytest.mark.parametrize(("name", "way"), RUNS)
def test_every_head_moves(name, way):
    network, batch = small(name)
    task = classification(3, auxiliary=model_info(name).auxiliary)
    state, params, metrics = step_in(way, network, batch, task)
    before, after = heads(state.params), heads(params)
    still = [path for path in before if np.array_equal(before[path], after[path])]
    # A bias in front of a normalization, and a unit that is dead at the start, have no gradient.
    assert not [path for path in still if path.endswith("kernel")], still
    assert np.isfinite(metrics["total_loss"]) and metrics["total_loss"] > metrics["loss"]


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_sum_with_the_published_weights(name):
    network, batch = small(name)
    weights = model_info(name).auxiliary
    task = classification(3, auxiliary=weights)
    key = jax.random.key(0, impl="rbg")
    state = create_state(network, optax.sgd(0.1), batch, key, task=task)
    _, model_key = jax.random.split(jax.random.fold_in(state.key, state.step))

    @jax.jit
    def by_hand(variables, batch):
        logits, updates = network.apply(
            variables,
            batch["image"],
            train=True,
            mutable=["batch_stats", "aux_logits"],
            rngs={"dropout": model_key},
        )
        losses = {k: cross_entropy(v, batch["label"]) for k, v in updates["aux_logits"].items()}
        return cross_entropy(logits, batch["label"]), losses

    main, losses = by_hand(state.variables, batch)
    assert losses.keys() == weights.keys()
    _, metrics = jax.jit(partial(train_step, task=task))(state, batch)
    total = float(main) + sum(weights[k] * float(losses[k]) for k in weights)
    np.testing.assert_allclose(metrics["loss"], main, rtol=1e-5)
    np.testing.assert_allclose(metrics["total_loss"], total, rtol=1e-5)


def test_without_heads_nothing_is_added():
    for name in SMALL:
        network, batch = small(name)
        init = partial(network.clone(auxiliary=False).init, jax.random.key(0))
        shapes = jax.eval_shape(init, batch["image"])
        assert not [part for part in shapes["params"] if part.startswith("aux")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recipe"),
    [("googlenet_bn", {}), ("nasnet_a_cifar", {"drop_path": 0.3, "schedule": "cosine"})],
)
def test_train_classifier_trains_heads_end_to_end(name, recipe, tmp_path, monkeypatch):
    """The command on a network with heads: trained, saved, read and used without them."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (8, 32, 32, 3), np.uint8)
    split = Split(images, np.arange(8, dtype=np.int32) % 2)
    dataset = Dataset("two", split, split, ("a", "b"), (32, 32, 3))
    monkeypatch.setattr(training, "load_dataset", lambda *_, **__: dataset)
    workdir = tmp_path / "run"
    summary = entry.main(
        entry.Config(
            **recipe,
            model=name,
            dataset="two",
            epochs=1,
            warmup_epochs=0,
            batch_size=4,
            devices=1,
            workdir=workdir,
            quiet=True,
        )
    )
    assert summary["steps"] == 2
    classifier, _ = load_classifier(workdir)
    assert classifier.info.auxiliary
    assert [path for path in _leaves(classifier.variables["params"]) if path.startswith("aux")]
    probabilities = classifier(jnp.asarray(images[:2]))
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)


class Listens(nn.Module):
    """A network that puts out how far the training is."""

    @nn.compact
    def __call__(self, x, *, train: bool = False, progress=1.0):
        bias = self.param("bias", nn.initializers.zeros_init(), (2,))
        self.sow("aux_logits", "progress", jnp.asarray(progress, jnp.float32))
        return jnp.zeros((len(x), 2)) + bias


def test_a_network_is_told_how_far_its_training_is():
    def loss(outputs, updates, batch):
        return outputs.sum(), {"progress": updates["aux_logits"]["progress"][0]}

    task = classification(2, scheduled={"progress": lambda step: step / 4})
    task = task._replace(loss=loss, mutable=("aux_logits",))
    batch = {"image": np.zeros((2, 4, 4, 1), np.float32), "label": np.array([0, 1])}
    state = create_state(Listens(), optax.sgd(0.1), batch, jax.random.key(0), task=task)
    told = []
    for _ in range(3):
        state, metrics = train_step(state, batch, task=task)
        told.append(float(metrics["progress"]))
    assert told == [0.0, 0.25, 0.5]


def test_recipes_schedule_nasnets_drop_path_and_nothing_elsewhere():
    recipe = Recipe(model="nasnet_a_cifar", drop_path=0.3)
    network = build_network(recipe.model, 10, drop_path=recipe.drop_path)
    assert network.drop_path == 0.3
    task = build_task(recipe, 10, lambda x: x, total_steps=200)
    (name, progress), *rest = task.scheduled
    assert (name, progress(50), rest) == ("progress", 0.25, [])
    assert build_task(Recipe(model="resnet20"), 10, lambda x: x, total_steps=200).scheduled == ()
    with pytest.raises(JaxnetsError, match="resnet20 drops no paths"):
        build_network("resnet20", 10, drop_path=0.3)


def test_the_criterion_of_lenet_of_1998_trains():
    recipe = Recipe(model="lenet5_1998", loss="map", label_smoothing=0.0)
    recipe.check()
    logits, labels = jnp.array([[-1.0, -2.0], [-5.0, -3.0]]), jnp.array([0, 0])
    expected = float(map_loss(logits, labels).mean())
    loss, _ = build_task(recipe, 2, lambda x: x).loss(logits, {}, {"label": labels})
    assert float(loss) == expected
    with pytest.raises(JaxnetsError, match="--label-smoothing 0"):
        Recipe(model="lenet5_1998", loss="map").check()
