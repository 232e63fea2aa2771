"""Walking by instructions: sentences and walks as a source, training, and a network that walks."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxnets.data import ArraySource, shuffle
from jaxnets.data.buckets import SequencePairs, choose_buckets
from jaxnets.data.sail import Instruction
from jaxnets.data.text import END, START, TextTokenizer
from jaxnets.data.worlds import ACTIONS, World
from jaxnets.models.sequence import Walker
from jaxnets.tasks.small_training import workdir_of
from jaxnets.tasks.writing import READS, write
from jaxnets.tasks.writing_training import train_writer
from jaxnets.train import RunOptions
from jaxnets.train.run import Fitted

WALKS = {**READS, "pose": "pose"}


def encode_walks(
    instructions: Sequence[Instruction], tokenizer: TextTokenizer, *, buckets: int = 2
) -> SequencePairs:
    """Instructions as tokens, and their actions as targets, in buckets.

    Args:
        instructions: (N,).
        tokenizer: of the words.
        buckets: how many; each is compiled once.

    Returns:
        The source of batches, with ``pose`` (B,) at the start, ``goal`` (B,) at the end, and
        ``row``, the number of the instruction.

    >>> from jaxnets.data.sail import made_up_walks
    >>> from jaxnets.data.text import train_tokenizer
    >>> told = made_up_walks(4)[1]
    >>> words = train_tokenizer([one.sentence for one in told], 50, kind="word", min_frequency=1)
    >>> sorted(encode_walks(told, words).take(np.array([0])))[:2]
    ['goal', 'pose']
    """
    read = tokenizer.encode_all([one.sentence for one in instructions])
    said = [[*one.actions, END] for one in instructions]
    poses = np.array([(one.start, one.end) for one in instructions], np.int32)
    extra = {"pose": poses[:, 0], "goal": poses[:, 1], "row": np.arange(len(read))}
    bounds = choose_buckets([*map(len, read)], [*map(len, said)], buckets)
    return SequencePairs(read, said, bounds, extra=extra)


def arrived(world: World, source: SequencePairs, written: Sequence[np.ndarray]) -> np.ndarray:
    """Whether walks end where they should, facing what they should.

    Args:
        world: that is walked in.
        source: of `encode_walks`.
        written: (N, …) actions for each of its examples.

    Returns:
        (N,) booleans.

    >>> from jaxnets.data.sail import made_up_walks
    >>> from jaxnets.data.text import train_tokenizer
    >>> world, told = made_up_walks(4)
    >>> words = train_tokenizer([one.sentence for one in told], 50, kind="word", min_frequency=1)
    >>> arrived(world, encode_walks(told, words), [one.actions for one in told]).tolist()
    [True, True, True, True]
    """
    ends = [world.walk(p, w) for p, w in zip(source.extra["pose"], written, strict=True)]
    return np.array(ends) == source.extra["goal"]


def hold_out_walks(
    instructions: Sequence[Instruction], count: int = 300
) -> tuple[list[Instruction], list[Instruction]]:
    """Instructions to learn from, and others that none of them asks for on the same spot.

    What is asked from one pose in one sentence is on one side alone; of those that are held out
    each is there once.

    Args:
        instructions: (N,), some of which may ask for the same.
        count: that are held out, at most a fourth of the different ones.

    Returns:
        (instructions to learn from, instructions that are held out).

    >>> from jaxnets.data.sail import made_up_walks
    >>> kept, held = hold_out_walks(made_up_walks(400)[1], 50)
    >>> len(held), {one[1:3] for one in kept} & {one[1:3] for one in held}
    (50, set())
    """
    different = list(dict.fromkeys((one.map, one.start, one.sentence) for one in instructions))
    order = shuffle.permutation(len(different), 0, use=shuffle.VALIDATION)
    chosen = {different[row] for row in order[: max(1, min(count, len(different) // 4))]}
    kept, held = [], {}
    for one in instructions:
        asked = one.map, one.start, one.sentence
        if asked in chosen:
            held[asked] = one
        else:
            kept.append(one)
    return kept, list(held.values())


def train_walker(
    model: Walker,
    training: Sequence[Instruction],
    test: Sequence[Instruction],
    tokenizer: TextTokenizer,
    *,
    options: RunOptions,
    epochs: int = 40,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    seed: int = 0,
    buckets: int = 2,
    longest: int = 30,
    settings: Mapping[str, Any] | None = None,
) -> Fitted:
    """Train a network to walk, choose by walks that arrive, and test it.

    A tenth of the training instructions is held out for choosing. The recipe is that of
    `jaxnets.tasks.writing_training.train_writer`.

    Args:
        model: the network.
        training: instructions to learn from.
        test: others.
        tokenizer: of the words; it is saved with the run, as ``vocabulary.json``.
        options: how the run is carried out; its ``workdir`` holds the run.
        epochs: passes over the training instructions.
        batch_size: instructions an update.
        learning_rate: the greatest.
        seed: of weights, order and dropout.
        buckets: of lengths; each is compiled once.
        longest: actions at most.
        settings: further JSON values that decide what is learned.

    Returns:
        `jaxnets.train.run.Fitted`; its summary has ``test_arrived``, the share of the test's
        walks that end where they should.

    Raises:
        JaxnetsError: as `jaxnets.train.fit`.

    >>> train_walker(None, (), (), None, options=RunOptions())
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: workdir: got none; a run needs a directory, --workdir DIRECTORY
    """
    workdir, world = workdir_of(options), model.world
    source = encode_walks(training, tokenizer, buckets=buckets)
    order = shuffle.permutation(len(source), 0, use=shuffle.VALIDATION)
    held = max(1, len(source) // 10)
    held_out, source = source.subset(np.sort(order[:held])), source.subset(np.sort(order[held:]))

    def summarize(fitted: Fitted) -> dict[str, Any]:
        tokenizer.save(workdir / "vocabulary.json")
        pairs = encode_walks(test, tokenizer, buckets=buckets)
        made = write(model.apply, fitted.variables, pairs, reads=WALKS, max_length=longest)
        right = arrived(world, pairs, made)
        return {**fitted.measured, "test_arrived": float(right.mean()), "test_walks": len(right)}

    def score(written):
        return {"arrived": float(arrived(world, held_out, written).mean())}

    return train_writer(
        model,
        source,
        held_out,
        options=options,
        score=score,
        monitor="arrived",
        longest=longest,
        reads=WALKS,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        settings={"vocabulary": tokenizer.fingerprint, **(settings or {})},
        meta={"vocabulary": tokenizer.fingerprint},
        summarize=summarize,
    )


def follow(
    model: Walker, variables: Any, tokenizer: TextTokenizer, sentence: str, pose: int, longest: int
) -> tuple[list[str], int, np.ndarray]:
    """Walk by one sentence.

    Args:
        model: the network.
        variables: its parameters.
        tokenizer: that it was trained with.
        sentence: the instruction.
        pose: number of the pose at the start.
        longest: actions at most.

    Returns:
        (names of the actions with the stop, number of the pose at the end, weights (actions, words)
        of the attention).

    Raises:
        JaxnetsError: a sentence without words.

    >>> from jaxnets.data.sail import made_up_walks
    >>> from jaxnets.data.text import train_tokenizer
    >>> words = train_tokenizer(["turn left"], 9, kind="word", min_frequency=1)
    >>> model, one = Walker(words.size, 2, made_up_walks(1)[0]), np.ones((1, 1), int)
    >>> variables = model.init(jax.random.key(0), one, one[0], one)
    >>> actions, _, weights = follow(model, variables, words, "turn left", 0, 4)
    >>> weights.shape == (len(actions), 3)
    True
    """
    read = np.array([tokenizer.encode(sentence)], np.int32)
    source = ArraySource(
        {"tokens": read, "token_mask": np.ones(read.shape, bool), "pose": np.array([pose])}
    )
    (made,) = write(model.apply, variables, source, reads=WALKS, max_length=longest)
    names = {number: name for name, number in ACTIONS.items()}
    said = [int(token) for token in made if token != END][:longest]
    target = np.array([[START, *said]])
    _, stored = model.apply(variables, read, np.array([pose]), target, mutable=["attention"])
    (weights,) = jax.tree.leaves(stored)
    return [*(names[a] for a in said), "STOP"], model.world.walk(pose, said), np.asarray(weights[0])
