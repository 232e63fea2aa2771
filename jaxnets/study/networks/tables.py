"""The tables of a comparison of networks: rows of numbers, and the same as Markdown."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnets.inspect import accuracies, layer_table, totals
from jaxnets.models import model_info
from jaxnets.study.networks.records import select
from jaxnets.study.networks.runtime_table import runtime_table


def static_rows(names: Sequence[str]) -> list[dict[str, Any]]:
    """What is known of each network without running it; parameters and MACs are counted anew.

    Args:
        names: of `jaxnets.list_models()`.

    Returns:
        For each network ``model``, ``family``, ``year``, ``input`` (pixels a side),
        ``parameters``, ``macs``, ``activations``; ``top1`` (%) with its ``dataset`` and
        ``source``, and ``density``, top-1 for each million parameters, or None.

    >>> static_rows(["lenet5_1998"])[0]["parameters"]
    60000
    """
    from tqdm import tqdm

    rows = []
    with tqdm(names, unit="network", disable=len(names) < 10, desc="layer tables") as bar:
        for name in bar:
            info, sums = model_info(name), totals(layer_table(name))
            figures = [f for f in accuracies(info) if f.dataset in ("ImageNet", "CIFAR-10")]
            best = next((f for f in figures if f.top1 is not None), None)
            rows.append(
                {
                    "model": name,
                    "family": info.family,
                    "year": info.year,
                    "input": info.input_size,
                    "parameters": sums.parameters,
                    "macs": sums.macs,
                    "activations": sums.activations,
                    "dataset": best.dataset if best else None,
                    "top1": best.top1 if best else None,
                    "source": best.source if best else None,
                    # Canziani et al.: how much accuracy each parameter is good for.
                    "density": best.top1 / (sums.parameters / 1e6) if best else None,
                }
            )
    return rows


def static_table(rows: Sequence[dict[str, Any]]) -> str:
    """Every network's size, arithmetic, memory and published accuracy, as Markdown.

    Args:
        rows: of `static_rows`.

    Returns:
        Markdown.

    >>> static_table([]).startswith("| network | year |")
    True
    """
    lines = [
        "| network | year | input | parameters / M | MACs / M | activations / M "
        "| MiB for an image (float32) | top-1 / % | of | accuracy per M parameters |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    for row in rows:
        known = row["top1"] is not None
        lines.append(
            f"| {row['model']} | {row['year']} | {row['input']} | {row['parameters'] / 1e6:,.2f} "
            f"| {row['macs'] / 1e6:,.1f} | {row['activations'] / 1e6:,.2f} "
            f"| {4 * row['activations'] / 2**20:,.1f} "
            + (
                f"| {row['top1']:.1f} | {row['dataset']}, {row['source']} | {row['density']:.2f} |"
                if known
                else "| | | |"
            )
        )
    return "\n".join(lines) + "\n"


def peer_ratios(
    measured: Sequence[dict[str, Any]], max_spread: float | None = None
) -> dict[str, Any]:
    """Images per second of ours and of torchvision's network wherever both were measured.

    Args:
        measured: records of measurements.
        max_spread: no ratio is given where either varied more than that from round to round.

    Returns:
        ``pairs``: one entry each, ``geometric_means``: mode → (mean ratio, number of pairs), and
        ``unsteady``: the networks and modes without a ratio.

    >>> peer_ratios([])
    {'pairs': [], 'geometric_means': {}, 'unsteady': []}
    """
    pairs, logs, unsteady = [], defaultdict(list), []
    for ours in select(measured, library="jaxnets"):
        same = {k: ours[k] for k in ("model", "mode", "batch_size", "dtype", "hardware")}
        for theirs in select(measured, library="torchvision", **same):
            spreads = ours.get("spread", 0.0), theirs.get("spread", 0.0)
            if max_spread is not None and max(spreads) > max_spread:
                unsteady.append([ours["model"], ours["mode"]])
                continue
            # The fastest calls: whatever else a machine does can only add time.
            ratio = theirs["fastest"] / ours["fastest"]
            logs[ours["mode"]].append(math.log(ratio))
            pairs.append(
                {
                    **same,
                    "images_per_second": ours["batch_size"] / ours["fastest"],
                    "torchvision_images_per_second": ours["batch_size"] / theirs["fastest"],
                    "ratio": ratio,
                }
            )
    means = {mode: (math.exp(sum(v) / len(v)), len(v)) for mode, v in logs.items()}
    return {"pairs": pairs, "geometric_means": means, "unsteady": unsteady}


def ratio_table(ratios: dict[str, Any]) -> str:
    """The networks that were timed beside torchvision, inference and training side by side.

    Args:
        ratios: of `peer_ratios`.

    Returns:
        Markdown; nothing where no pair was timed.

    >>> ratio_table(peer_ratios([]))
    ''
    """
    if not ratios["pairs"]:
        return ""
    hardware = sorted({pair["hardware"] for pair in ratios["pairs"]})
    dtypes = sorted({pair["dtype"] for pair in ratios["pairs"]})
    lines = [
        f"Images per second, {', '.join(dtypes)}, {'; '.join(hardware)}; torchvision in "
        "channels-last on as many threads, in the same run, the fastest call of each. Ratio: above "
        "1 ours is faster.",
        "",
        "| network | batch | inference | torchvision | ratio | training | torchvision | ratio |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    groups: dict[tuple, dict[str, Any]] = defaultdict(dict)
    for pair in ratios["pairs"]:
        key = (pair["model"], pair["batch_size"], pair["hardware"])
        groups[key][pair["mode"]] = pair
    for (model, batch_size, _), modes in groups.items():
        texts = []
        for mode in ("inference", "training"):
            pair = modes.get(mode)
            texts += (
                [
                    f"{pair['images_per_second']:.3g}",
                    f"{pair['torchvision_images_per_second']:.3g}",
                    f"{pair['ratio']:.2f}",
                ]
                if pair
                else ["", "", ""]
            )
        lines.append(f"| {model} | {batch_size} | " + " | ".join(texts) + " |")
    means = ratios["geometric_means"]
    entries = []
    for mode in ("inference", "training"):
        entries += ["", "", f"**{means[mode][0]:.2f}** ({means[mode][1]})" if mode in means else ""]
    lines.append("| geometric mean (networks) | | " + " | ".join(entries) + " |")
    return "\n".join(lines) + "\n"


def memory_fits(measured: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A straight line through memory against batch size, where three sizes or more were measured.

    Canziani et al. (figure 5) find memory constant at first and then linear: a floor for the
    parameters, and so much for every further image.

    Args:
        measured: records of measurements.

    Returns:
        For each network and mode ``bytes_fixed``, ``bytes_per_image`` and ``worst``, the largest
        relative distance of a measurement from the line.

    Source: Canziani, Paszke and Culurciello, "An analysis of deep neural network models for
    practical applications", 2016, figure 5.

    >>> memory_fits([])
    []
    """
    groups: dict[tuple, list[tuple[int, int]]] = defaultdict(list)
    for record in select(measured, library="jaxnets"):
        if record.get("memory_bytes"):
            key = (record["model"], record["mode"], record["dtype"], record["hardware"])
            groups[key].append((record["batch_size"], record["memory_bytes"]))
    fits = []
    for (model, mode, dtype, hardware), points in groups.items():
        if len(points) < 3:
            continue
        batch, size = np.array(sorted(points), float).T
        slope, fixed = np.polyfit(batch, size, 1)
        worst = np.abs(slope * batch + fixed - size).max() / size.max()
        fits.append(
            {
                "model": model,
                "mode": mode,
                "dtype": dtype,
                "hardware": hardware,
                "bytes_fixed": float(fixed),
                "bytes_per_image": float(slope),
                "worst": float(worst),
            }
        )
    return fits


