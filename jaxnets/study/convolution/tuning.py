"""Where one convolution algorithm overtakes another: the limits that `algorithm="auto"` goes by.

Each limit is found on a ladder of shapes, from where the plain choice wins to where the other does.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import jax

from jaxnets.ops.convolution import table
from jaxnets.ops.convolution.algorithms import ALGORITHMS
from jaxnets.ops.convolution.problem import Problem, make_problem
from jaxnets.study.convolution import timing
from jaxnets.study.programs import processor


@dataclass(frozen=True)
class Ladder:
    """Shapes along which one limit is looked for.

    Attributes:
        limit: its name in the table.
        plain: the algorithm below the limit.
        other: the algorithm above it.
        rungs: (value of the limit at this rung, problem), from plain's end.
        below: the other is chosen up to the limit, and the ladder is read from the far end.
    """

    limit: str
    plain: str
    other: str
    rungs: tuple[tuple[float, Problem], ...]
    below: bool = False


def _problems(batch: int, shrink: int) -> Callable[..., Problem]:
    """(side, input channels, outputs, window side, …) to a problem of square images."""

    def problem(side: int, fan_in: int, out: int, k: int, **arguments) -> Problem:
        side = max(side // shrink, k)
        shapes = (batch, side, side, fan_in), (k, k, fan_in // arguments.get("groups", 1), out)
        structs = [jax.ShapeDtypeStruct(s, "float32") for s in shapes]
        return make_problem(*structs, **{"padding": k // 2, **arguments})

    return problem


def ladders(batch: int = 8, shrink: int = 1) -> list[Ladder]:
    """All limits that are measured; ``least_macs`` is chosen by hand and stays.

    Args:
        batch: images of every shape.
        shrink: divides the sides of the images, for a quick look.

    Returns:
        One `Ladder` for each limit of the table.
    """
    problem = _problems(batch, shrink)
    windows = (5, 7, 9, 11, 15)
    wide = [problem(side, 256, 256, 3) for side in (7, 14, 28, 56)]
    return [
        Ladder(
            "depthwise_fft_taps",
            "shift",
            "fft",
            tuple((k * k, problem(56, 64, 64, k, groups=64)) for k in windows),
        ),
        Ladder(
            "dense_fft_taps",
            "direct",
            "fft",
            tuple((k * k, problem(64, 32, 32, k)) for k in windows),
        ),
        Ladder(
            "winograd_channels",
            "direct",
            "winograd",
            tuple((c, problem(56, c, c, 3)) for c in (8, 16, 32, 64)),
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
                (c, problem(28, 32 * c, 32 * c, 3, strides=2, groups=32)) for c in (32, 16, 8, 4)
            ),
            below=True,
        ),
        Ladder(
            "few_channels",
            "direct",
            "im2col",
            tuple((c, problem(112, c, 64, 3)) for c in (16, 8, 4, 3)),
            below=True,
        ),
        Ladder(
            "first_layer_channels",
            "direct",
            "im2col",
            tuple((c, problem(224, c, 64, 7, strides=2)) for c in (16, 8, 4, 3)),
            below=True,
        ),
        Ladder(
            "columns_outputs_per_input",
            "direct",
            "im2col",
            tuple((n / 3, problem(64, 3, n, 5)) for n in (6, 12, 24, 64, 96, 192)),
        ),
        Ladder(
            "strided_im2col_channels",
            "direct",
            "im2col",
            tuple((c, problem(28, c, c, 3, strides=2)) for c in (32, 64, 128, 256)),
        ),
    ]


def onednn_ladders(batch: int = 8, shrink: int = 1) -> list[Ladder]:
    """Limits of the table where oneDNN may be called: from it to what may beat it.

    Args:
        batch: images of every shape.
        shrink: divides the sides of the images, for a quick look.

    Returns:
        One `Ladder` for each limit of `table.ONEDNN`'s tables but ``least_macs``.
    """
    problem = _problems(batch, shrink)
    windows = (5, 7, 9, 11, 15)
    plain = "onednn"
    return [
        Ladder(
            "depthwise_fft_taps",
            plain,
            "fft",
            tuple((k * k, problem(56, 64, 64, k, groups=64)) for k in (*windows, 31)),
        ),
        Ladder(
            "depthwise_shift_taps",
            plain,
            "shift",
            tuple((k * k, problem(28, 256, 256, k, groups=256)) for k in (7, 5, 3)),
            below=True,
        ),
        Ladder(
            "blocked_channels",
            plain,
            "blocked-winograd",
            tuple((c, problem(28, 32 * c, 32 * c, 3, groups=32)) for c in (32, 16, 8, 4)),
            below=True,
        ),
        Ladder(
            "dense_fft_taps",
            plain,
            "fft",
            tuple((k * k, problem(64, 32, 32, k)) for k in windows),
        ),
        Ladder(
            "winograd_channels",
            plain,
            "winograd",
            tuple((c, problem(28, c, c, 3)) for c in (32, 64, 128, 256, 512)),
        ),
        Ladder(
            "winograd_pixels_per_channel",
            plain,
            "winograd",
            tuple((p.pixels / 512, p) for p in (problem(s, 512, 512, 3) for s in (7, 14, 28, 56))),
        ),
    ]


def find_limit(rungs: Iterable[tuple[float, float]], margin: float, below: bool) -> float:
    """The first rung from which the other wins to the end; never, if it does not win at the end.

    Args:
        rungs: (value of the limit, plain's time over the other's), from plain's end.
        margin: the least such ratio that counts as a win.
        below: the other is chosen up to the limit.

    Returns:
        The limit; where the other never wins 0 if ``below``, else `table.NEVER`.

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


