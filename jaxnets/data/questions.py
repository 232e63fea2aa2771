"""Questions about pictures: easy-VQA, and the files of the VQA challenge."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.data.image_file import read_image
from jaxnets.errors import JaxnetsError, printable


class Pictures:
    """Picture files that are read, and cut to a square, when they are asked for.

    Args:
        paths: (N,) of the files.
        size: side of the square, in pixels.

    >>> len(Pictures(["a.png", "b.png"], 64)[np.array([], int)])
    0
    """

    def __init__(self, paths: Sequence[str | Path], size: int):
        self.paths, self.size = [Path(path) for path in paths], size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        read = [read_image(self.paths[row], self.size) for row in rows]
        return np.stack(read) if read else np.zeros((0, self.size, self.size, 3), np.uint8)


class Questions(NamedTuple):
    """Questions, what each is about, and what people answered.

    Attributes:
        pictures: uint8 (P, H, W, 3), or `Pictures`.
        picture: (N,) row of the picture of each question.
        texts: (N,) the questions.
        answers: (N,) of each question, one for each person who was asked.

    >>> Questions(np.zeros((1, 8, 8, 3), np.uint8), np.array([0]), ["what?"], [("yes",)]).texts
    ['what?']
    """

    pictures: np.ndarray | Pictures
    picture: np.ndarray
    texts: list[str]
    answers: list[tuple[str, ...]]

    def subset(self, rows: np.ndarray) -> "Questions":
        """These questions; the pictures stay."""
        texts, answers = ([column[row] for row in rows] for column in (self.texts, self.answers))
        return Questions(self.pictures, self.picture[rows], texts, answers)


def read_easy_vqa(folder: str | Path) -> dict[str, Questions]:
    """easy-VQA: one shape of one color in each picture, thirteen answers.

    Args:
        folder: with ``easy_vqa_train.npz`` and ``easy_vqa_test.npz``: arrays ``images``,
            ``question``, ``answer`` and ``image_id``.

    Returns:
        "train" and "test".

    Raises:
        JaxnetsError: a file is missing or holds something else.

    Source: Zhou 2019 (easy-VQA), https://github.com/vzhou842/easy-VQA.

    >>> read_easy_vqa("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: no easy-VQA in /nowhere: easy_vqa_train.npz is missing; ...
    """
    found = {}
    for split in ("train", "test"):
        path = Path(folder) / f"easy_vqa_{split}.npz"
        if not path.exists():
            raise JaxnetsError(
                f"no easy-VQA in {folder}: {path.name} is missing; expected easy_vqa_train.npz and "
                "easy_vqa_test.npz"
            )
        try:
            with np.load(path) as file:
                arrays = {key: file[key] for key in ("images", "question", "answer", "image_id")}
        except (OSError, ValueError, KeyError) as error:
            raise JaxnetsError(f"{path} is no easy-VQA: {printable(error)}") from None
        rows = arrays["image_id"].astype(np.int64)
        if len(rows) and rows.max() >= len(arrays["images"]):
            raise JaxnetsError(f"{path}: a question is about picture {rows.max()}, which is none")
        answers = [(str(answer),) for answer in arrays["answer"]]
        texts = [str(text) for text in arrays["question"]]
        found[split] = Questions(arrays["images"], rows, texts, answers)
    return found


def read_vqa(
    questions: str | Path, annotations: str | Path, folder: str | Path, *, size: int = 224
) -> Questions:
    """Questions and annotations as the VQA challenge publishes them, both versions.

    Args:
        questions: JSON with ``questions``: ``question_id``, ``image_id`` and ``question``.
        annotations: JSON with ``annotations``: ``question_id`` and ``answers``, each with an
            ``answer``; ten people were asked.
        folder: of the pictures; a file belongs to the image whose number ends its name, such as
            ``COCO_train2014_000000000009.jpg``.
        size: side of the square that pictures are cut to.

    Returns:
        `Questions`, in the order of the file.

    Raises:
        JaxnetsError: a file that cannot be read or holds something else, a question without
            annotation or picture.

    Source: Antol et al. 2015 (VQA: Visual Question Answering); Goyal et al. 2017 (version 2).

    >>> read_vqa("/nowhere.json", "/nowhere.json", "/")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: cannot read /nowhere.json: ...
    """
    asked, annotated = _entries(questions, "questions"), _entries(annotations, "annotations")
    try:
        said = {
            entry["question_id"]: tuple(str(one["answer"]) for one in entry["answers"])
            for entry in annotated
        }
        about = [(e["question_id"], int(e["image_id"]), str(e["question"])) for e in asked]
    except (KeyError, TypeError, ValueError) as error:
        raise JaxnetsError(
            f"{questions} or {annotations} lacks {printable(error)}; expected question_id, "
            "image_id, question, and answers with an answer each"
        ) from None
    files = {}
    for path in sorted(Path(folder).glob("*.*")):
        digits = path.stem[len(path.stem.rstrip("0123456789")) :]
        if digits:
            files[int(digits)] = path
    numbers = sorted({image for _, image, _ in about})
    if lost := [image for image in numbers if image not in files]:
        raise JaxnetsError(
            f"{folder}: no picture of image {lost[0]} ({len(lost)} are missing); expected files "
            "whose names end with the image's number"
        )
    if lost := [question for question, _, _ in about if not said.get(question)]:
        raise JaxnetsError(f"{annotations}: nobody answered question {lost[0]}")
    row = {image: number for number, image in enumerate(numbers)}
    return Questions(
        Pictures([files[image] for image in numbers], size),
        np.array([row[image] for _, image, _ in about]),
        [text for _, _, text in about],
        [said[question] for question, _, _ in about],
    )


def _entries(path: str | Path, key: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JaxnetsError(f"cannot read {path}: {printable(error)}") from None
    entries = found.get(key) if isinstance(found, dict) else None
    if not isinstance(entries, list) or not entries:
        raise JaxnetsError(f"{path}: no {key!r}; expected a file of the VQA challenge")
    return entries


_SHAPES = ("circle", "square")
_COLORS = {"red": (220, 30, 30), "green": (20, 200, 40), "blue": (30, 40, 220)}


def drawn_questions(count: int, *, size: int = 16, seed: int = 0) -> Questions:
    """Pictures of one circle or square in one color, with three questions about each.

    Args:
        count: of pictures.
        size: side of a picture, in pixels.
        seed: of the draw.

    Returns:
        `Questions`; each has one answer.

    >>> asked = drawn_questions(2)
    >>> asked.texts[:2], len(asked.answers)
    (['what color is the shape?', 'what shape is in the image?'], 6)
    """
    draw = np.random.default_rng(seed)
    pictures = np.full((count, size, size, 3), 235, np.uint8)
    texts, answers = [], []
    y, x = np.mgrid[:size, :size]
    for picture in pictures:
        shape, color, other = draw.choice(_SHAPES), draw.choice([*_COLORS]), draw.choice([*_COLORS])
        radius = draw.uniform(0.18, 0.3) * size
        middle = draw.uniform(radius, size - radius, 2)
        away = np.abs(np.stack((y - middle[0], x - middle[1])))
        inside = np.hypot(*away) <= radius if shape == "circle" else away.max(0) <= radius
        picture[inside] = _COLORS[str(color)]
        texts += ["what color is the shape?", "what shape is in the image?"]
        texts.append(f"is there a {other} shape?")
        answers += [(str(color),), (str(shape),), ("yes" if color == other else "no",)]
    return Questions(pictures, np.repeat(np.arange(count), 3), texts, answers)
