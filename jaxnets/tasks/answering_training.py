"""Training of a network that answers, and a trained one as a function of picture and question."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.questions import Questions
from jaxnets.data.text import TextTokenizer
from jaxnets.tasks.answering import (
    QuestionSource,
    blind_answers,
    predict_answers,
    question_answering,
    scores_by_kind,
)
from jaxnets.tasks.small_training import workdir_of
from jaxnets.tasks.writing_training import warm_adam
from jaxnets.train import EarlyStopping, RunOptions, fit
from jaxnets.train.run import Fitted


def hold_out_pictures(questions: Questions, share: float = 0.1) -> tuple[Questions, Questions]:
    """Questions about some pictures, and those about the others: no picture is in both.

    Args:
        questions: to divide.
        share: of the pictures that are held out, at least one.

    Returns:
        (questions to learn from, questions that are held out).

    >>> from jaxnets.data.questions import drawn_questions
    >>> kept, held = hold_out_pictures(drawn_questions(10))
    >>> len(kept.texts), len(held.texts)
    (27, 3)
    """
    # Those that are asked about: another hold-out may have taken some.
    pictures = np.unique(questions.picture)
    order = pictures[shuffle.permutation(len(pictures), 0, use=shuffle.VALIDATION)]
    held = np.isin(questions.picture, order[: max(1, int(len(pictures) * share))])
    return questions.subset(np.flatnonzero(~held)), questions.subset(np.flatnonzero(held))


def train_answerer(
    model: nn.Module,
    training: Questions,
    test: Questions,
    tokenizer: TextTokenizer,
    answers: Sequence[str],
    *,
    options: RunOptions,
    longest: int,
    epochs: int = 40,
    batch_size: int = 32,
    together: int = 10,
    learning_rate: float = 1e-3,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> Fitted:
    """Train a network to answer, choose by questions about pictures that are held out, and test it.

    Adam, gradients of norm 1 at most; the rate grows for a tenth of the steps and falls to 0 by a
    cosine.

    Args:
        model: such as `jaxnets.models.sequence.SpatialMemory`.
        training: questions to learn from; a tenth of their pictures is held out.
        test: others.
        tokenizer: of the words; it is saved with the run, as ``vocabulary.json``.
        answers: that the network can give; the run keeps them.
        options: how the run is carried out; its ``workdir`` holds the run.
        longest: words of a question.
        epochs: passes over the questions.
        batch_size: pictures an update.
        together: questions that share a picture's features, see
            `jaxnets.tasks.answering.QuestionSource`.
        learning_rate: the greatest.
        seed: of weights, order and dropout.
        settings: further JSON values that decide what is learned.

    Returns:
        `jaxnets.train.run.Fitted`; its summary has ``test_accuracy``, ``test_accuracy_yes_no`` and
        ``test_accuracy_other`` (see `jaxnets.tasks.answering.scores_by_kind`), and the same with
        ``blind_`` for `jaxnets.tasks.answering.blind_answers`.

    Raises:
        JaxnetsError: as `jaxnets.train.fit`.

    >>> train_answerer(None, None, None, None, (), options=RunOptions(), longest=1)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: workdir: got none; a run needs a directory, --workdir DIRECTORY
    """
    workdir, answers = workdir_of(options), tuple(answers)
    kept, held = hold_out_pictures(training)
    fields: dict[str, Any] = {"longest": longest, "together": together}
    source, held_out, asked = (
        QuestionSource(part, tokenizer, answers, **fields) for part in (kept, held, test)
    )
    steps = epochs * (len(source) // batch_size)

    def summarize(fitted: Fitted) -> dict[str, Any]:
        tokenizer.save(workdir / "vocabulary.json")
        numbers = predict_answers(model.apply, fitted.variables, asked)
        found: dict[str, Any] = {**fitted.measured, "test_questions": len(test.texts)}
        said = [answers[number] for number in numbers]
        for name, made in (("test", said), ("blind", blind_answers(training, test))):
            scores = scores_by_kind(made, test)
            found |= {f"{name}_{kind}": score for kind, score in scores.items()}
        return found

    return fit(
        model,
        source,
        task=question_answering(),
        optimizer=warm_adam(learning_rate, steps),
        workdir=workdir,
        epochs=epochs,
        batch_size=batch_size,
        validation=held_out,
        early_stopping=EarlyStopping(max(1, epochs), mode="max"),
        monitor="accuracy",
        seed=seed,
        settings={
            "learning_rate": learning_rate,
            "longest": longest,
            "together": together,
            "vocabulary": tokenizer.fingerprint,
            "answers": list(answers),
            **(settings or {}),
        },
        meta={
            "vocabulary": tokenizer.fingerprint,
            "answers": list(answers),
            "longest": longest,
            "size": int(source.take(np.array([0]))["image"].shape[1]),
        },
        summarize=summarize,
        title=f"{type(model).__name__}, {len(answers)} answers",
        options=options,
    )


def answer(
    model: nn.Module,
    variables: Any,
    tokenizer: TextTokenizer,
    answers: Sequence[str],
    picture: np.ndarray,
    question: str,
    *,
    longest: int,
) -> tuple[dict[str, float], np.ndarray]:
    """Answer one question about one picture.

    Args:
        model: the network.
        variables: its parameters.
        tokenizer: that it was trained with.
        answers: that it can give.
        picture: uint8 (H, W, 3), of the size that it was trained with.
        question: as people write it.
        longest: words at most.

    Returns:
        (answer → probability, the likeliest first; weights (hops or glimpses, places) of the
        attention).

    Raises:
        JaxnetsError: a question without words.

    >>> from jaxnets.models.sequence import SpatialMemory
    >>> from jaxnets.tasks.answering import question_vocabulary
    >>> words, picture = question_vocabulary(["is it red?"]), np.zeros((2, 2, 3), np.uint8)
    >>> model = SpatialMemory(words.size, 2, 2, longest=3)
    >>> variables = model.init(jax.random.key(0), picture[None] * 1.0, np.ones((1, 3), int))
    >>> said, weights = answer(
    ...     model, variables, words, ("yes", "no"), picture, "Is it red?", longest=3
    ... )
    >>> sorted(said), weights.shape
    (['no', 'yes'], (1, 4))
    """
    asked = Questions(picture[None], np.array([0]), [question], [(answers[0],)])
    batch = QuestionSource(asked, tokenizer, answers, longest).take(np.array([0]))
    inputs = question_answering().inputs(batch)
    logits, stored = model.apply(variables, **inputs, mutable=["attention"])
    shares = np.asarray(jax.nn.softmax(logits[0]))
    ranked = {answers[number]: float(shares[number]) for number in np.argsort(-shares)}
    return ranked, np.concatenate([maps[0] for maps in jax.tree.leaves(stored)])
