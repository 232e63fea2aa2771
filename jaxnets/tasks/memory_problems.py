"""What recurrent cells are compared on: adding, copying, and the next character of a text."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.synthetic_sequences import adding_problem, copy_problem
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import LanguageModel, SequenceRegressor
from jaxnets.tasks.sequence import language_modeling, sequence_labeling, sequence_regression
from jaxnets.train.task import Task


class MemoryProblem(NamedTuple):
    """Something to train a recurrent network on.

    Attributes:
        build: (cell, units) → the network.
        task: what is trained for.
        batch: (key, count) → a fresh batch, under jit.
        test: (key, count) → a batch that measures.
        measure: name of the result that counts; lower is better.
        baseline: what knowing nothing of the past has.
        label: of the axis in a figure.

    >>> found = adding(10)
    >>> found.measure, round(found.baseline, 4)
    ('loss', 0.1667)
    """

    build: Callable[[str, int], nn.Module]
    task: Task
    batch: Callable[[jax.Array, int], dict[str, Any]]
    test: Callable[[jax.Array, int], dict[str, Any]]
    measure: str
    baseline: float
    label: str


def adding(length: int) -> MemoryProblem:
    """The sum of two marked numbers among ``length``; always saying 1 has the error 1/6.

    Args:
        length: steps.

    Returns:
        The problem.

    >>> import jax
    >>> adding(10).batch(jax.random.key(0), 2)["number"].shape
    (2,)
    """

    def batch(key: jax.Array, count: int) -> dict[str, Any]:
        x, total = adding_problem(key, count, length)
        return {"sequence": x, "number": total}

    def build(cell: str, units: int) -> nn.Module:
        return SequenceRegressor(units, cell)

    label = "mean squared error"
    return MemoryProblem(build, sequence_regression(), batch, batch, "loss", 1 / 6, label)


def copying(length: int) -> MemoryProblem:
    """Ten symbols to be said again after ``length`` steps; the baseline is log 8 nats a symbol.

    Args:
        length: steps of the pause.

    Returns:
        The problem; only the symbols that are said again count.

    >>> import jax
    >>> copying(5).batch(jax.random.key(0), 2)["target_mask"].sum(1).tolist()
    [10, 10]
    """

    def batch(key: jax.Array, count: int) -> dict[str, Any]:
        tokens, targets = copy_problem(key, count, length)
        mask = (targets > 0).astype(jnp.int32)
        return {"tokens": tokens, "targets": targets, "target_mask": mask}

    def build(cell: str, units: int) -> nn.Module:
        return LanguageModel(10, units, cell=cell)

    label = "nats a symbol"
    return MemoryProblem(build, sequence_labeling(), batch, batch, "loss", math.log(8), label)


def next_character(text: str, length: int) -> MemoryProblem:
    """The next character of a text; the baseline is the entropy of its characters, in bits.

    Args:
        text: the last twentieth of it is the test.
        length: characters of a window.

    Returns:
        The problem.

    Raises:
        JaxnetsError: a text that is too short.

    >>> import jax
    >>> found = next_character("abab" * 50, 4)
    >>> found.baseline, found.batch(jax.random.key(0), 3)["tokens"].shape
    (1.0, (3, 5))
    """
    known = sorted(set(text))
    numbers = {character: number for number, character in enumerate(known)}
    tokens = np.array([numbers[character] for character in text], np.int32)
    cut = len(tokens) - max(len(tokens) // 20, length + 1)
    if cut <= length:
        raise JaxnetsError(
            f"the text has {len(text)} characters; expected more than {2 * length + 2} for windows "
            f"of {length}"
        )
    shares = np.bincount(tokens) / len(tokens)
    entropy = float(-(shares * np.log2(shares)).sum())

    def windows(part: np.ndarray) -> Callable[[jax.Array, int], dict[str, Any]]:
        def batch(key: jax.Array, count: int) -> dict[str, Any]:
            starts = jax.random.randint(key, (count, 1), 0, len(part) - length)
            return {"tokens": jnp.asarray(part)[starts + jnp.arange(length + 1)]}

        return batch

    def build(cell: str, units: int) -> nn.Module:
        return LanguageModel(len(known), units, cell=cell)

    parts = windows(tokens[:cut]), windows(tokens[cut:])
    return MemoryProblem(build, language_modeling(), *parts, "bits", entropy, "bits a character")
