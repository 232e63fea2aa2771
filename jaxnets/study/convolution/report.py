"""What a benchmark of convolutions says: ratios of whole families of shapes, and a figure."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxnets.study.convolution.timing import DIRECTIONS
from jaxnets.study.figures import new_figure, save_figure

Row = dict[str, Any]


def family_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """XLA's time over jaxnets' for whole families, each shape as often as its network has it.

    Args:
        rows: of `jaxnets.study.convolution.measure.measure_case`.

    Returns:
        Ratios by "FAMILY: forward", "FAMILY: gradients" and more for 1×1 and VGG-16, the same with
        "over PyTorch" behind, PyTorch's time over jaxnets', where it was timed, and "slowest
        auto", the least ratio of any single choice.
    """
    first, gradients = DIRECTIONS[:1], DIRECTIONS[1:]
    families = sorted({r["family"] for r in rows})
    out = {}
    for family in families:
        for label, directions in (("forward", first), ("gradients", gradients)):
            out[f"{family}: {label}"] = _ratio(rows, family, directions)
            if any(r["algorithm"] == "PyTorch" for r in rows):
                over = _ratio(rows, family, directions, theirs="PyTorch")
                out[f"{family}: {label} over PyTorch"] = over
    if "pointwise" in families:
        out["pointwise: kernel gradients"] = _ratio(rows, "pointwise", ("kernel_gradient",))
    if "VGG-16" in families:
        ready = {r["shape"] for r in rows if r["algorithm"] == "winograd prepared"}

        def prepared(row: Row) -> bool:
            if row["shape"] in ready:
                return row["algorithm"] == "winograd prepared"
            return row["auto"]

        def deep(row: Row) -> bool:
            return int(row["shape"].split("x")[1].split()[0]) >= 256

        whole = _ratio(rows, "VGG-16", first, prepared)
        out["VGG-16: forward, kernels transformed beforehand"] = whole
        deepest = _ratio(rows, "VGG-16", first, prepared, deep)
        out["VGG-16: the same, 256 input channels and more"] = deepest
        out["VGG-16: training step's convolutions"] = _ratio(rows, "VGG-16", DIRECTIONS)
    out["slowest auto"] = min(r["ratio"] for r in rows if r["auto"])
    return out


def _ratio(
    rows: Sequence[Row],
    family: str,
    directions: Sequence[str],
    ours: Callable[[Row], bool] = lambda row: row["auto"],
    keep: Callable[[Row], bool] = lambda row: True,
    theirs: str = "direct",
) -> float:
    def total(which: Callable[[Row], bool]) -> float:
        return sum(
            r["ms"] * r["count"]
            for r in rows
            if r["family"].startswith(family) and r["direction"] in directions
            if which(r) and keep(r)
        )

    return total(lambda row: row["algorithm"] == theirs) / total(ours)


def as_line(row: Row) -> str:
    """One measurement as a line of text.

    Args:
        row: of `jaxnets.study.convolution.measure.measure_case`.

    Returns:
        Family, shape, direction, algorithm, time; what else was measured behind it.
    """
    more = ""
    if "ratio" in row:
        more = (
            f"{row['gflops']:8.1f} GFLOP/s {row['ratio']:7.2f}x  error {row['error']:.0e}"
            f" {row['temporary_mb']:7.1f} MB{'  auto' if row['auto'] else ''}"
        )
    name = f"{row['family']:24} {row['shape']:38} {row['direction']:16} {row['algorithm']:18}"
    return f"{name} {row['ms']:9.2f} ms {more}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Save the ratio to XLA of what "auto" chose, one bar a shape and direction.

    Args:
        rows: of `jaxnets.study.convolution.measure.measure_case`.
        path: a PNG file.
    """
    chosen = {(r["family"], r["shape"], r["direction"]): r["ratio"] for r in rows if r["auto"]}
    shapes = list(dict.fromkeys(key[:2] for key in chosen))
    figure, (ax,) = new_figure(width=9, height=1 + 0.28 * len(shapes))
    for offset, direction in zip((-0.27, 0, 0.27), DIRECTIONS, strict=True):
        values = [chosen[*shape, direction] for shape in shapes]
        positions = [i + offset for i in range(len(shapes))]
        ax.barh(positions, values, height=0.25, label=direction.replace("_", " "))
    labels = [f"{family}  {shape}" for family, shape in shapes]
    ax.set_yticks(range(len(shapes)), labels, fontsize=7)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set(xscale="log", xlabel='times faster than XLA\'s convolution (algorithm="auto")')
    ax.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=3)
    save_figure(figure, path, dpi=120)
