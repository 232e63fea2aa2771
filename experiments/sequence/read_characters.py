"""How well a published character network predicts a text, and what it writes itself.

Command:  python -m experiments.sequence.read_characters --weights charrnn_bronte.tar.gz
Time:     seconds on two CPU cores.
Result:   plain English at about 1.9 bits a character with the weights of ml5's charRNN that read
          Charlotte Brontë; with the gates in another order it would be 23. A sample of its prose.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import command, ops
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.models.sequence import LanguageModel
from jaxnets.pretrained.sequence_files import SequenceNetwork, load_char_rnn
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json

TEXT = (
    "I was glad to see her, and when she had taken off her bonnet we sat down together by the fire "
    "and talked of the old days until it was quite dark."
)


@dataclass(frozen=True)
class Config:
    """What to read and write.

    Attributes:
        weights: of ml5's charRNN, a folder or .tar.gz; None for random ones, to see that it runs.
        input: text to predict, character by character.
        characters: how many to write.
        temperature: of what is written.
        seed: of what is written.
        workdir: where summary.json goes.
    """

    weights: Path | None = None
    input: str = TEXT
    characters: int = 300
    temperature: float = 0.5
    seed: int = 0
    workdir: Path = Path("runs/read_characters")


def smoke() -> Config:
    """Random weights, a short text."""
    return Config(input="ab ba", characters=3)


def random_network() -> SequenceNetwork:
    """Four units that know a few characters."""
    model, characters = LanguageModel(27, 4), tuple(" abcdefghijklmnopqrstuvwxyz")
    variables = model.init(jax.random.key(0), jnp.zeros((1, 1), int))
    return SequenceNetwork(model, variables, characters, characters)


def encode(network: SequenceNetwork, text: str) -> np.ndarray:
    """(1, T) numbers of a text's characters."""
    numbers = {character: number for number, character in enumerate(network.source)}
    if unknown := sorted(set(text) - set(numbers)):
        raise JaxnetsError(f"input: the network knows no {unknown}; it knows {network.source}")
    if len(text) < 2:
        raise JaxnetsError(f"input: {text!r}; expected at least two characters, one to predict")
    return np.array([[numbers[character] for character in text]])


def bits_per_character(network: SequenceNetwork, text: str) -> float:
    """Mean of −log₂ p of every character but the first, given those before."""
    tokens = encode(network, text)
    logits, _ = jax.jit(network.model.apply)(network.variables, tokens[:, :-1])
    loss = cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[0, 1:])
    return float(loss) / math.log(2)


def write(key: jax.Array, network: SequenceNetwork, config: Config) -> str:
    """A continuation of the input."""
    tokens, model = encode(network, config.input), network.model

    @partial(jax.jit, static_argnums=3)
    def continued(key, variables, tokens, length):
        _, carry = model.apply(variables, tokens[:, :-1])
        step = partial(model.apply, variables, method="step")
        # No character ends the text.
        return ops.sample(
            key, step, carry, tokens[:, -1], end=-1, max_length=length,
            temperature=config.temperature,
        )  # fmt: skip

    made = continued(key, network.variables, tokens, config.characters)
    return "".join(network.target[token] for token in np.asarray(made.tokens)[0])


def main(config: Config) -> dict:
    """Predict the input and go on with it."""
    write_settings(config)
    network = load_char_rnn(config.weights) if config.weights else random_network()
    result = {
        "bits_per_character": bits_per_character(network, config.input),
        "characters": len(config.input),
        "written": write(jax.random.key(config.seed), network, config),
    }
    print(f"{result['bits_per_character']:.3f} bits a character\n{result['written']}")
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
