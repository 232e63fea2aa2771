"""Describing pictures: features of places, the task with its terms of attention, one caption."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import ArraySource
from jaxnets.data.buckets import SequencePairs
from jaxnets.data.captions import Captions
from jaxnets.data.image_file import read_image
from jaxnets.data.text import END, START, TextTokenizer
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy, doubly_stochastic, drawn_attention_loss
from jaxnets.metrics import corpus_bleu
from jaxnets.ops import adaptive_avg_pool
from jaxnets.pretrained import load, network_of_file
from jaxnets.pretrained.preprocess import preprocessing
from jaxnets.tasks.writing import write
from jaxnets.train.task import Task

SEES = {"sequence": "source"}


class PlaceFeatures:
    """Pictures → features of a grid of places, by a published network that stays as it is.

    Args:
        weights: a file of the network's weights; None for the pixels of 4×4 patches with row and
            column, which is enough for drawn pictures.
        network: a name of `jaxnets.list_models()`; may be left out where the file says it.
        grid: places in a row and in a column, of the network's last map.
        moments: without weights, the pixels times row and column in place of those, so that the
            mean of all patches, which is all that some networks see, says what is where.

    Each picture's features are divided by their root mean square.

    Raises:
        JaxnetsError: a file that does not say its network, a network without a file, or as
            `jaxnets.pretrained.load`.

    >>> PlaceFeatures()(np.zeros((2, 16, 16, 3), np.uint8)).shape
    (2, 16, 50)
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        network: str | None = None,
        grid: int = 7,
        moments: bool = False,
    ):
        self.network, self.grid, self.moments = network, grid, moments
        # What a run must go on to see by.
        self.name = f"patches and their {'moments' if moments else 'places'}"
        if weights is None:
            if network is not None:
                raise JaxnetsError(f"network: got {network} without a file of its weights")
            return
        self.network = network or network_of_file(weights)
        if self.network is None:
            raise JaxnetsError(f"{weights} does not say whose weights it has; expected a network")
        self.name = self.network
        model, variables = load(self.network, weights, num_classes=None)
        self._prepare = preprocessing(self.network)
        mean, std = (jnp.asarray(x, jnp.float32) for x in (self._prepare.mean, self._prepare.std))

        @jax.jit
        def places(pictures):
            x = (pictures.astype(jnp.float32) / 255 - mean) / std
            found = list(model.apply(variables, x, train=False).values())[-1]
            return adaptive_avg_pool(found, (grid, grid)).reshape(len(x), grid * grid, -1)

        self._places = places

    def read(self, file: str | Path) -> np.ndarray:
        """A photograph's file as uint8 (H, W, 3), cut as the network wants it."""
        return read_image(file, 16) if self.network is None else self._prepare.read(file)

    def __call__(self, pictures: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
        """Features (N, places, D) of pictures uint8 (N, H, W, 3)."""
        if self.network is None:
            cut = pictures.reshape(len(pictures), 4, pictures.shape[1] // 4, 4, -1, 3)
            found = cut.transpose(0, 1, 3, 2, 4, 5).reshape(len(pictures), 16, -1) / 127.5 - 1.0
            side = np.linspace(-1, 1, 4)
            where = [axis.reshape(16, 1) for axis in np.meshgrid(side, side, indexing="ij")]
            one = found if self.moments else np.ones((len(found), 16, 1))
            found = np.concatenate((found, *(one * x for x in where)), -1).astype(np.float32)
        else:
            parts = []
            for start in range(0, len(pictures), batch_size):
                part = pictures[start : start + batch_size]
                # One shape, so that it is compiled once.
                full = np.concatenate((part, np.zeros_like(pictures[:1]).repeat(
                    batch_size - len(part), 0)))  # fmt: skip
                parts.append(np.asarray(self._places(full))[: len(part)])
            found = np.concatenate(parts)
        size = np.sqrt((found**2).mean((1, 2), keepdims=True))
        return found / np.maximum(size, 1e-6)


def with_attention_terms(
    task: Task, *, stochastic: float = 1.0, hard: bool = False, entropy: float = 0.002
) -> Task:
    """A task of writing whose loss also says how the network should look.

    Soft attention: + λ · mean over places of (1 − Σ_t α_tl)². Hard attention, besides: the places
    that were drawn learn by `jaxnets.losses.drawn_attention_loss`, with the mean of the batch's
    other captions as baseline, less an entropy of the weights. All are per word.

    Args:
        task: of `jaxnets.tasks.writing.sequence_to_sequence`.
        stochastic: λ.
        hard: whether places were drawn.
        entropy: λ_e.

    Returns:
        The task; networks without attention are trained as before.

    Source: Xu et al. 2015 (Show, Attend and Tell), §4.

    >>> from jaxnets.tasks.writing import sequence_to_sequence
    >>> with_attention_terms(sequence_to_sequence(reads=SEES)).mutable
    ('attention', 'choices')
    """

    def loss(outputs, updates, batch):
        value, metrics = task.loss(outputs, updates, batch)
        mask = jnp.asarray(batch["target_mask"]).astype(bool)
        found = jax.tree.leaves(dict(updates).get("attention", {}))
        if not found:
            return value, metrics
        (weights,) = found
        if hard:
            (chance,) = jax.tree.leaves(updates["choices"])
            losses = cross_entropy(outputs, batch["targets"], weights=mask, reduction="none")
            count = jnp.maximum(mask.sum(-1), 1)
            likelihood = -losses.sum(-1)
            a_word = jax.lax.stop_gradient(likelihood) / count
            others = (a_word.sum() - a_word) / max(1, len(a_word) - 1)
            drawn = jnp.where(mask, chance, 0.0).sum(-1)
            words = mask.sum() / len(a_word)
            value = drawn_attention_loss(likelihood, drawn, baseline=others * count) / words
            spread = -(weights * jnp.log(jnp.maximum(weights, 1e-30))).sum(-1)
            value = value - entropy * jnp.where(mask, spread, 0.0).sum() / mask.sum()
        return value + stochastic * doubly_stochastic(weights, mask) / weights.shape[-1], metrics

    return task._replace(loss=loss, mutable=("attention", "choices"))


def encode_captions(
    captions: Captions, tokenizer: TextTokenizer, *, buckets: int = 3, each: int | None = None
) -> SequencePairs:
    """Pictures' features as sources, and their captions as targets, in buckets.

    Args:
        captions: with ``pictures`` (N, places, D), see `PlaceFeatures`.
        tokenizer: of the words.
        buckets: of lengths; each is compiled once.
        each: captions of each picture that are taken; None for all.

    Returns:
        The source of batches, all captions of a picture behind each other.

    >>> from jaxnets.data.captions import drawn_captions
    >>> from jaxnets.data.text import train_tokenizer
    >>> drawn = drawn_captions(2)
    >>> words = train_tokenizer([t for texts in drawn.texts for t in texts], 99, kind="word")
    >>> seen = Captions(PlaceFeatures()(drawn.pictures), drawn.texts)
    >>> encode_captions(seen, words).take(np.array([0]))["sequence"].shape
    (1, 16, 50)
    """
    sources, targets = [], []
    for picture, texts in zip(captions.pictures, captions.texts, strict=True):
        for text in texts[:each]:
            sources.append(picture)
            targets.append(tokenizer.encode(text))
    lengths = np.array([len(target) for target in targets])
    shares = np.linspace(0, 1, buckets + 1)[1:]
    bounds = sorted({int(np.quantile(lengths, share, method="higher")) for share in shares})
    return SequencePairs(sources, targets, tuple((len(sources[0]), bound) for bound in bounds))


def bleu_scores(
    written: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, float | str]:
    """BLEU-1 to BLEU-4 of captions, by sacreBLEU on words with spaces between them.

    Args:
        written: (N,) captions.
        references: (N,) of each picture several.

    Returns:
        ``bleu1`` … ``bleu4`` and ``signature``.

    Raises:
        JaxnetsError: sacreBLEU is not installed.

    >>> found = bleu_scores(["a dog runs in snow"], [["a dog runs in snow", "a dog"]])
    >>> round(found["bleu4"]), found["signature"].split("|")[0]
    (100, 'nrefs:2')
    """
    # A text without any word would not count as a hypothesis.
    written = [text or "." for text in written]
    found: dict[str, float | str] = {}
    for order in (1, 2, 3, 4):
        bleu = corpus_bleu(written, references, tokenize="none", order=order)
        found |= {f"bleu{order}": bleu.score, "signature": bleu.signature}
    return found


def describe(
    model: nn.Module,
    variables: Mapping[str, Any],
    tokenizer: TextTokenizer,
    places: np.ndarray,
    *,
    longest: int = 20,
    beams: int = 1,
) -> tuple[str, np.ndarray | None]:
    """Describe one picture.

    Args:
        model: the network.
        variables: its parameters.
        tokenizer: that it was trained with.
        places: (L, D), features of the picture's places.
        longest: words at most.
        beams: 1 for the likeliest word at each step.

    Returns:
        (the caption, weights (words and end, L) of the attention or None where there is none).

    >>> from jaxnets.data.text import train_tokenizer
    >>> from jaxnets.models.sequence import AttendingCaptioner
    >>> words, places = train_tokenizer(["a b"], 9, kind="word", min_frequency=1), np.ones((4, 3))
    >>> model = AttendingCaptioner(words.size, 2, 2)
    >>> variables = model.init(jax.random.key(0), places[None], np.ones((1, 1), int))
    >>> text, weights = describe(model, variables, words, places, longest=3)
    >>> weights.shape[1]
    4
    """
    source = ArraySource({"sequence": np.asarray(places, np.float32)[None]})
    limits: dict[str, Any] = {"reads": SEES, "max_length": longest, "beams": beams}
    (made,) = write(model.apply, variables, source, **limits)
    said = [int(token) for token in made if token != END]
    target = np.array([[START, *said]])
    apply: Callable[..., Any] = model.apply
    _, stored = apply(variables, source.arrays["sequence"], target, mutable=["attention"])
    found = jax.tree.leaves(stored)
    return tokenizer.decode(said), np.asarray(found[0][0]) if found else None
