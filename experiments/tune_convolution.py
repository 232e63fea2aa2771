"""Measure where one convolution algorithm overtakes another here, and write the table of `auto`.

Command:  python -m experiments.tune_convolution
          python -m experiments.tune_convolution --write
Time:     about three minutes on two CPU cores, nothing else running.
Result:   limits like those of jaxnets/ops/convolution/table.py, printed and in summary.json; with
          --write that file gets them for this backend (the other backends' stay).

Each limit is found on a ladder of shapes, from where the plain choice wins to where the other does:
the limit is the first rung from which the other is at least ``margin`` times as fast on all later
ones.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jax
from tqdm import tqdm

from experiments.convolution import timing
from experiments.convolution.timing import DIRECTIONS, by_turns
from jaxnets import command
from jaxnets.ops.convolution import table
from jaxnets.ops.convolution.algorithms import ALGORITHMS
from jaxnets.ops.convolution.problem import Problem, make_problem
from jaxnets.train.measure import hardware
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """How to measure.

    Attributes:
        batch: images of every shape.
        shrink: divides the pictures' sides, for a quick look.
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
    """Tiny pictures, one image."""
    return Config(batch=1, shrink=8, rounds=1)


@dataclass(frozen=True)
class Ladder:
    """Shapes along which one limit is looked for.

    Attributes:
        limit: its name in the table.
        plain, other: the algorithm below, and the one above the limit.
        rungs: (value of the limit at this rung, problem), from plain's end.
        below: the other is chosen *up to* the limit, so the ladder is read from the far end.
    """

    limit: str
    plain: str
    other: str
    rungs: tuple[tuple[float, Problem], ...]
    below: bool = False


def _problem(config: Config, side: int, fan_in: int, out: int, k: int, **arguments) -> Problem:
    side = max(side // config.shrink, k)
    shapes = (config.batch, side, side, fan_in), (k, k, fan_in // arguments.get("groups", 1), out)
    structs = [jax.ShapeDtypeStruct(s, "float32") for s in shapes]
    return make_problem(*structs, **{"padding": k // 2, **arguments})


def ladders(config: Config) -> list[Ladder]:
    """All limits that are measured; ``least_macs`` is a matter of taste and kept."""
    windows = (5, 7, 9, 11, 15)
    wide = [_problem(config, side, 256, 256, 3) for side in (7, 14, 28, 56)]
    return [
        Ladder(
            "depthwise_fft_taps",
            "shift",
            "fft",
            tuple((k * k, _problem(config, 56, 64, 64, k, groups=64)) for k in windows),
        ),
        Ladder(
            "dense_fft_taps",
            "direct",
            "fft",
            tuple((k * k, _problem(config, 64, 32, 32, k)) for k in windows),
        ),
        Ladder(
            "winograd_channels",
            "direct",
            "winograd",
            tuple((c, _problem(config, 56, c, c, 3)) for c in (8, 16, 32, 64)),
        ),
        Ladder(
            "winograd_pixels_per_channel",
            "direct",
            "winograd",
            tuple((p.pixels / 256, p) for p in wide),
        ),
        Ladder(
            "strided_blocked_channels",
            "direct",
            "blocked",
            tuple(
                (c, _problem(config, 28, 32 * c, 32 * c, 3, strides=2, groups=32))
                for c in (32, 16, 8, 4)
            ),
            below=True,
        ),
        Ladder(
            "few_channels",
            "direct",
            "im2col",
            tuple((c, _problem(config, 112, c, 64, 3)) for c in (16, 8, 4, 3)),
            below=True,
        ),
        Ladder(
            "first_layer_channels",
            "direct",
            "im2col",
            tuple((c, _problem(config, 224, c, 64, 7, strides=2)) for c in (16, 8, 4, 3)),
            below=True,
        ),
        Ladder(
            "columns_outputs_per_input",
            "direct",
            "im2col",
            tuple((n / 3, _problem(config, 64, 3, n, 5)) for n in (6, 12, 24, 64, 96, 192)),
        ),
        Ladder(
            "strided_im2col_channels",
            "direct",
            "im2col",
            tuple((c, _problem(config, 28, c, c, 3, strides=2)) for c in (32, 64, 128, 256)),
        ),
    ]


def find_limit(rungs: Iterable[tuple[float, float]], margin: float, below: bool) -> float:
    """The first rung from which the other wins to the end; never, if it does not win at the end.

    >>> find_limit([(25, 0.5), (49, 1.4), (81, 0.9), (121, 1.5), (225, 3.0)], 1.1, below=False)
    121
    >>> find_limit([(8, 0.7), (4, 1.3), (3, 1.4)], 1.1, below=True)
    4
    """
    limit = None
    for value, ratio in reversed(list(rungs)):
        if ratio < margin:
            break
        limit = value
    if limit is None:
        return 0 if below else table.NEVER
    return limit


def measure(ladder: Ladder, direction: str, config: Config) -> list[dict]:
    """Plain's time over the other's on every rung."""
    rows = []
    for value, problem in ladder.rungs:
        if ALGORITHMS[ladder.other].unsupported(problem):
            continue
        pair = timing.operands(direction, timing.arrays(problem))
        candidates = {
            name: (timing.function(name, direction, problem), pair)
            for name in (ladder.plain, ladder.other)
        }
        ms = {name: r["ms"] for name, r in by_turns(candidates, config.rounds).items()}
        rows.append({"value": value, **ms, "ratio": ms[ladder.plain] / ms[ladder.other]})
    return rows


def write_table(limits: dict, backend: str, place: Path) -> None:
    """Put ``limits`` into the package's table file, below its explanation."""
    text = place.read_text(encoding="utf-8")
    head = text[: text.index("NEVER =")]
    tables = {**table.TABLES, backend: limits}
    place.write_text(
        f"{head}NEVER = {table.NEVER:_}\n\n"
        f"# Measured with jax {jax.__version__} on {hardware()}, float32.\n"
        f"TABLES: dict[str, dict[str, dict[str, float]]] = {_python(tables)}\n",
        encoding="utf-8",
    )


def _python(tables: dict) -> str:
    """``tables`` as source in the style of the other files, a line an entry."""
    return re.sub(r"([^,{])\n(?= *})", r"\1,\n", json.dumps(tables, indent=4))


def main(config: Config) -> dict:
    """Measure every ladder in every direction; returns {"limits", "measured"}."""
    backend = jax.default_backend()
    # A backend without a table starts from the CPU's taste in what is too small to matter.
    old = table.TABLES.get(backend, table.TABLES["cpu"])
    limits = {direction: dict(old[direction]) for direction in DIRECTIONS}
    measured = []
    work = [(ladder, direction) for ladder in ladders(config) for direction in DIRECTIONS]
    for ladder, direction in tqdm(work, desc="ladders"):
        rows = measure(ladder, direction, config)
        pairs = [(r["value"], r["ratio"]) for r in rows]
        limit = find_limit(pairs, config.margin, ladder.below)
        limits[direction][ladder.limit] = limit
        measured.append({"limit": ladder.limit, "direction": direction, "rungs": rows})
        shown = "  ".join(f"{value:g}: {ratio:.2f}x" for value, ratio in pairs)
        print(f"{ladder.limit:28} {direction:16} → {limit:g}   ({ladder.other}: {shown})")
    config.workdir.mkdir(parents=True, exist_ok=True)
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
