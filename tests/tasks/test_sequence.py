"""What is minimized and measured of sequences, counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.data.synthetic_sequences import adding_problem, copy_problem
from jaxnets.errors import JaxnetsError
from jaxnets.tasks import language_modeling, sequence_labeling, sequence_regression
from jaxnets.tasks.memory_problems import next_character

BATCH = {
    "tokens": np.array([[0, 1, 2], [0, 2, 0]]),
    "token_mask": np.array([[1, 1, 1], [1, 1, 0]]),
    "example_mask": np.array([1.0, 1.0]),
}
PROBABILITIES = np.array([[[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], [[0.6, 0.3, 0.1], [1.0, 0.0, 0.0]]])


def test_the_loss_is_the_mean_over_the_tokens_that_are_there():
    task = language_modeling()
    logits = jnp.log(PROBABILITIES + 1e-30)
    expected = -np.log([0.5, 0.8, 0.1]).mean()
    loss, metrics = task.loss((logits, ()), {}, BATCH)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert float(metrics["accuracy"]) == pytest.approx(2 / 3)
    assert int(task.weight(BATCH)) == 3
    found = task.summarize(task.measure((logits, ()), BATCH))
    assert found["bits"] == pytest.approx(expected / np.log(2), rel=1e-6)
    assert found["perplexity"] == pytest.approx(np.exp(expected), rel=1e-6)
    alone = task.measure((logits, ()), {**BATCH, "example_mask": np.array([1.0, 0.0])})
    assert task.summarize(alone)["loss"] == pytest.approx(-np.log([0.5, 0.8]).mean(), rel=1e-6)


def test_a_number_for_a_sequence_is_measured_without_padding():
    batch = {"number": np.array([1.0, 5.0]), "example_mask": np.array([1.0, 0.0])}
    task = sequence_regression()
    assert task.summarize(task.measure(jnp.array([3.0, 0.0]), batch))["loss"] == 4.0


def test_the_adding_problem_is_what_its_paper_says():
    x, total = adding_problem(jax.random.PRNGKey(0), 4000, 11)
    markers = np.asarray(x[..., 1])
    assert (markers[:, :5].sum(1) == 1).all() and (markers[:, 5:].sum(1) == 1).all()
    assert (markers.sum(0) > 0).all()
    np.testing.assert_allclose((x[..., 0] * x[..., 1]).sum(1), total, rtol=1e-6)
    # The variance of 4,000 numbers is off by about 1/60 of itself; four times that.
    assert float(jnp.square(total - 1).mean()) == pytest.approx(1 / 6, rel=0.07)
    with pytest.raises(ValueError, match="length: got 1"):
        adding_problem(jax.random.PRNGKey(0), 2, 1)


def test_labels_count_where_they_are_asked_for():
    logits = jnp.log(PROBABILITIES + 1e-30)
    batch = {
        "tokens": np.array([[0, 1], [0, 2]]),
        "targets": np.array([[1, 2], [2, 1]]),
        "target_mask": np.array([[1, 1], [1, 0]]),
        "example_mask": np.array([1.0, 1.0]),
    }
    task = sequence_labeling()
    expected = -np.log([0.5, 0.8, 0.1]).mean()
    loss, metrics = task.loss((logits, ()), {}, batch)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert float(metrics["accuracy"]) == pytest.approx(2 / 3)
    alone = task.measure((logits, ()), {**batch, "example_mask": np.array([0.0, 1.0])})
    assert task.summarize(alone)["loss"] == pytest.approx(-np.log(0.1), rel=1e-6)


def test_the_copy_problem_is_what_its_paper_says():
    tokens, targets = map(np.asarray, copy_problem(jax.random.PRNGKey(0), 500, 7, copied=4))
    assert tokens.shape == targets.shape == (500, 15)
    assert (targets[:, -4:] == tokens[:, :4]).all() and (targets[:, :-4] == 0).all()
    # The mark stands before the first step that is to be said, and nowhere else.
    assert (tokens[:, 10] == 1).all() and ((tokens == 1).sum(1) == 1).all()
    assert set(np.unique(tokens[:, :4])) == set(range(2, 10)) and (tokens[:, 11:] == 0).all()
    with pytest.raises(ValueError, match="length: got 0"):
        copy_problem(jax.random.PRNGKey(0), 1, 0)


def test_windows_of_the_test_are_not_those_of_the_training():
    found = next_character("ab" * 190 + "cd" * 10, 8)
    training, test = (
        np.asarray(batch(jax.random.PRNGKey(0), 50)["tokens"])
        for batch in (found.batch, found.test)
    )
    assert set(np.unique(training)) == {0, 1} and set(np.unique(test)) == {2, 3}
    with pytest.raises(JaxnetsError, match="has 9 characters"):
        next_character("abababab.", 4)
