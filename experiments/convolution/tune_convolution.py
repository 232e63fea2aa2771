"""Measure where one convolution algorithm overtakes another here, and write the table of `auto`.

Command:  python -m experiments.convolution.tune_convolution
          python -m experiments.convolution.tune_convolution --write
Time:     about three minutes on two CPU cores, nothing else running.
Result:   limits like those of jaxnets/ops/convolution/table.py, printed and in summary.json; with
          --write that file gets them for this backend (the other backends' stay).

Each limit is found on a ladder of shapes, from where the plain choice wins to where the other does:
the limit is the first rung from which the other is at least ``margin`` times as fast on all later
ones.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
from tqdm import tqdm

from jaxnets import command
from jaxnets.ops.convolution import table
from jaxnets.study.convolution.timing import DIRECTIONS
from jaxnets.study.convolution.tuning import find_limit, ladders, measure, write_table
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """How to measure.

    Attributes:
        batch: images of every shape.
        shrink: divides the sides of the images, for a quick look.
        rounds: turns of every candidate; the median counts.
        margin: how much faster an algorithm must be to be chosen.
        write: replace this backend's limits in the package's table.
        workdir: where summary.json goes.
    """

    batch: int = 8
    shrink: int = 1
    rounds: int = 5
    margin: float = 1.15
    write: bool = False
    workdir: Path = Path("runs/tune_convolution")


def smoke() -> Config:
    """Tiny images, one a batch."""
    return Config(batch=1, shrink=8, rounds=1)


def main(config: Config) -> dict:
    """Measure every ladder in every direction; returns {"limits", "measured"}."""
    backend = jax.default_backend()
    # A backend without a table starts from what the CPU's holds too small to matter.
    old = table.TABLES.get(backend, table.TABLES["cpu"])
    limits = {direction: dict(old[direction]) for direction in DIRECTIONS}
    measured = []
    work = [
        (ladder, direction)
        for ladder in ladders(config.batch, config.shrink)
        for direction in DIRECTIONS
    ]
    for ladder, direction in tqdm(work, desc="ladders"):
        rows = measure(ladder, direction, config.rounds)
        pairs = [(r["value"], r["ratio"]) for r in rows]
        limit = find_limit(pairs, config.margin, ladder.below)
        limits[direction][ladder.limit] = limit
        measured.append({"limit": ladder.limit, "direction": direction, "rungs": rows})
        shown = "  ".join(f"{value:g}: {ratio:.2f}x" for value, ratio in pairs)
        print(f"{ladder.limit:28} {direction:16} → {limit:g}   ({ladder.other}: {shown})")
    write_settings(config)
    results = {
        "limits": limits,
        "measured": measured,
        "config": asdict(replace(config, workdir=None)),
    }
    write_json(config.workdir / "summary.json", results)
    if config.write:
        write_table(limits, backend, Path(table.__file__))
    return results


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
