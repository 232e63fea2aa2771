"""The pictures of the comparison: bubbles, density, time and memory against batch size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.networks.records import select


def save_all(
    rows: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]], folder: Path
) -> list[Path]:
    """Draw what there are numbers for: bubbles.png, density.png, time.png, memory.png.

    Args:
        rows: of `tables.static_rows`.
        measured: records of measurements.
        folder: where the pictures go.

    Returns:
        The files.

    >>> save_all([], [], Path("/nowhere"))
    []
    """
    saved = []
    if any(row["top1"] is not None for row in rows):
        saved += [_bubbles(rows, folder / "bubbles.png"), _density(rows, folder / "density.png")]
    ours = select(measured, library="jaxnets")
    if ours:
        saved.append(_against_batch(ours, "milliseconds an image", folder / "time.png"))
        if any(record.get("memory_bytes") for record in ours):
            saved.append(_against_batch(ours, "memory / MiB", folder / "memory.png"))
    return saved


def _families(rows: Sequence[dict[str, Any]]) -> dict[str, tuple]:
    """One color a family, the same in every picture of a run."""
    from matplotlib import colormaps

    names = list(dict.fromkeys(row["family"] for row in rows))
    return {name: colormaps["tab20"](i % 20) for i, name in enumerate(names)}


def _bubbles(rows: Sequence[dict[str, Any]], target: Path) -> Path:
    """Accuracy against MACs, area in proportion to parameters, one panel a dataset."""
    colors = _families(rows)
    known = [row for row in rows if row["top1"] is not None]
    datasets = [d for d in ("ImageNet", "CIFAR-10") if any(r["dataset"] == d for r in known)]
    figure, axes = new_figure(len(datasets), width=10, height=8, frame=True)
    for axis, dataset in zip(axes, datasets, strict=True):
        inside = sorted(
            (row for row in known if row["dataset"] == dataset), key=lambda r: -r["parameters"]
        )
        for row in inside:
            axis.scatter(
                row["macs"],
                row["top1"],
                s=12 * row["parameters"] / 1e6,
                color=colors[row["family"]],
                alpha=0.55,
                # A ring: the paper's own protocol; without: torchvision's single crop.
                edgecolor="black" if row["source"] == "paper" else "none",
                linewidth=0.8,
            )
        axis.set_xscale("log")
        axis.set(
            title=f"{dataset}: published top-1 accuracy against arithmetic",
            xlabel="multiply-accumulates for one image",
            ylabel="top-1 accuracy / %",
        )
        axis.margins(x=0.2, y=0.12)
        axis.grid(alpha=0.3)
        _label(axis, [(row["macs"], row["top1"], row["model"]) for row in inside])
        for millions in (1, 10, 50, 100):
            axis.scatter([], [], s=12 * millions, color="0.6", alpha=0.6, label=f"{millions} M")
        axis.scatter([], [], s=60, color="0.8", edgecolor="black", label="paper's protocol")
        axis.scatter([], [], s=60, color="0.8", label="torchvision, one crop")
        axis.legend(title="parameters", loc="lower right", labelspacing=1.3, fontsize=8)
    return save_figure(figure, target)


def _label(axis, points: Sequence[tuple[float, float, str]]) -> None:
    """Names beside their points, moved up or down until none covers another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(axis.figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    placed: list[Any] = []
    for x, y, name in sorted(points, key=lambda p: (p[0], p[1])):
        for shift in (0, 9, -9, 18, -18, 27, -27, 36, -36, 45, -45, 54, -54):
            text = axis.annotate(
                name,
                (x, y),
                xytext=(6, shift),
                textcoords="offset points",
                fontsize=7,
                va="center",
                arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.5"} if shift else None,
            )
            box = text.get_window_extent(renderer)
            if not any(box.overlaps(other) for other in placed):
                break
            text.remove()
        else:
            # No room: the table has it.
            continue
        placed.append(box)


def _density(rows: Sequence[dict[str, Any]], target: Path) -> Path:
    """Accuracy for each million parameters, the densest first."""
    colors = _families(rows)
    known = [row for row in rows if row["top1"] is not None]
    datasets = [d for d in ("ImageNet", "CIFAR-10") if any(r["dataset"] == d for r in known)]
    most = max(sum(row["dataset"] == d for row in known) for d in datasets)
    figure, axes = new_figure(len(datasets), width=8, height=1.5 + 0.19 * most, frame=True)
    for axis, dataset in zip(axes, datasets, strict=True):
        inside = [row for row in known if row["dataset"] == dataset]
        inside.sort(key=lambda row: row["density"])
        bars = axis.barh(
            [row["model"] for row in inside],
            [row["density"] for row in inside],
            color=[colors[row["family"]] for row in inside],
        )
        axis.bar_label(bars, [f"{row['top1']:.1f} %" for row in inside], fontsize=7, padding=2)
        axis.set(
            title=f"{dataset}: information density",
            xlabel="top-1 accuracy in % for each million parameters",
            xscale="log",
        )
        axis.tick_params(axis="y", labelsize=7)
        axis.margins(x=0.15, y=0.01)
        axis.grid(axis="x", alpha=0.3)
    return save_figure(figure, target)


def _against_batch(ours: Sequence[dict[str, Any]], what: str, target: Path) -> Path:
    """One line a network, one panel a mode."""
    modes = [m for m in ("inference", "training") if any(r["mode"] == m for r in ours)]
    figure, axes = new_figure(len(modes), width=8, height=6, frame=True)
    names = list(dict.fromkeys(record["model"] for record in ours))
    for axis, mode in zip(axes, modes, strict=True):
        for i, name in enumerate(names):
            records = select(ours, model=name, mode=mode)
            if "memory" in what:
                records = [record for record in records if record.get("memory_bytes")]
            records.sort(key=lambda record: record["batch_size"])
            values = [
                record["memory_bytes"] / 2**20
                if "memory" in what
                else 1000 * record["seconds"] / record["batch_size"]
                for record in records
            ]
            style = ("-", "--", ":")[i // 10 % 3]
            batch = [record["batch_size"] for record in records]
            axis.plot(batch, values, style, marker="o", ms=4, color=f"C{i % 10}", label=name)
        sizes = sorted({record["batch_size"] for record in ours})
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(sizes, sizes)
        axis.set(title=mode, xlabel="batch size", ylabel=what)
        axis.grid(alpha=0.3, which="both")
        axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    hardware = "; ".join(sorted({record["hardware"] for record in ours}))
    figure.suptitle(f"{what} against batch size ({hardware})")
    return save_figure(figure, target)
