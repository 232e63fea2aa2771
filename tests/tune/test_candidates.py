"""Candidates train as `train_step` does, alone, side by side and on another device."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from jaxnets.data import Split, load_dataset, shuffle
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.tasks import recipe as build
from jaxnets.tasks.recipe import Recipe
from jaxnets.train import create_state, train_step
from jaxnets.tune import Candidates, split_held_out

RECIPE = Recipe(model="mlp", epochs=2, batch_size=50, warmup_epochs=0.0, augment="none")
SETTINGS = {"learning_rate": 2e-3, "weight_decay": 1e-3, "label_smoothing": 0.1}


@pytest.fixture(scope="module")
def parts():
    dataset = load_dataset("digits", train_examples=200)
    train, valid = split_held_out(dataset.train, 0.25)
    return dataset._replace(train=train), valid


def losses(candidates, settings, device=None):
    rows = [(m["train_loss"], m["loss"]) for m in candidates.train(settings, device)]
    return np.asarray([[np.asarray(v) for v in row] for row in rows])


@pytest.mark.parametrize("optimizer, schedule", [("adam", "cosine"), ("nesterov", "step")])
def test_equals_the_recipe_compiled_in(parts, optimizer, schedule):
    """Traced settings give what the same numbers give as constants of `build_optimizer`."""
    dataset, valid = parts
    recipe = replace(RECIPE, optimizer=optimizer, schedule=schedule, warmup_epochs=0.5)
    found = losses(Candidates(recipe, dataset, valid, 2, seed=3), [SETTINGS])[:, 0, 0]

    fixed = replace(recipe, **SETTINGS)
    steps = len(dataset.train) // 50
    network = build.build_network("mlp", 10)
    rule = build.build_optimizer(fixed, build.build_schedule(fixed, steps))
    task = build.build_task(fixed, 10, fit_channel_mean_std(dataset.train.images).apply)
    state = create_state(network, rule, dataset.train.take([0]), jax.random.key(3), task=task)
    step = jax.jit(partial(train_step, task=task))
    expected = []
    for epoch in range(2):
        order, seen = shuffle.permutation(len(dataset.train), 3, epoch), []
        for index in np.split(order[: steps * 50], steps):
            batch = {"image": dataset.train.images[index], "label": dataset.train.labels[index]}
            state, metrics = step(state, batch)
            seen.append(float(metrics["loss"]))
        expected.append(np.mean(seen))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_side_by_side_and_on_another_device_equals_alone(parts):
    dataset, valid = parts
    several = [SETTINGS, {"learning_rate": 1e-2}, {"label_smoothing": 0.0}]
    candidates = Candidates(RECIPE, dataset, valid, 2)
    together = losses(candidates, several)
    for number, one in enumerate(several):
        alone = losses(candidates, [one], jax.devices()[1])
        np.testing.assert_allclose(together[..., number], alone[..., 0], rtol=2e-4)


def test_another_learning_rate_compiles_nothing(parts):
    dataset, valid = parts
    candidates = Candidates(RECIPE, dataset, valid, 1)
    losses(candidates, [SETTINGS])
    (programs,) = candidates._compiled.values()
    before = [program._cache_size() for program in programs]
    losses(candidates, [{"learning_rate": 0.5, "weight_decay": 0.1}])
    assert [program._cache_size() for program in programs] == before
    assert len(candidates._compiled) == 1


def test_a_rate_that_diverges_gives_nan(parts):
    dataset, valid = parts
    candidates = Candidates(replace(RECIPE, optimizer="sgd"), dataset, valid, 2)
    *_, last = candidates.train([{"learning_rate": 1e30}])
    assert np.isnan(np.asarray(last["accuracy"])).all()


def test_bad_input(parts):
    dataset, valid = parts
    candidates = Candidates(RECIPE, dataset, valid, 1)
    with pytest.raises(UnknownNameError, match="'weight_decay'"):
        next(candidates.train([{"weight_deca": 0.1}]))
    with pytest.raises(JaxnetsError, match="take together=1"):
        next(candidates.train([{"augment": "crop"}, {"augment": "none"}]))
    with pytest.raises(JaxnetsError, match="batch_size 500 is above the 150 images"):
        next(candidates.train([{"batch_size": 500}]))
    with pytest.raises(JaxnetsError, match="must be above 0"):
        next(candidates.train([{"learning_rate": -1.0}]))
    few = Split(valid.images[:5], valid.labels[:5])
    with pytest.raises(JaxnetsError, match="5 held-out images for 10 classes"):
        Candidates(RECIPE, dataset, few, 1)


def test_the_held_out_part_has_its_share_of_every_class_and_shares_no_image():
    train = load_dataset("digits").train
    rest, part = split_held_out(train, 0.2)
    assert len(rest) + len(part) == len(train)
    expected = 0.2 * np.bincount(train.labels)
    assert np.abs(np.bincount(part.labels) - expected).max() <= 1
    pool = np.sort(train.images.reshape(len(train.images), -1).astype(np.int64) @ np.arange(64))
    both = np.concatenate([rest.images, part.images])
    np.testing.assert_array_equal(
        np.sort(both.reshape(len(both), -1).astype(np.int64) @ np.arange(64)), pool
    )
    with pytest.raises(JaxnetsError, match="fewer images than the 10 classes"):
        split_held_out(train, 0.001)