def measured_tables(measured: Sequence[dict[str, Any]], max_spread: float | None = None) -> str:
    """All measurements, and the ratios where there is a peer, as Markdown.

    Args:
        measured: records of measurements.
        max_spread: no ratio is given where one varied more than that from round to round.

    Returns:
        Markdown.

    >>> measured_tables([])
    'Nothing is measured yet.\\n'
    """
    if not measured:
        return "Nothing is measured yet.\n"
    lines = [
        "| network | mode | batch | dtype | hardware | ms | images/s | MiB | compiled in / s |",
        "|---|---|--:|---|---|--:|--:|--:|--:|",
    ]
    ours = select(measured, library="jaxnets")
    for record in sorted(ours, key=lambda r: (r["model"], r["mode"], r["batch_size"])):
        size = record["memory_bytes"]
        lines.append(
            f"| {record['model']} | {record['mode']} | {record['batch_size']} | {record['dtype']} "
            f"| {record['hardware']} | {1000 * record['seconds']:,.1f} "
            f"| {record['batch_size'] / record['seconds']:,.1f} "
            f"| {f'{size / 2**20:,.0f}' if size else ''} | {record['compile_seconds']:.1f} |"
        )
    parts = ["\n".join(lines) + "\n"]
    for dtype in sorted({record["dtype"] for record in ours}):
        ratios = peer_ratios(select(measured, dtype=dtype), max_spread)
        parts.append(ratio_table(ratios))
        if ratios["unsteady"]:
            names = ", ".join(f"{model} ({mode})" for model, mode in ratios["unsteady"])
            parts.append(f"Too unsteady for a ratio: {names}.\n")
    parts.append(runtime_table(measured, max_spread))
    return "\n".join(part for part in parts if part)
