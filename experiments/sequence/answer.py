"""Questions about pictures are answered, by two networks that look where the question leads.

Command:  python -m experiments.sequence.answer --dataset easy_vqa
          python -m experiments.sequence.answer --network glimpses --workdir runs/glimpses
          python -m experiments.sequence.answer --questions questions.json \\
              --annotations annotations.json --pictures train2014 --workdir runs/vqa
          python -m experiments.sequence.answer --input picture.png --question "what color is it?"
Time:     45 CPU seconds an epoch.
Result:   summary.json: the share of right answers, of yes and no and of other kinds, beside what
          one knows without seeing (docs/results.md); attention.png.

--dataset is a folder with easy-VQA; of the VQA challenge's --pictures a tenth is the test. Without
either, pictures are drawn. --input answers by the run in --workdir.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import flax.linen as nn
import numpy as np

from jaxnets import command, train
from jaxnets.data import read_image
from jaxnets.data.questions import Questions, drawn_questions, read_easy_vqa, read_vqa
from jaxnets.data.text import TextTokenizer, load_tokenizer
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import GlimpseAnswerer, PictureGrid, SpatialMemory
from jaxnets.study.attention_figures import draw_attention
from jaxnets.study.figures import save_figure
from jaxnets.tasks.answering import common_answers, question_vocabulary, words_of
from jaxnets.tasks.answering_training import answer, hold_out_pictures, train_answerer


@dataclass(frozen=True)
class Config(train.RunOptions):
    """What to learn.

    Attributes:
        dataset: a folder with easy-VQA; None for drawn pictures.
        questions, annotations, pictures: files of the VQA challenge, and the folder of pictures.
        input: a picture to answer ``question`` about by the run in ``workdir``; nothing is trained.
        question: about the picture.
        network: "memory" (SMem-VQA) or "glimpses" (Show, ask, attend, and answer).
        hops: of "memory".
        features: of words; "glimpses" reads, attends and answers with twice as many.
        widths: channels of the convolutions, which learn with the rest.
        dropout: rate.
        answers: at most, the most frequent ones.
        size: side that pictures of the VQA challenge are cut to.
        drawn: pictures to draw where there is no data set.
        together: questions about one picture that are learned at once.
        epochs, batch_size, learning_rate, seed: of training.
        workdir: where the run lives.
    """

    dataset: Path | None = None
    questions: Path | None = None
    annotations: Path | None = None
    pictures: Path | None = None
    input: Path | None = None
    question: str = "what is in the picture?"
    network: Literal["memory", "glimpses"] = "memory"
    hops: Literal[1, 2] = 2
    features: int = 128
    widths: tuple[int, ...] = (32, 48, 64)
    dropout: float = 0.1
    answers: int = 3000
    size: int = 128
    drawn: int = 1000
    epochs: int = 40
    batch_size: int = 32
    together: int = 10
    learning_rate: float = 1e-3
    seed: int = 0
    workdir: Path = Path("runs/answer")


def smoke() -> Config:
    """A few drawn pictures."""
    return Config(drawn=20, features=4, widths=(4,), epochs=1, batch_size=8, devices=1)


def read_questions(config: Config) -> tuple[Questions, Questions]:
    """Questions to learn from, and those of the test."""
    files = config.questions, config.annotations, config.pictures
    if all(files):
        return hold_out_pictures(read_vqa(*files, size=config.size))
    if any(files):
        raise JaxnetsError("expected --questions, --annotations and --pictures together")
    if config.dataset is None:
        return hold_out_pictures(drawn_questions(config.drawn))
    splits = read_easy_vqa(config.dataset)
    return splits["train"], splits["test"]


def build(config: Config, words: TextTokenizer, answers: int, longest: int) -> nn.Module:
    """The network."""
    see, size = PictureGrid(config.widths), config.features
    if config.network == "memory":
        return SpatialMemory(
            words.size, answers, size, longest, config.hops, config.dropout, see=see
        )
    sizes = 2 * size, size, 2 * size, 2 * size
    return GlimpseAnswerer(words.size, answers, *sizes, dropout=config.dropout, see=see)


def show(config: Config, found: train.Reopened, picture: np.ndarray, question: str) -> dict:
    """Answer a question about a picture, and draw where the network looked."""
    meta, asked = found.meta, words_of(question)
    words = load_tokenizer(config.workdir / "vocabulary.json", fingerprint=meta["vocabulary"])
    answers, longest = meta["answers"], meta["longest"]
    if unknown := words.unknown(asked):
        print(f"note: the network never read {', '.join(unknown)}")
    if len(asked.split()) > longest:
        print(f"note: the first {longest} words are read; no question was longer in training")
    inputs = found.variables, words, answers, picture, question
    said, weights = answer(build(config, words, len(answers), longest), *inputs, longest=longest)
    grid = (int(weights.shape[1] ** 0.5),) * 2
    figure = draw_attention(weights, keys=picture / 255, grid=grid)
    save_figure(figure, config.workdir / "attention.png")
    likely = dict(list(said.items())[:3])
    print(f"{question}\n→", ", ".join(f"{name} {share:.0%}" for name, share in likely.items()))
    return likely


def main(config: Config) -> dict:
    """Train, or answer a question about the input."""
    if config.input:
        found = train.reopen(config.workdir)
        picture = read_image(config.input, found.meta["size"])
        return {"input": show(config, found, picture, config.question)}
    training, test = read_questions(config)
    words, answers = question_vocabulary(training.texts), common_answers(training, config.answers)
    longest = max(len(words_of(text).split()) for text in training.texts)
    names = ("network", "hops", "features", "widths", "dropout")
    fitted = train_answerer(
        build(config, words, len(answers), longest), training, test, words, answers,
        options=config, longest=longest, together=config.together, epochs=config.epochs,
        batch_size=config.batch_size, learning_rate=config.learning_rate, seed=config.seed,
        settings={name: asdict(config)[name] for name in names},
    )  # fmt: skip
    if fitted.variables:
        picture = np.asarray(test.pictures[test.picture[:1]])[0]
        show(config, train.reopen(config.workdir), picture, test.texts[0])
    return fitted.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
