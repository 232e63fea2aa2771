"""Listen, attend and walk: instructions in English become walks through a world of corridors.

Command:  python -m experiments.sequence.walk --dataset sail.tar.gz
          python -m experiments.sequence.walk --dataset sail.tar.gz --input "go to the sofa" \\
              --at "grid 3 5 0"
Time:     a few CPU minutes for each of SAIL's three folds.
Result:   summary.json: the share of walks that end at the right place and facing the right way, on
          the map that was not trained on; see docs/results.md; attention.png.

Without --dataset the instructions are made up, for a square of corridors. --input walks by the run
in --workdir.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from jaxnets import command, train
from jaxnets.data.sail import Instruction, made_up_walks, read_sail
from jaxnets.data.text import TextTokenizer, load_tokenizer, train_tokenizer
from jaxnets.data.worlds import World
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import Walker
from jaxnets.study.attention_figures import draw_attention
from jaxnets.study.figures import save_figure
from jaxnets.tasks.walking import follow, hold_out_walks, train_walker
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config(train.RunOptions):
    """What to learn.

    Attributes:
        dataset: SAIL, a folder or .tar.gz; each map is the test of a network that was trained on
            the other two. None: made-up instructions.
        walks: how many are made up; the test are 300 that ask for what no other asks for on the
            same spot (of few walks a fourth).
        input: instructions to follow by a run; nothing is trained then.
        at: where: map, x, y and degrees (0 is up, 90 right). The network of that map's fold walks.
        features, dropout: of the network.
        epochs, batch_size, learning_rate, seed: of training.
        longest: actions at most.
        workdir: where the runs live, a folder for each fold.
    """

    dataset: Path | None = None
    walks: int = 6000
    input: tuple[str, ...] = ()
    at: str | None = None
    features: int = 128
    dropout: float = 0.4
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0
    longest: int = 30
    workdir: Path = Path("runs/walk")


def smoke() -> Config:
    """A few made-up instructions."""
    return Config(walks=40, features=4, epochs=1, batch_size=16, longest=9, devices=1)


def read_folds(config: Config) -> tuple[World, dict[str, tuple[list, list]]]:
    """The world, and name of a map → (instructions to learn from, instructions to test)."""
    if config.dataset is None:
        world, told = made_up_walks(config.walks)
        return world, {"square": hold_out_walks(told)}
    world, told = read_sail(config.dataset)
    maps = sorted({one.map for one in told})
    return world, {
        name: ([one for one in told if one.map != name], [one for one in told if one.map == name])
        for name in maps
    }


def build(config: Config, world: World, tokenizer: TextTokenizer) -> Walker:
    """The network."""
    return Walker(tokenizer.size, config.features, world, config.dropout)


def show(
    name: str, one: Instruction, world: World, found: train.Reopened, config: Config
) -> list[str]:
    """Follow one instruction by the run of a fold, and draw what it attended to."""
    folder = config.workdir / name
    tokenizer = load_tokenizer(folder / "vocabulary.json", fingerprint=found.meta.get("vocabulary"))
    if unknown := tokenizer.unknown(one.sentence):
        print(f"note: the network never read {', '.join(unknown)}")
    model = build(config, world, tokenizer)
    limits = one.sentence, one.start, config.longest
    actions, end, weights = follow(model, found.variables, tokenizer, *limits)
    pose = {number: pose for pose, number in world.poses.items()}
    print(f"{pose[one.start]}: {one.sentence}\n→ {' '.join(actions)}: {pose[end]}")
    keys = tokenizer.pieces(tokenizer.encode(one.sentence))
    figure = draw_attention(weights, queries=actions, keys=keys)
    save_figure(figure, config.workdir / "attention.png")
    return actions


def main(config: Config) -> dict:
    """Train a network for each fold, or follow the input."""
    world, folds = read_folds(config)
    if config.input:
        words = (config.at or f"{next(iter(folds))} 0 0 0").split()
        pose = (words[0], *map(int, words[1:])) if "".join(words[1:]).isdigit() else tuple(words)
        if pose not in world.poses:
            raise JaxnetsError(
                f"--at {config.at!r}: no such pose; expected a map ({', '.join(folds)}), x, y and "
                "0, 90, 180 or 270 degrees"
            )
        told = [Instruction(pose[0], text, world.poses[pose], (), 0) for text in config.input]
        found = train.reopen(config.workdir / pose[0])
        return {"input": [show(pose[0], one, world, found, config) for one in told]}
    results: dict = {}
    for name, (training, test) in folds.items():
        tokenizer = train_tokenizer(
            [one.sentence for one in training], 10_000, kind="word", min_frequency=1
        )
        fitted = train_walker(
            build(config, world, tokenizer),
            training,
            test,
            tokenizer,
            options=replace(config, workdir=config.workdir / name),
            epochs=config.epochs,
            batch_size=config.batch_size,
            learning_rate=config.learning_rate,
            seed=config.seed,
            longest=config.longest,
            settings={key: asdict(config)[key] for key in ("features", "dropout", "walks")},
        )
        if fitted.interrupted:
            return fitted.summary
        results[name] = fitted.summary["test_arrived"]
        print(f"{name}: {results[name]:.1%} of {fitted.summary['test_walks']} walks arrive")
        found = train.reopen(config.workdir / name)
        show(name, max(test[:50], key=lambda one: len(one.actions)), world, found, config)
    summary = {"arrived": results, "mean": float(np.mean(list(results.values())))}
    write_json(config.workdir / "summary.json", summary)
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
