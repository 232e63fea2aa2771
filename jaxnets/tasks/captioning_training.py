"""Training of a network that describes pictures."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxnets.data.captions import Captions
from jaxnets.data.text import TextTokenizer
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import cider
from jaxnets.tasks.captioning import SEES, bleu_scores, encode_captions, with_attention_terms
from jaxnets.tasks.small_training import workdir_of
from jaxnets.tasks.writing import write
from jaxnets.tasks.writing_training import train_writer
from jaxnets.train import RunOptions
from jaxnets.train.run import Fitted


def train_captioner(
    model: nn.Module,
    captions: Mapping[str, Captions],
    tokenizer: TextTokenizer,
    *,
    options: RunOptions,
    stochastic: float = 1.0,
    hard: bool = False,
    sampling: float = 0.0,
    epochs: int = 12,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    label_smoothing: float = 0.0,
    seed: int = 0,
    longest: int = 20,
    beams: int = 5,
    settings: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Fitted:
    """Train a network to describe pictures, choose by BLEU of what it writes freely, and test it.

    The recipe is that of `jaxnets.tasks.writing_training.train_writer`.

    Args:
        model: such as `jaxnets.models.sequence.AttendingCaptioner`.
        captions: "train", "validation" and "test", with features in place of pictures, see
            `jaxnets.tasks.captioning.PlaceFeatures`.
        tokenizer: of the words; it is saved with the run, as ``vocabulary.json``.
        options: how the run is carried out; its ``workdir`` holds the run.
        stochastic, hard: see `jaxnets.tasks.captioning.with_attention_terms`.
        sampling: of `train_writer`; hard attention cannot have it.
        epochs: passes over the captions.
        batch_size: captions an update.
        learning_rate: the greatest.
        label_smoothing: of the training loss.
        seed: of weights, order, dropout and drawn places.
        longest: words at most.
        beams: of the search in the test, beside the greedy one.
        settings: further JSON values that decide what is learned.
        meta: JSON values to keep with the parameters.

    Returns:
        `jaxnets.train.run.Fitted`; its summary has ``test_bleu1`` … ``test_bleu4`` of the greedy
        search, ``test_beam_bleu1`` … of the beam search, ``test_exchanged_bleu1`` … where each
        picture is described by what was written to the one before, and sacreBLEU's ``signature``;
        where pycocoevalcap is installed ``test_cider``, ``test_beam_cider`` and
        ``test_exchanged_cider`` (`jaxnets.metrics.cider`).

    Raises:
        JaxnetsError: as `jaxnets.train.fit`.
        ValueError: hard attention and sampling together.

    >>> train_captioner(None, {}, None, options=RunOptions())
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: workdir: got none; a run needs a directory, --workdir DIRECTORY
    """
    workdir = workdir_of(options)
    if hard and sampling:
        raise ValueError("sampling: got some; hard attention learns from the true words alone")
    source = encode_captions(captions["train"], tokenizer)
    held_out, test = (
        encode_captions(captions[split], tokenizer, buckets=1, each=1)
        for split in ("validation", "test")
    )

    def texts(written) -> list[str]:
        return [tokenizer.decode(tokens) for tokens in written]

    def score(written) -> dict[str, float]:
        return {"bleu": float(bleu_scores(texts(written), captions["validation"].texts)["bleu4"])}

    def summarize(fitted: Fitted) -> dict[str, Any]:
        tokenizer.save(workdir / "vocabulary.json")
        found: dict[str, Any] = dict(fitted.measured)
        limits: dict[str, Any] = {"reads": SEES, "max_length": longest}
        greedy = write(model.apply, fitted.variables, test, **limits)
        beam = write(model.apply, fitted.variables, test, beams=beams, **limits)
        exchanged = [*greedy[-1:], *greedy[:-1]]
        lines = {"": texts(greedy), "beam_": texts(beam), "exchanged_": texts(exchanged)}
        for name, made in lines.items():
            for kind, value in bleu_scores(made, captions["test"].texts).items():
                found["signature" if kind == "signature" else f"test_{name}{kind}"] = value
        try:
            for name, made in lines.items():
                found[f"test_{name}cider"] = cider(made, captions["test"].texts)
        except JaxnetsError as lacking:
            print(f"note: {lacking}")
        (workdir / "test_beam.txt").write_text("\n".join(lines["beam_"]) + "\n", encoding="utf-8")
        return found

    return train_writer(
        model,
        source,
        held_out,
        options=options,
        score=score,
        monitor="bleu",
        longest=longest,
        reads=SEES,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        label_smoothing=label_smoothing,
        sampling=sampling,
        adapt=lambda task: with_attention_terms(task, stochastic=stochastic, hard=hard),
        seed=seed,
        settings={
            "vocabulary": tokenizer.fingerprint,
            "stochastic": stochastic,
            "hard": hard,
            **(settings or {}),
        },
        meta={"vocabulary": tokenizer.fingerprint, **(meta or {})},
        summarize=summarize,
    )
