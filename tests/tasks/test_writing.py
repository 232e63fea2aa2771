"""Sequence to sequence: what is minimized and measured, and a translator that learns to copy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import train
from jaxnets.data import ArraySource, text
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import diagonal_mass
from jaxnets.models.sequence import RNNSearch
from jaxnets.tasks import translator as translation
from jaxnets.tasks.translator_training import train_translator
from jaxnets.tasks.writing import free_running, sequence_to_sequence, write

BATCH = {
    "tokens": np.array([[4, 2], [5, 2]]),
    "token_mask": np.ones((2, 2), bool),
    "targets": np.array([[3, 2, 0], [4, 3, 2]]),
    "target_mask": np.array([[1, 1, 0], [1, 1, 1]], bool),
    "example_mask": np.array([1.0, 1.0]),
}


def test_loss_and_measures_are_counted_by_hand():
    task = sequence_to_sequence(score=lambda rows: {"rows": float(len(rows))})
    p = np.full((2, 3, 5), 0.1)
    p[0, 0, 3], p[0, 1, 2], p[1, 0, 4], p[1, 1, 0], p[1, 2, 2] = 0.6, 0.6, 0.6, 0.6, 0.6
    logits = jnp.log(p)
    expected = -(4 * np.log(0.6) + np.log(0.1)) / 5
    loss, metrics = task.loss(logits, {}, BATCH)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    assert float(metrics["accuracy"]) == pytest.approx(4 / 5)
    assert int(task.weight(BATCH)) == 5
    assert task.inputs(BATCH)["target"].tolist() == [[1, 3, 2], [1, 4, 3]]
    tokens = jnp.array([[3, 2, 2, 2], [4, 0, 2, 2]])
    outputs = {"logits": logits, "tokens": tokens}
    found = task.summarize(task.measure(outputs, BATCH))
    assert found["loss"] == pytest.approx(expected, rel=1e-6) and found["exact"] == 0.5
    first = task.measure(outputs, {**BATCH, "example_mask": np.array([1.0, 0.0])})
    assert task.summarize(first)["exact"] == 1.0
    assert task.score(task.collect(outputs, BATCH)) == {"rows": 2.0}


def test_evaluation_is_free_running_and_writing_is_the_same():
    model = RNNSearch(6, 5, 3, embedding=3)
    read = {"source": BATCH["tokens"], "source_mask": BATCH["token_mask"]}
    target = sequence_to_sequence().inputs(BATCH)["target"]
    variables = model.init(jax.random.PRNGKey(3), **read, target=target)
    apply = jax.jit(free_running(model.apply, max_length=6), static_argnames="train")
    found = apply(variables, **read, target=target, train=False)
    # What is written does not depend on what should have been.
    other = apply(variables, **read, target=target[:, ::-1], train=False)
    assert (found["tokens"] == other["tokens"]).all()
    assert not np.allclose(found["logits"], other["logits"])
    source = ArraySource({k: BATCH[k] for k in ("tokens", "token_mask")})
    made = write(model.apply, variables, source, max_length=6, batch_size=2)
    assert (made == found["tokens"]).all()


def test_a_translator_learns_resumes_and_is_opened_again(tmp_path):
    corpus = text.split_corpus(text.number_words(160, longest=2, reverse=False))
    words = translation.train_vocabularies(corpus["train"], 20, kind="word", min_frequency=1)

    def build(words):
        return RNNSearch(words.source.size, words.target.size, 24, embedding=16)

    def run():
        options = train.RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=120)
        return train_translator(
            build(words), corpus, words, options=options, epochs=120, batch_size=48, buckets=1,
            longest=3, learning_rate=0.02, label_smoothing=0.0, search={"beams": 2},
        )  # fmt: skip

    fitted = run()
    assert fitted.summary["exact"] > 0.8, fitted.summary
    assert run().finished_before
    translate = translation.load_translator(tmp_path, build, 3)
    assert translate(["sieben drei"]) == ["seven three"]
    weights, read, written = translate.attention("sieben drei", "seven three")
    assert weights.shape == (3, 3) and read[0] == "sieben" and written[1] == "three"
    with pytest.raises(JaxnetsError, match="no sentences"):
        translate([])
    with pytest.raises(JaxnetsError, match="nothing to read"):
        translate(["eins", " "])
    # A vocabulary of another run is refused.
    text.train_tokenizer(["x y"], 9, kind="word", min_frequency=1).save(
        tmp_path / "source_vocabulary.json"
    )
    with pytest.raises(JaxnetsError, match="vocabulary of another run"):
        translation.load_translator(tmp_path, build, 3)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_maps_of_copying_and_of_reversal_are_monotone(reverse, tmp_path):
    """What is looked at for the i-th word is the i-th word, or the i-th from the end."""
    corpus = text.split_corpus(text.number_words(600, longest=5, reverse=reverse))
    words = translation.train_vocabularies(corpus["train"], 20, kind="word", min_frequency=1)
    model = RNNSearch(words.source.size, words.target.size, 32, embedding=24)
    options = train.RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=20)
    fitted = train_translator(
        model, corpus, words, options=options, epochs=60, batch_size=48, buckets=1, longest=6,
        learning_rate=0.01, label_smoothing=0.0,
    )  # fmt: skip
    assert fitted.summary["exact"] > 0.8, fitted.summary
    translate = translation.load_translator(tmp_path, lambda words: model, 6)
    near, even, other = [], [], []
    for source, target in zip(*corpus["test"], strict=True):
        count = len(source.split())
        if count < 4:
            continue
        weights = translate.attention(source, target)[0][:count, :count]
        near.append(float(diagonal_mass(weights, reverse=reverse)))
        other.append(float(diagonal_mass(weights, reverse=not reverse)))
        even.append(float(diagonal_mass(np.full((count, count), 1 / count), reverse=reverse)))
    assert np.mean(near) > 0.75 > np.mean(even) + 0.1 > np.mean(other) + 0.1, (near, other)
