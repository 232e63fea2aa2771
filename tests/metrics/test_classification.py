"""Accuracy and confusion against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sk

from jaxnets.metrics import accuracy, confusion_matrix, top_k_accuracy

random = np.random.default_rng(0)
LOGITS = random.standard_normal((200, 7)).astype(np.float32)
LABELS = random.integers(0, 7, 200)
WEIGHTS = random.random(200).astype(np.float32)


def test_accuracy_is_scikit_learns():
    expected = sk.accuracy_score(LABELS, LOGITS.argmax(-1))
    assert 0.05 < expected < 0.3
    np.testing.assert_allclose(accuracy(LOGITS, LABELS), expected, rtol=1e-6)
    expected = sk.accuracy_score(LABELS, LOGITS.argmax(-1), sample_weight=WEIGHTS)
    np.testing.assert_allclose(accuracy(LOGITS, LABELS, weights=WEIGHTS), expected, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 5, 7, 9])
def test_top_k_is_scikit_learns(k):
    expected = sk.top_k_accuracy_score(LABELS, LOGITS, k=min(k, 7), labels=range(7)) if k < 7 else 1
    computed = jax.jit(top_k_accuracy, static_argnames="k")(LOGITS, LABELS, k=k)
    np.testing.assert_allclose(computed, expected, rtol=1e-6)


def test_labels_as_a_distribution():
    soft = jax.nn.one_hot(LABELS, 7) * 0.9 + 0.01
    np.testing.assert_array_equal(accuracy(LOGITS, soft), accuracy(LOGITS, LABELS))


def test_equal_logits_count_in_order():
    logits = jnp.zeros((4, 4))
    found = [float(top_k_accuracy(logits, jnp.arange(4), k)) for k in (1, 2, 4)]
    assert found == [0.25, 0.5, 1.0]


def test_nan_is_never_right():
    assert accuracy(jnp.full((1, 3), jnp.nan), jnp.array([0])) == 0
    assert accuracy(jnp.array([[1.0, jnp.nan]]), jnp.array([0])) == 0


def test_padding_and_labels_of_no_class():
    logits = jnp.eye(3)
    assert accuracy(logits, jnp.array([0, 1, 255]), weights=jnp.array([1, 1, 0])) == 1
    assert accuracy(logits, jnp.array([0, 1, 2]), weights=jnp.zeros(3)) == 0


def test_confusion_is_scikit_learns():
    expected = sk.confusion_matrix(LABELS, LOGITS.argmax(-1))
    np.testing.assert_array_equal(confusion_matrix(LOGITS, LABELS), expected)
    guesses = jnp.asarray(LOGITS.argmax(-1))
    np.testing.assert_array_equal(confusion_matrix(guesses, LABELS, 7), expected)
    weighted = sk.confusion_matrix(LABELS, LOGITS.argmax(-1), sample_weight=WEIGHTS)
    computed = confusion_matrix(LOGITS, LABELS, weights=WEIGHTS)
    np.testing.assert_allclose(computed, weighted, rtol=1e-5)


def test_confusion_adds_up_over_batches_and_drops_padding():
    parts = [
        confusion_matrix(LOGITS[i : i + 50], LABELS[i : i + 50]) for i in range(0, len(LABELS), 50)
    ]
    np.testing.assert_array_equal(sum(parts), confusion_matrix(LOGITS, LABELS))
    labels, weights = jnp.array([0, 1, -1, 9]), jnp.array([1, 1, 0, 0])
    matrix = confusion_matrix(jnp.array([0, 1, 1, 1]), labels, 2, weights=weights)
    np.testing.assert_array_equal(matrix, np.eye(2))
    masked = confusion_matrix(LOGITS, LABELS, weights=WEIGHTS > 0.5)
    assert masked.sum() == (WEIGHTS > 0.5).sum()
    assert masked.dtype == jnp.int32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: top_k_accuracy(LOGITS, LABELS, 0), r"k: got 0"),
        (lambda: accuracy(LOGITS, LABELS[:5]), r"labels: got int(32|64)\[5\].*integers \[200\]"),
        (lambda: accuracy(LOGITS, LABELS, weights=WEIGHTS[:5]), r"weights: got shape \[5\]"),
        (lambda: confusion_matrix(LOGITS, LABELS, 8), r"num_classes: got 8, .* 7 logits"),
        (lambda: confusion_matrix(LABELS, LABELS), r"num_classes: expected an int"),
        (lambda: confusion_matrix(LOGITS, LABELS[:5]), r"labels: got shape \[5\]"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
