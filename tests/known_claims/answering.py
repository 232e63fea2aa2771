"""Networks whose answers are known: as logits, or as parameters that read made-up images."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.study import claims
from jaxnets.study.data import Data, Part


def distribution(labels, right: Sequence[bool], sure: float, wrong: tuple[float, float]):
    """Logits whose softmax is known.

    Args:
        labels: (N,).
        right: (N,) which of the examples are classified rightly.
        sure: probability of the right class there.
        wrong: elsewhere those of the next class, and of the right one.

    Returns:
        (N, 10), the logarithms of probabilities that sum to 1.
    """
    labels, rows = np.asarray(labels), np.arange(len(labels))
    most = np.where(right, sure, wrong[0])
    least = np.where(right, (1 - sure) / 9, wrong[1])
    first = np.where(right, labels, (labels + 1) % 10)
    second = np.where(right, (labels + 1) % 10, labels)
    p = np.repeat(((1 - most - least) / 8)[:, None], 10, 1)
    p[rows, first], p[rows, second] = most, least
    return jnp.asarray(np.log(p), jnp.float32)


def answers(labels, accuracy: float, size: float = 3.0) -> jax.Array:
    """Logits of ``size`` for one class and 0 for the others, right for a share of the examples.

    Their cross entropy is ln(eˢ + 9) − s·accuracy.

    Args:
        labels: (N,).
        accuracy: per cent; the first examples are the wrong ones.
        size: s.

    Returns:
        (N, 10).
    """
    labels = np.asarray(labels)
    wrong = np.arange(len(labels)) < round(len(labels) * (1 - accuracy / 100))
    return size * jax.nn.one_hot(np.where(wrong, (labels + 1) % 10, labels), 10)


def answering(logits) -> SimpleNamespace:
    """What a probe sees of a network that gives these logits for the test images."""
    return SimpleNamespace(variables={}, params={}, apply_fn=lambda *_, **__: logits)


# Per cent of the examples whose label a row of the made-up images gives rightly.
ROWS = (100, 90, 80, 70)


def codes(examples: int = 100) -> Data:
    """Images (4, 10, 1) whose rows are one-hot codes: of the label, or of the next one (`ROWS`)."""
    labels = np.arange(examples) % 10
    images = np.stack([np.asarray(answers(labels, share, 1.0)) for share in ROWS], 1)[..., None]
    part = Part(jnp.asarray(images), jnp.asarray(labels, jnp.int32))
    return Data("codes", part, part, 10)


def with_codes(scene: Callable, examples: int = 100) -> Callable:
    """The scene, with `codes` for every data set."""

    def both(monkeypatch):
        monkeypatch.setattr(claims, "load", lambda *_, **__: codes(examples))
        scene(monkeypatch)

    return both


def reader(row: int, size: float, width: int) -> dict:
    """Parameters of a network of two hidden layers that answers what a row of `codes` says.

    Args:
        row: its number.
        size: of the logit of the answer; the others are 0.
        width: of the hidden layers, 10 or more.
    """
    pick = np.zeros((len(ROWS) * 10, width), np.float32)
    pick[row * 10 + np.arange(10), np.arange(10)] = 1
    zero = np.zeros(width, np.float32)
    return {
        "fc1": {"kernel": pick, "bias": zero},
        "fc2": {"kernel": np.eye(width, dtype=np.float32), "bias": zero},
        "classifier": {
            "kernel": size * np.eye(width, 10, dtype=np.float32),
            "bias": zero[:10],
        },
    }
