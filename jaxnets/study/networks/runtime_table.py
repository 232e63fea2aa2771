"""Inference of an optimized network beside other libraries, as Markdown."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from jaxnets.study.networks.records import select


def runtime_table(measured: Sequence[dict[str, Any]], max_spread: float | None = None) -> str:
    """Inference of `jaxnets.nn.optimize_for_inference` beside other libraries, in milliseconds.

    Args:
        measured: records of measurements.
        max_spread: what varied more than that from round to round has no figure.

    Returns:
        Markdown, with the geometric means of the others' time over ours; nothing where nothing was
        measured.

    >>> runtime_table([])
    ''
    """
    libraries = ("jaxnets", "torchvision", "onnxruntime", "openvino")
    lines, logs = [], defaultdict(list)
    for ours in select(measured, library="jaxnets optimized"):
        same = {k: ours[k] for k in ("model", "mode", "batch_size", "dtype", "hardware")}
        texts = []
        steady = max_spread is None or ours.get("spread", 0.0) <= max_spread
        for library in libraries:
            found = [
                r
                for r in select(measured, library=library, **same)
                if steady and (max_spread is None or r.get("spread", 0.0) <= max_spread)
            ]
            texts.append(f"{1e3 * found[0]['seconds']:.1f}" if found else "")
            if found:
                ratio = found[0]["seconds"] / ours["seconds"]
                logs[same["dtype"], library].append(math.log(ratio))
        own = f"{1e3 * ours['seconds']:.1f}" if steady else "unsteady"
        model = f"{same['model']} | {same['batch_size']} | {same['dtype']}"
        lines.append(f"| {model} | {own} | " + " | ".join(texts) + " |")
    if not lines:
        return ""
    for dtype in sorted({dtype for dtype, _ in logs}):
        means = [logs.get((dtype, library)) for library in libraries]
        texts = [f"**{math.exp(sum(v) / len(v)):.2f}**" if v else "" for v in means]
        lines.append(f"| geometric mean, over ours | | {dtype} | 1 | " + " | ".join(texts) + " |")
    hardware = "; ".join(sorted({r["hardware"] for r in select(measured)}))
    head = [
        f"Inference, medians in milliseconds, {hardware}; all in the same run, in turn.",
        "",
        "| network | batch | dtype | optimized | jaxnets | torchvision | ONNX Runtime | OpenVINO |",
        "|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    return "\n".join([*head, *lines]) + "\n"
