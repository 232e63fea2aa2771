"""The compiled programs of candidates: start, step and measure, with settings as arguments."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnets.augment.neighbors import as_distributions
from jaxnets.data import Dataset
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.optim import Plateau
from jaxnets.tasks import recipe as build
from jaxnets.tasks.classification import classification
from jaxnets.tasks.recipe import Recipe
from jaxnets.train.state import TrainState, create_state
from jaxnets.train.step import train_step

# Settings that are arguments of the compiled programs; all others are compiled in.
TRACED = ("learning_rate", "weight_decay", "label_smoothing")


class CandidatePrograms(NamedTuple):
    """Three compiled functions for a fixed number k of candidates that run together.

    ``hyper`` is ``{name: (k,)}`` for the names of `TRACED`; ``state`` is a dict of the arrays of
    a `TrainState`, with a first axis k where k > 1.

    Attributes:
        start: (hyper, key) → state.
        step: (state, hyper, images, labels, index) → (state, loss): one update on the examples
            with these indices. It takes over the memory of its state.
        measure: (state, images, labels) → (number of right answers, sum of cross entropies).

    >>> CandidatePrograms(len, max, min).start("ab")
    2
    """

    start: Callable
    step: Callable
    measure: Callable


def compile_candidates(
    network: nn.Module,
    recipe: Recipe,
    dataset: Dataset,
    preprocess: Callable[[jax.Array], jax.Array],
    steps: int,
    together: int,
) -> CandidatePrograms:
    """Programs for all settings that differ in the names of `TRACED` alone.

    Args:
        network: the network.
        recipe: what is compiled in.
        dataset: names the classes and the image shape.
        preprocess: images as stored → images as the network wants them.
        steps: of an epoch.
        together: k, vmapped where it is above 1.

    Returns:
        The compiled functions.

    Raises:
        JaxnetsError: a schedule that waits for plateaus, which has no length of its own.

    >>> from jaxnets.data import load_dataset
    >>> digits, recipe = load_dataset("digits"), Recipe(model="mlp", augment="none")
    >>> network = build.build_network("mlp", 10, recipe.dtype)
    >>> programs = compile_candidates(network, recipe, digits, lambda x: x / 128 - 1, 10, 1)
    >>> hyper = {name: np.float32([1e-3]) for name in TRACED}
    >>> sorted(programs.start(hyper, jax.random.key(0)))
    ['key', 'model_state', 'opt_state', 'params', 'step']
    """
    unit = build.build_schedule(replace(recipe, learning_rate=1.0), steps)
    if isinstance(unit, Plateau):
        raise JaxnetsError("a schedule that waits for plateaus cannot be searched; take cosine")
    classes = dataset.num_classes
    prepare = build.build_prepare(recipe, dataset)
    example = {"image": np.asarray(dataset.train.images[:1]), "label": np.zeros(1, int)}

    def rule_of(hyper):
        # Every schedule is proportional to its base rate, so the base can be an argument.
        return build.build_optimizer(
            replace(recipe, weight_decay=hyper["weight_decay"]),
            lambda count: hyper["learning_rate"] * unit(count),
        )

    def loss_of(hyper, logits, labels):
        smoothing = hyper["label_smoothing"]
        # Mixed images come with their labels as distributions already.
        mixed = labels.ndim == logits.ndim
        targets = labels if mixed else as_distributions(labels, classes)
        return cross_entropy(logits, (1 - smoothing) * targets + smoothing / classes)

    def start(hyper, key):
        task = classification(classes, preprocess=preprocess)
        return _arrays(create_state(network, rule_of(hyper), example, key, task=task))

    def step(arrays, hyper, images, labels):
        state = TrainState(**arrays, apply_fn=network.apply, tx=rule_of(hyper))
        task = classification(classes, loss=partial(loss_of, hyper), preprocess=preprocess)
        batch = {"image": images, "label": labels}
        state, metrics = train_step(state, batch, task=task, prepare=prepare)
        return _arrays(state), metrics["loss"]

    def measure(arrays, images, labels):
        variables = {"params": arrays["params"], **arrays["model_state"]}
        logits = network.apply(variables, preprocess(images), train=False)
        hits = (logits.argmax(-1) == labels).sum()
        return hits, cross_entropy(logits, labels, reduction="sum")

    if together > 1:
        start = jax.vmap(start, in_axes=(0, None))
        step = jax.vmap(step, in_axes=(0, 0, None, None))
        measure = jax.vmap(measure, in_axes=(0, None, None))

    def of_one(hyper):
        return jax.tree.map(lambda value: value[0], hyper) if together == 1 else hyper

    def started(hyper, key):
        return start(of_one(hyper), key)

    def gathered(arrays, hyper, images, labels, index):
        return step(arrays, of_one(hyper), images[index], labels[index])

    return CandidatePrograms(
        jax.jit(started), jax.jit(gathered, donate_argnums=0), jax.jit(measure)
    )


def _arrays(state: TrainState) -> dict[str, Any]:
    names = ("step", "params", "model_state", "opt_state", "key")
    return {name: getattr(state, name) for name in names}
