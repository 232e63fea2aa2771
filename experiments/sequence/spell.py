"""Listen, attend and spell: spoken digits, alone and three in a row, become letters.

Command:  python -m experiments.sequence.spell --dataset fsdd.flac
          python -m experiments.sequence.spell --input recording.wav
Time:     about ten CPU minutes.
Result:   summary.json: the share of single digits and of strings of three that are spelled without
          a fault, word and character error rates; see docs/results.md; attention.png.

Without --dataset it learns tones that stand for the digits. --input spells by the run in --workdir.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from jaxnets import command, train
from jaxnets.data.sound import read_sound, read_spoken_digits, tone_digits
from jaxnets.data.text import TextTokenizer, load_tokenizer
from jaxnets.models.sequence import Speller
from jaxnets.study.attention_figures import draw_attention
from jaxnets.study.figures import save_figure
from jaxnets.tasks.spelling import MELS, digit_strings, letters_of_digits, spell
from jaxnets.tasks.spelling_training import train_speller


@dataclass(frozen=True)
class Config(train.RunOptions):
    """What to learn.

    Attributes:
        dataset: fsdd.flac with fsdd_meta.npz beside it; None for tones.
        input: sound files to spell by the run in ``workdir``; nothing is trained then.
        strings: of three digits each, made of the training recordings, a set as large as the single
            digits; of the test's recordings a tenth as many.
        features, embedding, pyramid, dropout: of the network.
        sampling: how often, at the end, a letter that it drew itself is fed in training.
        epochs, batch_size, learning_rate, seed: of training.
        buckets: of lengths; each is compiled once.
        beams: of the search in the test.
        workdir: where the run lives.
    """

    dataset: Path | None = None
    input: tuple[Path, ...] = ()
    strings: int = 3000
    features: int = 96
    embedding: int = 32
    pyramid: int = 3
    dropout: float = 0.2
    sampling: float = 0.0
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 3e-3
    seed: int = 0
    buckets: int = 3
    beams: int = 1
    workdir: Path = Path("runs/spell")


def smoke() -> Config:
    """A few tones."""
    return Config(
        strings=20,
        features=4,
        embedding=4,
        pyramid=1,
        epochs=1,
        batch_size=16,
        buckets=1,
        devices=1,
    )


def build(config: Config, letters: TextTokenizer) -> Speller:
    """The network."""
    return Speller(
        MELS, letters.size, config.features, config.embedding, "lstm", config.dropout,
        pyramid=config.pyramid,
    )  # fmt: skip


def train_network(config: Config) -> dict:
    """Train or go on, then spell the test's recordings."""
    digits = read_spoken_digits(config.dataset) if config.dataset else tone_digits()
    letters = letters_of_digits()
    model = build(config, letters)
    names = ("features", "embedding", "pyramid", "dropout")
    fitted = train_speller(
        model,
        digits,
        letters,
        options=config,
        strings=config.strings,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        sampling=config.sampling,
        seed=config.seed,
        buckets=config.buckets,
        beams=config.beams,
        settings={name: asdict(config)[name] for name in names},
    )
    if fitted.variables:
        (wave,), _ = digit_strings(digits, np.flatnonzero(digits.test), 1, 3, seed=4)
        show(model, fitted.variables, wave, letters, config)
    return fitted.summary


def show(model, variables, wave: np.ndarray, letters: TextTokenizer, config: Config) -> str:
    """Spell a sound and draw where the network listened."""
    said, weights = spell(model, variables, wave, letters, beams=config.beams)
    names = [*said, "</s>"] if len(weights) == len(said) + 1 else None
    save_figure(draw_attention(weights, queries=names), config.workdir / "attention.png")
    print(f"→ {said}")
    return said


def main(config: Config) -> dict:
    """Train, or spell the input."""
    if not config.input:
        return train_network(config)
    found = train.reopen(config.workdir)
    path = config.workdir / "letters.json"
    letters = load_tokenizer(path, fingerprint=found.meta.get("letters"))
    model, waves = build(config, letters), [read_sound(path, 8000) for path in config.input]
    said = [show(model, found.variables, wave, letters, config) for wave in waves]
    return {"input": dict(zip(map(str, config.input), said, strict=True))}


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
