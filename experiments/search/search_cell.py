"""Search for a recurrent cell with small language models, and train it larger beside the LSTM.

Command:  python -m experiments.search.search_cell
          python -m experiments.search.search_cell --text FILE --workdir runs/own_text
Time:     about six minutes on two CPU cores.
Result:   summary.json, table.md, search.png, cell.png and search.db (Optuna's): bits a character of
          the found cell, of the LSTM and of random cells on a text that neither the training nor
          the search saw; see docs/results.md.

Without --text it reads number words. The same command goes on where it stopped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.data.text import number_words, read_lines
from jaxnets.nas import (
    decode_cell,
    draw_search,
    draw_tree,
    make_strategy,
    rnn_space,
    search_cells,
)
from jaxnets.study.summaries import json_values, summarize_keys, write_settings
from jaxnets.study.tables import markdown_table
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to search, and how.

    Attributes:
        text: a UTF-8 file.
        strategy: "random", "evolution" or "reinforce".
        queries: cells of the search.
        together: cells between two updates of the strategy, trained side by side.
        steps: updates of a child.
        units, large_units: of the cells in the search, and of those that are compared.
        keys: trainings of each compared cell.
        random_cells: drawn evenly, to compare with.
        seed: of the search.
        workdir: where results go.
    """

    text: Path | None = None
    strategy: str = "evolution"
    queries: int = 200
    together: int = 10
    steps: int = 300
    units: int = 16
    large_units: int = 48
    keys: int = 5
    random_cells: int = 8
    seed: int = 0
    workdir: Path = Path("runs/search_cell")


def smoke() -> Config:
    """Two tiny cells."""
    sizes = {"queries": 2, "together": 2, "steps": 1, "units": 2, "large_units": 2}
    return Config(keys=2, random_cells=1, workdir=Path("runs/smoke/search_cell"), **sizes)


def main(config: Config) -> dict[str, Any]:
    """Search, compare, draw."""
    workdir = write_settings(config)
    lines = number_words(2000)[1] if config.text is None else read_lines(config.text)
    population = {"population": 30, "sample": 8}
    strategy = make_strategy(config.strategy, rnn_space(8), seed=config.seed, **population)
    found = search_cells(
        strategy,
        "\n".join(lines),
        queries=config.queries,
        together=config.together,
        steps=config.steps,
        units=config.units,
        large_units=config.large_units,
        keys=config.keys,
        random=config.random_cells,
        seed=config.seed,
        store=workdir / "search.db",
    )
    draw_tree(decode_cell(strategy.space, found.history.best), workdir / "cell.png")
    rewards = {config.strategy: found.history.rewards[None]}
    draw_search(rewards, workdir / "search.png", unit="80 / perplexity²")
    bits = {
        "found": found.found,
        "LSTM": found.lstm,
        "median of random cells": np.median(found.random, 1),
    }
    rows = []
    for name, values in bits.items():
        about = summarize_keys(values.tolist())
        rows.append([name, f"{about['mean']:.3f} ± {about['high'] - about['mean']:.3f}"])
    text = markdown_table([f"cell of {config.large_units} units", "bits a character"], rows)
    (workdir / "table.md").write_text(text + "\n")
    print(text)
    summary = {
        "architecture": strategy.space.to_text(found.history.best),
        "bits": {name: values.tolist() for name, values in bits.items()},
        "found_minus_lstm": found.beside_lstm,
    }
    write_json(workdir / "summary.json", json_values(summary))
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