def measure(ladder: Ladder, direction: str, rounds: int, dtype: str = "float32") -> list[dict]:
    """Time both algorithms on every rung that both can do.

    Args:
        ladder: one of `ladders`.
        direction: one of `jaxnets.study.convolution.timing.DIRECTIONS`.
        rounds: turns of each; the fastest counts, since other programs only add time.
        dtype: of the arrays.

    Returns:
        Rows {"value", PLAIN, OTHER (milliseconds), "ratio" (plain's time over the other's)}.
    """
    rows = []
    for value, problem in ladder.rungs:
        if ALGORITHMS[ladder.other].unsupported(problem):
            continue
        pair = timing.operands(direction, timing.arrays(problem, dtype))
        candidates = {
            name: (timing.function(name, direction, problem), pair)
            for name in (ladder.plain, ladder.other)
        }
        timed = timing.time_programs(candidates, rounds)
        ms = {name: one.fastest for name, one in timed.items()}
        rows.append({"value": value, **ms, "ratio": ms[ladder.plain] / ms[ladder.other]})
    return rows


def write_table(
    limits: dict, backend: str, path: Path, onednn: dict[str, dict[str, dict]] | None = None
) -> None:
    """Put the limits of a backend into a file like jaxnets/ops/convolution/table.py.

    Args:
        limits: by direction and name.
        backend: whose limits they are; those of the others stay.
        path: the file; what stands above its tables stays.
        onednn: instruction set → dtype → limits; those of other instruction sets stay.
    """
    text = path.read_text(encoding="utf-8")
    head = text[: text.index("NEVER =")]
    tables = {**table.TABLES, backend: limits}
    by_processor = {**table.ONEDNN, **(onednn or {})}
    here = f"jax {jax.__version__}, {processor()}"
    measured = {**table.MEASURED, **dict.fromkeys((backend, *(onednn or {})), here)}
    path.write_text(
        f"{head}NEVER = {table.NEVER:_}\n\n"
        "# Where the limits of a backend, or of an instruction set, were measured.\n"
        f"MEASURED: dict[str, str] = {_python(measured)}\n\n"
        f"TABLES: dict[str, dict[str, dict[str, float]]] = {_python(tables)}\n\n"
        "ONEDNN: dict[str, dict[str, dict[str, dict[str, float]]]] = "
        f"{_python(by_processor)}\n",
        encoding="utf-8",
    )


def _python(tables: dict) -> str:
    """``tables`` as source in the style of the other files, one line an entry."""
    return re.sub(r"([^,{])\n(?= *})", r"\1,\n", json.dumps(tables, indent=4))
