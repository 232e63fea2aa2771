"""Answering questions about pictures: questions as a source, the task, and one answer."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Batch, eval_batches, pad_sequences
from jaxnets.data.questions import Questions
from jaxnets.data.text import TextTokenizer, train_tokenizer
from jaxnets.losses import cross_entropy
from jaxnets.metrics import vqa_accuracy
from jaxnets.train.task import Sums, Task


def words_of(question: str) -> str:
    """A question's words in lower case, without punctuation.

    Args:
        question: as people write it.

    Returns:
        The words with spaces between them.

    >>> words_of("What's the color, please?")
    "what's the color please"
    """
    return " ".join(re.findall(r"[\w']+", question.lower()))


def question_vocabulary(texts: Sequence[str], size: int = 10_000) -> TextTokenizer:
    """The words of questions as a tokenizer.

    Args:
        texts: the questions.
        size: words at most.

    Returns:
        The tokenizer.

    >>> question_vocabulary(["Is it red?", "is it blue?"]).size
    8
    """
    return train_tokenizer(map(words_of, texts), size, kind="word", min_frequency=1)


def common_answers(questions: Questions, count: int = 3000) -> tuple[str, ...]:
    """The answers that people give most often, the most frequent first.

    Args:
        questions: with what people answered.
        count: answers at most.

    Returns:
        The answers.

    >>> asked = Questions(np.zeros((1, 1, 1, 3)), np.zeros(2, int), ["a", "b"], [("y",), ("y",)])
    >>> common_answers(asked)
    ('y',)
    """
    counts = Counter(answer for people in questions.answers for answer in people)
    return tuple(sorted(counts, key=lambda answer: (-counts[answer], answer))[:count])


def worth(answer: str, people: Sequence[str]) -> float:
    """What an answer is worth: `jaxnets.metrics.vqa_accuracy`, or 1 or 0 where one was asked.

    Args:
        answer: what is said.
        people: what each person said.

    Returns:
        0 to 1.

    >>> worth("red", ["red"]), worth("red", ["red", "red", "blue", "blue"])
    (1.0, 0.5)
    """
    return float(answer == people[0]) if len(people) == 1 else vqa_accuracy(answer, people)


class QuestionSource:
    """Pictures with the questions about them as a `jaxnets.data.Source`.

    Args:
        questions: the questions.
        tokenizer: of the words.
        answers: that a network can give, K.
        longest: words of a question; longer ones are cut.
        together: questions that share one picture's features, Q; a picture with more of them is
            as many examples as it takes.

    A batch has ``image`` (B, H, W, 3) uint8, ``tokens`` and ``token_mask`` (B, Q, longest),
    ``asked`` (B, Q), True for a question, ``label`` (B, Q, K), each answer's share of the people,
    and ``worth`` (B, Q, K), see `worth`. ``rows`` (N, Q) are the questions' numbers, −1 for none.

    >>> from jaxnets.data.questions import drawn_questions
    >>> asked = drawn_questions(2)
    >>> words, answers = question_vocabulary(asked.texts), common_answers(asked)
    >>> source = QuestionSource(asked, words, answers, 8, together=2)
    >>> source.rows.tolist(), source.take(np.array([0, 3]))["label"].sum()
    ([[0, 1], [2, -1], [3, 4], [5, -1]], np.float32(3.0))
    """

    def __init__(
        self,
        questions: Questions,
        tokenizer: TextTokenizer,
        answers: Sequence[str],
        longest: int,
        *,
        together: int = 1,
    ):
        self.questions, self.answers = questions, tuple(answers)
        # What is asked often is encoded once; the end token is no word.
        numbers = {text: tokenizer.encode(words_of(text))[:-1] for text in set(questions.texts)}
        read = [numbers[text][:longest] for text in questions.texts]
        self._tokens, self._mask = pad_sequences(read, longest)
        self._number = {answer: number for number, answer in enumerate(self.answers)}
        self._known: dict[tuple[str, ...], list[tuple[int, float, float]]] = {}
        of_picture: dict[int, list[int]] = {}
        for row, picture in enumerate(questions.picture):
            of_picture.setdefault(int(picture), []).append(row)
        groups = [
            rows[start : start + together]
            for rows in of_picture.values()
            for start in range(0, len(rows), together)
        ]
        self.rows = np.full((len(groups), together), -1)
        for number, group in enumerate(groups):
            self.rows[number, : len(group)] = group

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: np.ndarray) -> Batch:
        """These pictures and their questions as a batch."""
        own = self.rows[rows]
        asked = own >= 0
        share = np.zeros((*own.shape, len(self.answers)), np.float32)
        value = np.zeros_like(share)
        for place in np.argwhere(asked):
            for number, part, one in self._values(self.questions.answers[own[tuple(place)]]):
                share[(*place, number)], value[(*place, number)] = part, one
        # Where nothing is asked, one word of padding is read, so that nothing is empty.
        mask = self._mask[own] & asked[..., None]
        mask[..., 0] = True
        return {
            "image": np.asarray(self.questions.pictures[self.questions.picture[own[:, 0]]]),
            "tokens": np.where(mask & asked[..., None], self._tokens[own], 0),
            "token_mask": mask,
            "asked": asked,
            "label": share,
            "worth": value,
        }

    def _values(self, people: tuple[str, ...]) -> list[tuple[int, float, float]]:
        if people not in self._known:
            self._known[people] = [
                (self._number[answer], people.count(answer) / len(people), worth(answer, people))
                for answer in set(people)
                if answer in self._number
            ]
        return self._known[people]


def question_answering() -> Task:
    """The task of answering, on the batches of `QuestionSource`.

    The loss is −Σ_k share_k log p(answer k), the mean over the people of each one's cross entropy;
    pictures become −1 … 1.

    Returns:
        A `jaxnets.train.Task`. Evaluation gives ``loss``, and ``accuracy``, the mean worth of the
        likeliest answer.

    Source: Kazemi & Elqursh 2017 (Show, Ask, Attend, and Answer), §3.4.

    >>> batch = {"label": np.eye(2)[None], "worth": np.array([[[1, 0], [0, 0.3]]])}
    >>> batch |= {"asked": np.ones((1, 2), bool), "example_mask": np.ones(1)}
    >>> float(question_answering().measure(jnp.eye(2), batch)["accuracy"][0])
    1.2999...
    """

    def flat(array) -> jax.Array:
        """The questions of all pictures behind each other."""
        array = jnp.asarray(array)
        return array.reshape(-1, *array.shape[2:])

    def inputs(batch):
        image = jnp.asarray(batch["image"]).astype(jnp.float32) / 127.5 - 1.0
        mask = flat(batch["token_mask"]).astype(bool)
        return {"image": image, "tokens": flat(batch["tokens"]), "token_mask": mask}

    def value(logits, batch) -> jax.Array:
        best = logits.argmax(-1)[:, None]
        return jnp.take_along_axis(flat(batch["worth"]), best, -1)[:, 0]

    def loss(logits, updates, batch):
        asked = flat(batch["asked"])
        right = jnp.sum(value(logits, batch) * asked) / jnp.maximum(asked.sum(), 1)
        return cross_entropy(logits, flat(batch["label"]), weights=asked), {"accuracy": right}

    def measure(logits, batch) -> Sums:
        mask = flat(jnp.asarray(batch["asked"]) * jnp.asarray(batch["example_mask"])[:, None])
        losses = cross_entropy(logits, flat(batch["label"]), reduction="none")
        return {
            "loss": (jnp.sum(mask * losses), mask.sum()),
            "accuracy": (jnp.sum(mask * value(logits, batch)), mask.sum()),
        }

    return Task(inputs, loss, measure, weight=lambda batch: jnp.asarray(batch["asked"]).sum())


def predict_answers(
    apply: Callable[..., Any],
    variables: Mapping[str, Any],
    source: QuestionSource,
    *,
    batch_size: int = 64,
) -> np.ndarray:
    """The likeliest answer to each question.

    Args:
        apply: the network's ``apply``.
        variables: its parameters.
        source: the pictures and questions.
        batch_size: pictures at a time.

    Returns:
        (questions,) numbers of answers.

    >>> from jaxnets.data.questions import drawn_questions
    >>> from jaxnets.models.sequence import SpatialMemory
    >>> asked = drawn_questions(1, size=2)
    >>> words = question_vocabulary(asked.texts)
    >>> source = QuestionSource(asked, words, ("yes", "no"), 8)
    >>> model = SpatialMemory(words.size, 2, 2, longest=8)
    >>> variables = model.init(jax.random.key(0), np.ones((1, 1, 1, 3)), np.ones((1, 8), int))
    >>> predict_answers(model.apply, variables, source).shape
    (3,)
    """
    inputs = question_answering().inputs

    @jax.jit
    def best(variables, batch):
        return apply(variables, **inputs(batch)).argmax(-1)

    parts = []
    for batch in eval_batches(source, min(batch_size, len(source))):
        read = {key: np.asarray(batch[key]) for key in ("image", "tokens", "token_mask")}
        parts.append(np.asarray(best(variables, read)).reshape(-1, source.rows.shape[1]))
    made, asked = np.concatenate(parts)[: len(source)], source.rows >= 0
    found = np.zeros(asked.sum(), int)
    found[source.rows[asked]] = made[asked]
    return found


def scores_by_kind(said: Sequence[str], questions: Questions) -> dict[str, float]:
    """Mean worth of answers: over all questions, those of yes and no, and the others.

    A question is one of yes and no where most of the people answered so.

    Args:
        said: (N,) answers.
        questions: that they answer.

    Returns:
        ``accuracy``, ``accuracy_yes_no`` and ``accuracy_other`` (those that there are).

    >>> asked = Questions(np.zeros((1, 1, 1, 3)), np.zeros(2, int), ["a", "b"], [("no",), ("red",)])
    >>> scores_by_kind(["yes", "red"], asked)
    {'accuracy': 0.5, 'accuracy_yes_no': 0.0, 'accuracy_other': 1.0}
    """
    values = np.array([worth(a, people) for a, people in zip(said, questions.answers, strict=True)])
    closed = np.array([Counter(p).most_common(1)[0][0] in ("yes", "no") for p in questions.answers])
    parts = {"": np.ones(len(values), bool), "_yes_no": closed, "_other": ~closed}
    return {f"accuracy{k}": float(values[rows].mean()) for k, rows in parts.items() if rows.any()}


def blind_answers(training: Questions, questions: Questions) -> list[str]:
    """What who sees no picture should say: the training's most frequent answer to the same words.

    Args:
        training: questions with answers to count.
        questions: to answer.

    Returns:
        (N,) answers; to words that were never asked, the most frequent answer of all.

    >>> asked = Questions(np.zeros((1, 1, 1, 3)), np.zeros(2, int), ["a?", "a"], [("x",), ("x",)])
    >>> blind_answers(asked, asked)
    ['x', 'x']
    """
    counts: dict[str, Counter] = {}
    for text, people in zip(training.texts, training.answers, strict=True):
        counts.setdefault(words_of(text), Counter()).update(people)
    best = {text: found.most_common(1)[0][0] for text, found in counts.items()}
    (usual,) = common_answers(training, 1)
    return [best.get(words_of(text), usual) for text in questions.texts]
