"""Letters to phonemes with the published weights of g2p_en: any words, or a dictionary's.

Command:  python -m experiments.sequence.pronounce --weights checkpoint20.npz --input activationist
Time:     seconds; with 600 words of a dictionary under a minute on two CPU cores.
Result:   "activationist" is AE2 K T IH0 V EY1 SH AH0 N IH0 S T; of 600 words drawn from CMUdict
          about two in three are exact (--dictionary cmudict.dict), one phoneme in ten is wrong.
"""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import command, ops
from jaxnets.data import pad_sequences
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import EncoderDecoder
from jaxnets.pretrained.sequence_files import GRAPHEMES, PHONEMES, SequenceNetwork, load_g2p
from jaxnets.study.statistics import share_interval
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to pronounce.

    Attributes:
        weights: g2p_en's checkpoint20.npz; None for random weights, which show only that it runs.
        input: words to pronounce.
        dictionary: lines such as "abandon AH0 B AE1 N D AH0 N", more pronunciations of a word as
            "word(2) …", comments after #.
        words: how many words of the dictionary to draw.
        beams: 1 for the likeliest phoneme at each step.
        length_penalty: of beam search.
        seed: of the draw.
        workdir: where summary.json goes.
    """

    weights: Path | None = None
    input: tuple[str, ...] = ("activationist",)
    dictionary: Path | None = None
    words: int = 600
    beams: int = 1
    length_penalty: float = 0.0
    seed: int = 0
    workdir: Path = Path("runs/pronounce")


def smoke() -> Config:
    """Random weights, two words, two beams."""
    return Config(input=("a", "be"), beams=2)


def random_network() -> SequenceNetwork:
    """The network with a few units and random weights."""
    model, one = (
        EncoderDecoder(len(GRAPHEMES), len(PHONEMES), 4, cell="gru"),
        jnp.zeros((1, 1), int),
    )
    return SequenceNetwork(model, model.init(jax.random.key(0), one, one), GRAPHEMES, PHONEMES)


def read_dictionary(path: Path) -> dict[str, list[str]]:
    """All pronunciations of each word that consists of letters alone."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, sounds = line.partition("#")[0].strip().partition(" ")
        word = re.sub(r"\(\d+\)$", "", word).lower()
        if re.fullmatch("[a-z]+", word) and sounds:
            found.setdefault(word, []).append(" ".join(sounds.split()))
    if not found:
        raise JaxnetsError(f"{path}: no line like 'abandon AH0 B AE1 N D AH0 N'")
    return found


def pronounce(network: SequenceNetwork, words: list[str], config: Config) -> list[str]:
    """The phonemes of each word, spaces between them."""
    if wrong := [word for word in words if not re.fullmatch("[a-z]+", word)]:
        raise JaxnetsError(f"input: {wrong[0]!r}; expected letters a to z alone")
    letters = {letter: number for number, letter in enumerate(network.source)}
    stop, start = letters["</s>"], network.target.index("<s>")
    source, mask = pad_sequences([[*(letters[c] for c in word), stop] for word in words])
    end, model = network.target.index("</s>"), network.model

    @jax.jit
    def decode(variables, source, mask):
        carry = model.apply(variables, source, mask, method="encode")
        step = partial(model.apply, variables, method="step")
        starts = jnp.full(source.shape[0], start)
        limits = {"end": end, "max_length": 20}
        if config.beams == 1:
            return ops.greedy(step, carry, starts, **limits)
        penalty = config.length_penalty
        found = ops.beam_search(
            step, carry, starts, **limits, beams=config.beams, length_penalty=penalty
        )
        return jax.tree.map(lambda leaf: leaf[:, 0], found)

    tokens = np.asarray(decode(network.variables, source, mask).tokens)
    return [" ".join(network.target[t] for t in row if t != end) for row in tokens]


def edits(a: list[str], b: list[str]) -> int:
    """Insertions, deletions and substitutions that make one of the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def main(config: Config) -> dict:
    """Pronounce the input, and count how many words of the dictionary are right."""
    write_settings(config)
    network = load_g2p(config.weights) if config.weights else random_network()
    words = [word.lower() for word in config.input]
    result: dict = {"input": dict(zip(words, pronounce(network, words, config), strict=True))}
    for word, sounds in result["input"].items():
        print(f"{word}: {sounds}")
    if config.dictionary:
        known = read_dictionary(config.dictionary)
        draw = np.random.default_rng(config.seed).permutation(sorted(known))[: config.words]
        made = pronounce(network, draw.tolist(), config)
        rows = [(sounds, known[word]) for word, sounds in zip(draw, made, strict=True)]
        exact = [sounds == there[0] for sounds, there in rows]
        wrong = [edits(sounds.split(), there[0].split()) for sounds, there in rows]
        share = share_interval(exact)
        result |= {
            "words": len(draw),
            "exact": float(np.mean(exact)),
            "exact_interval": [share.low, share.high],
            "one_of_several": float(np.mean([sounds in there for sounds, there in rows])),
            "phoneme_error_rate": sum(wrong) / sum(len(there[0].split()) for _, there in rows),
        }
        print(f"exact {result['exact']:.2%}, phonemes wrong {result['phoneme_error_rate']:.2%}")
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
