"""Class numbers outside 0 … K−1: one rule in every loss and metric, in training and evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import losses, metrics
from jaxnets.ensembles import log_loss, measure_ensemble
from jaxnets.models.lenet import map_loss
from jaxnets.tasks import classification
from jaxnets.train import TaskError

LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
GOOD = np.array([0, 1, 2, 0])

# Of labels alone; each result is a number or an array of numbers.
RULES = {
    "cross_entropy": lambda labels: losses.cross_entropy(LOGITS, labels),
    "cross_entropy, smoothed": lambda y: losses.cross_entropy(LOGITS, y, label_smoothing=0.1),
    "smooth_labels": lambda labels: losses.smooth_labels(labels, 3),
    "map_loss": lambda labels: map_loss(LOGITS, labels),
    "accuracy": lambda labels: metrics.accuracy(LOGITS, labels),
    "top_k_accuracy": lambda labels: metrics.top_k_accuracy(LOGITS, labels, 3),
    "reliability": lambda labels: metrics.reliability(LOGITS, labels).accuracy,
    "calibration": lambda labels: metrics.expected_calibration_error(LOGITS, labels),
    "temperature": lambda labels: metrics.fit_temperature(LOGITS, labels),
    "log_loss": lambda labels: log_loss(jax.nn.softmax(LOGITS), labels),
    "confusion, weights": lambda labels: metrics.confusion_matrix(
        LOGITS, labels, weights=jnp.ones(4)
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_one_class_number_outside_makes_the_result_nan(name):
    rule = jax.jit(RULES[name])
    assert np.isfinite(rule(GOOD)).all()
    for wrong in (-1, 3, 255):
        assert np.isnan(rule(np.where(GOOD == 2, wrong, GOOD))).any(), wrong


def test_where_the_weight_is_zero_anything_may_stand():
    labels, weights = np.array([0, 1, -1, 255]), jnp.array([1.0, 1.0, 0.0, 0.0])
    for function in (losses.cross_entropy, metrics.accuracy):
        assert function(LOGITS, labels, weights=weights) == function(LOGITS[:2], labels[:2])
    matrix = metrics.confusion_matrix(LOGITS, labels, weights=weights)
    np.testing.assert_array_equal(matrix, metrics.confusion_matrix(LOGITS[:2], labels[:2]))


def test_counts_refuse_it_and_are_negative_inside_jit():
    wrong = np.array([0, 1, 2, -1])
    with pytest.raises(ValueError, match="labels: got -1; expected class numbers 0 … 2"):
        metrics.confusion_matrix(LOGITS, wrong)
    counts = jax.jit(metrics.confusion_matrix)(LOGITS, wrong)
    assert (counts < -1000).all()
    with pytest.raises(ValueError, match="labels: got 3"):
        measure_ensemble(jax.nn.softmax(LOGITS)[None], np.array([0, 1, 2, 3]))


def test_the_ratio_takes_any_class_numbers_but_negative_ones():
    x = jnp.array([[0.0], [2.0], [10.0], [12.0]])
    for labels in ([0, 0, 1, 1], [7, 7, 300, 300], [2, 2, 0, 0]):
        got = jax.jit(metrics.within_between_ratio)(x, np.array(labels))
        assert float(got) == pytest.approx(1 / 25)
    assert np.isnan(metrics.within_between_ratio(x, np.array([-1, -1, 1, 1])))


def test_training_and_evaluation_refuse_them_alike():
    task = classification(3)
    wrong = {"label": np.array([0, 1, 2, -1]), "example_mask": np.ones(4, np.float32)}
    loss, measured = task.loss(LOGITS, {}, wrong)
    assert np.isnan(loss) and np.isnan(measured["accuracy"])
    with pytest.raises(TaskError, match=r"1 of 4 labels are outside 0 … 2"):
        task.summarize(jax.device_get(jax.jit(task.measure)(LOGITS, wrong)))
    padded = wrong | {"example_mask": np.float32([1, 1, 1, 0])}
    found = task.summarize(jax.device_get(jax.jit(task.measure)(LOGITS, padded)))
    expected = losses.cross_entropy(LOGITS[:3], np.array([0, 1, 2]))
    assert found["loss"] == pytest.approx(float(expected), rel=1e-6)
    assert found["confusion"].sum() == 3
