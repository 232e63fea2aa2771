"""Measure where one convolution algorithm overtakes another here, and write the table of `auto`.

Command:  python -m experiments.convolution.tune_convolution
          python -m experiments.convolution.tune_convolution --write
Time:     about eight minutes on two CPU cores, nothing else running.
Result:   limits like those of jaxnets/ops/convolution/table.py, printed and in summary.json; with
          --write that file gets them for this backend and, where oneDNN may be called, for this
          processor's instruction set in float32 and bfloat16 (the others' stay).

Each limit is found on a ladder of shapes, from where the plain choice wins to where the other does:
the limit is the first rung from which the other is at least ``margin`` times as fast on all later
ones.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
from tqdm import tqdm

from jaxnets import command
from jaxnets.ops.convolution import onednn_support, table
from jaxnets.study.convolution.timing import DIRECTIONS
from jaxnets.study.convolution.tuning import (
    Ladder,
    find_limit,
    ladders,
    measure,
    onednn_ladders,
    write_table,
)
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """How to measure.

    Attributes:
        batch_size: images of every shape.
        shrink: divides the sides of the images, for a quick look.
        rounds: turns of every candidate; the fastest counts.
        margin: how much faster an algorithm must be to be chosen.
        write: replace this backend's limits in the package's table.
        workdir: where summary.json goes.
    """

    batch_size: int = 8
    shrink: int = 1
    rounds: int = 5
    margin: float = 1.1
    write: bool = False
    workdir: Path = Path("runs/tune_convolution")


def smoke() -> Config:
    """Tiny images, one a batch."""
    return Config(batch_size=1, shrink=8, rounds=1)


def main(config: Config) -> dict:
    """Measure every ladder in every direction; returns {"limits", "onednn", "measured"}."""
    backend = jax.default_backend()
    # A backend without a table starts from what the CPU's holds too small to matter.
    measured: list[dict] = []
    limits = _limits(
        table.TABLES.get(backend, table.TABLES["cpu"]),
        ladders(config.batch_size, config.shrink),
        config,
        "float32",
        measured,
    )
    onednn: dict[str, dict] = {}
    if backend == "cpu" and onednn_support.available():
        processor = onednn_support.instruction_set()
        for dtype in ("float32", "bfloat16"):
            if not onednn_support.computes(dtype):
                continue
            old = table.ONEDNN.get(processor, {}).get(dtype) or table.ONEDNN["amx"][dtype]
            found = _limits(
                old, onednn_ladders(config.batch_size, config.shrink), config, dtype, measured
            )
            onednn.setdefault(processor, {})[dtype] = found
    write_settings(config)
    results = {
        "limits": limits,
        "onednn": onednn,
        "measured": measured,
        "config": asdict(replace(config, workdir=None)),
    }
    write_json(config.workdir / "summary.json", results)
    if config.write:
        write_table(limits, backend, Path(table.__file__), onednn)
    return results


def _limits(old: dict, work: list[Ladder], config: Config, dtype: str, measured: list) -> dict:
    """The limits of ``old`` with those of the ladders measured anew; appends to ``measured``."""
    limits = {direction: dict(old[direction]) for direction in DIRECTIONS}
    pairs = [(ladder, direction) for ladder in work for direction in DIRECTIONS]
    for ladder, direction in tqdm(pairs, desc=f"ladders in {dtype}"):
        rows = measure(ladder, direction, config.rounds, dtype)
        ratios = [(r["value"], r["ratio"]) for r in rows]
        limit = find_limit(ratios, config.margin, ladder.below)
        limits[direction][ladder.limit] = limit
        found = {"limit": ladder.limit, "direction": direction, "dtype": dtype, "rungs": rows}
        measured.append({**found, "plain": ladder.plain, "other": ladder.other})
        shown = "  ".join(f"{value:g}: {ratio:.2f}x" for value, ratio in ratios)
        print(f"{ladder.limit:28} {direction:16} → {limit:g}   ({ladder.other}: {shown})")
    return limits


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
