"""Photographs are described, by a network that looks at a place of the picture for each word.

Command:  python -m experiments.sequence.caption --dataset flickr8k_1000.tar.gz \\
              --weights compressed_SqueezeNet.net
          python -m experiments.sequence.caption --dataset flickr8k_1000.tar.gz \\
              --weights compressed_SqueezeNet.net --network hard --workdir runs/hard
          python -m experiments.sequence.caption --weights compressed_SqueezeNet.net \\
              --input photo.jpg
Time:     a few minutes on two idle cores.
Result:   summary.json: BLEU-1 to BLEU-4 and CIDEr of the test, greedy and by beam search, and of
          captions of other pictures; see docs/results.md; attention.png.

--weights are those of the network that sees, which stays as it is. Without --dataset and --weights
it learns drawn pictures. --input describes by the run in --workdir.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import flax.linen as nn
import numpy as np

from jaxnets import command, train
from jaxnets.data.captions import Captions, drawn_captions, read_flickr8k
from jaxnets.data.text import TextTokenizer, load_tokenizer, train_tokenizer
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import AttendingCaptioner, Captioner
from jaxnets.study.attention_figures import draw_attention
from jaxnets.study.figures import save_figure
from jaxnets.tasks.captioning import PlaceFeatures, describe
from jaxnets.tasks.captioning_training import train_captioner


@dataclass(frozen=True)
class Config(train.RunOptions):
    """What to learn.

    Attributes:
        dataset: Flickr8k, a folder or .tar.gz; None for drawn pictures.
        weights: of the network that sees; None for the pixels of patches.
        model: the network that sees, where the file does not say it.
        grid: places in a row and in a column.
        input: pictures to describe by the run in ``workdir``; nothing is trained then.
        network: "attend" (soft attention), "hard" (a place is drawn) or "first" (the picture is the
            first input).
        features, embedding, dropout: of the network.
        stochastic: weight of the term that all places be looked at.
        sampling: how often, at the end, a word that it drew itself is fed in training.
        min_frequency: of a word in the captions; rarer ones are unknown.
        epochs, batch_size, learning_rate, label_smoothing, seed: of training.
        longest: words at most.
        beams: of the search.
        workdir: where the run lives.
    """

    dataset: Path | None = None
    weights: Path | None = None
    model: str | None = None
    grid: int = 7
    input: tuple[Path, ...] = ()
    network: Literal["attend", "hard", "first"] = "attend"
    features: int = 256
    embedding: int = 128
    dropout: float = 0.5
    stochastic: float = 1.0
    sampling: float = 0.0
    min_frequency: int = 3
    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 2e-3
    label_smoothing: float = 0.0
    seed: int = 0
    longest: int = 20
    beams: int = 5
    workdir: Path = Path("runs/caption")


def smoke() -> Config:
    """A few drawn pictures."""
    return Config(features=4, embedding=4, epochs=1, batch_size=16, longest=9, devices=1)


def build(config: Config, words: TextTokenizer) -> nn.Module:
    """The network."""
    sizes, rest = (words.size, config.features, config.embedding), {"dropout": config.dropout}
    if config.network == "first":
        return Captioner(*sizes, **rest)
    return AttendingCaptioner(*sizes, hard=config.network == "hard", **rest)


def show(config: Config, found: train.Reopened, see: PlaceFeatures, picture: np.ndarray) -> str:
    """Describe a picture, and draw where the network looked for each word."""
    path = config.workdir / "vocabulary.json"
    words = load_tokenizer(path, fingerprint=found.meta["vocabulary"])
    limits = {"longest": config.longest, "beams": config.beams}
    (places,), model = see(picture[None]), build(config, words)
    text, weights = describe(model, found.variables, words, places, **limits)
    if weights is not None:
        names = [*text.split(), "</s>"]
        side = int(weights.shape[1] ** 0.5)
        fits = names if len(names) == len(weights) else None
        figure = draw_attention(weights, queries=fits, keys=picture / 255, grid=(side, side))
        save_figure(figure, config.workdir / "attention.png")
    print(f"→ {text}")
    return text


def main(config: Config) -> dict:
    """Train, or describe the input."""
    options = {"grid": config.grid, "moments": config.network == "first"}
    see = PlaceFeatures(config.weights, network=config.model, **options)
    if config.input:
        found = train.reopen(config.workdir)
        if found.meta["sees"] != see.name:
            raise JaxnetsError(
                f"{config.workdir} sees by {found.meta['sees']}, not by {see.name}: give its "
                "--weights, or train anew where it has none"
            )
        said = [show(config, found, see, see.read(path)) for path in config.input]
        return {"input": dict(zip(map(str, config.input), said, strict=True))}
    if config.dataset:
        splits = read_flickr8k(config.dataset, read=see.read)
    else:
        sizes = {"train": 400, "validation": 40, "test": 40}
        splits = {name: drawn_captions(n, seed=s) for s, (name, n) in enumerate(sizes.items())}
    texts = [text for several in splits["train"].texts for text in several]
    words = train_tokenizer(texts, 20_000, kind="word", min_frequency=config.min_frequency)
    names = ("network", "features", "embedding", "dropout", "grid", "beams")
    fitted = train_captioner(
        build(config, words),
        {name: Captions(see(part.pictures), part.texts) for name, part in splits.items()},
        words,
        options=config,
        stochastic=config.stochastic, hard=config.network == "hard", sampling=config.sampling,
        epochs=config.epochs, batch_size=config.batch_size, learning_rate=config.learning_rate,
        label_smoothing=config.label_smoothing, seed=config.seed, longest=config.longest,
        beams=config.beams, meta={"sees": see.name},
        settings={name: asdict(config)[name] for name in names} | {"sees": see.name},
    )  # fmt: skip
    if fitted.variables:
        show(config, train.reopen(config.workdir), see, splits["test"].pictures[0])
    return fitted.summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
