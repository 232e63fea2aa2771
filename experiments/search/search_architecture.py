"""Search for networks: on a table of 6,561 trained ones, or with children that are trained here.

Command:  python -m experiments.search.search_architecture --table nas_bench_macro.npz
          python -m experiments.search.search_architecture --space digits
          python -m experiments.search.search_architecture --space digits --strategy darts \\
              --workdir runs/darts
          python -m experiments.search.search_architecture --space cifar10 --wider 4
Time:     the table 2 minutes for 20 keys on two CPU cores, digits 3, CIFAR-10 15.
Result:   runs/search/SPACE/: summary.json, search.png, table.md; for children found.png, search.db
          (Optuna's) and the found child beside random ones with an interval; see docs/results.md.

The same command goes on where it stopped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxnets import command, nas
from jaxnets.errors import JaxnetsError
from jaxnets.nas.report import STRATEGIES
from jaxnets.study.data import available, load
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to search, and how.

    Attributes:
        space: "macro", the table, or "digits", "cifar10": convolutional children.
        table: NAS-Bench-Macro's file.
        strategies: of the table's searches.
        strategy: of the search for a child, or "darts".
        queries: architectures of a search (default: 500 of the table, 40 children).
        together: architectures between two updates; children train side by side.
        keys: searches of the table, or trainings of the found child (default: 20, 5).
        learning_rate: of the controller's Adam.
        entropy_weight: of its bonus for being undecided.
        layers: of the children.
        steps: updates of a child.
        random_children: drawn evenly, to compare with.
        wider: how many times more filters the networks of the comparison have.
        seed: of the search for a child.
        workdir: where results go.
    """

    space: Literal["macro", "digits", "cifar10"] = "macro"
    table: Path | None = None
    strategies: tuple[str, ...] = STRATEGIES
    strategy: str = "evolution"
    queries: int | None = None
    together: int = 5
    keys: int | None = None
    learning_rate: float = 0.005
    entropy_weight: float = 0.05
    layers: int = 3
    steps: int = 120
    random_children: int = 9
    wider: int = 1
    seed: int = 0
    workdir: Path = Path("runs/search")


def smoke() -> Config:
    """Four tiny children."""
    sizes = {"layers": 1, "steps": 2, "queries": 4, "together": 2, "random_children": 1}
    return Config(space="digits", keys=2, workdir=Path("runs/smoke/search"), **sizes)


def on_the_table(config: Config, workdir: Path) -> dict[str, Any]:
    """Each strategy from several keys."""
    if config.table is None:
        raise JaxnetsError("--space macro needs --table nas_bench_macro.npz, its file")
    table = nas.load_macro_table(config.table)
    rates = {"learning_rate": config.learning_rate, "entropy_weight": config.entropy_weight}
    sizes = {"keys": config.keys or 20, "queries": config.queries or 500}
    rewards = {
        name: nas.search_over_keys(
            lambda key, name=name: nas.make_strategy(name, table.space, seed=key, **rates),
            table.reward,
            together=config.together,
            folder=workdir / "searches",
            name=name,
            **sizes,
        )
        for name in config.strategies
    }
    summary = nas.summarize_searches(rewards)
    text = nas.search_table(summary)
    (workdir / "table.md").write_text(text + "\n")
    print(text)
    nas.draw_search(rewards, workdir / "search.png", unit="CIFAR-10 accuracy, %")
    return {"of_all": float(table.means.mean()), **summary}


def with_children(config: Config, workdir: Path) -> dict[str, Any]:
    """A search with real children, and the found one against chance."""
    if available(config.space) != config.space:
        raise JaxnetsError("--space cifar10 needs CIFAR-10; set TFDS_DATA_DIR to where it lies")
    data = load("digits") if config.space == "digits" else load("cifar10", train=5000, test=1000)
    space, strategy = nas.small_space(config.layers), None
    if config.strategy != "darts":
        options = {"seed": config.seed, "population": 20, "sample": 5}
        strategy = nas.make_strategy(config.strategy, space, **options)
    found = nas.search_children(
        strategy,
        data,
        space=space,
        compare_in=nas.small_space(config.layers, wider=config.wider),
        queries=config.queries or 40,
        together=config.together,
        steps=config.steps,
        keys=config.keys or 5,
        random=config.random_children,
        seed=config.seed,
        store=workdir / "search.db",
    )
    nas.draw_conv(nas.decode_conv(found.space, found.history.best), workdir / "found.png")
    if strategy is not None:
        rewards = {config.strategy: found.history.rewards[None]}
        nas.draw_search(rewards, workdir / "search.png", unit="accuracy, %")
    summary = {
        "architecture": found.space.to_text(found.history.best),
        "found": found.compared.found.tolist(),
        "median_of_random": np.median(found.compared.random, 1).tolist(),
        "difference": found.compared.difference,
    }
    print(summary)
    return summary


def main(config: Config) -> dict[str, Any]:
    """Search, compare, draw."""
    workdir = write_settings(config) / config.space
    workdir.mkdir(exist_ok=True)
    search = on_the_table if config.space == "macro" else with_children
    summary = search(config, workdir)
    write_json(config.workdir / "summary.json", json_values(summary))
    write_json(workdir / "summary.json", json_values(summary))
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
