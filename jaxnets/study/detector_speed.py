"""Detectors ready to be timed: the network, and what makes boxes of its outputs, apart."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models import create_model, model_info
from jaxnets.models.detection import FastestDetOutputs, RCNNOutputs, SSDOutputs
from jaxnets.study.networks.torchvision_peer import peer_name
from jaxnets.study.networks.workloads import sampled_variables
from jaxnets.study.torch_beside import settle_torch

Calls = dict[str, Callable[[], Any]]
# Most places see background, as those of a trained network: by so much, before softmax or σ.
BACKGROUND = 8.0
UNLIKELY = -5.0


def background_biased(outputs: Any) -> Any:
    """A detector's outputs with random scores, most of which say background.

    Args:
        outputs: of a detector of one stage.

    Returns:
        The same with other scores; boxes are what they were.

    >>> shapes = ((1, 9, 3), (1, 9, 4), (9, 4), 2)
    >>> zeros = SSDOutputs(*map(jnp.zeros, shapes))
    >>> (background_biased(zeros).logits.argmax(-1) == 0).all().item()
    True
    """
    random = np.random.default_rng(0)

    def drawn(like, offset=0.0):
        return jnp.asarray(random.standard_normal(like.shape).astype(np.float32) + offset)

    if isinstance(outputs, SSDOutputs):
        return outputs._replace(logits=drawn(outputs.logits).at[..., 0].add(BACKGROUND))
    if isinstance(outputs, FastestDetOutputs):
        return outputs._replace(
            objectness=drawn(outputs.objectness, UNLIKELY), logits=drawn(outputs.logits)
        )
    if hasattr(outputs, "_replace"):  # of each map
        return outputs._replace(logits=tuple(drawn(each, UNLIKELY) for each in outputs.logits))
    if isinstance(outputs, tuple):  # YOLO's, boxes before objectness and classes
        return tuple(
            jnp.concatenate([raw[..., :4], drawn(raw[..., 4:5], UNLIKELY), drawn(raw[..., 5:])], -1)
            for raw in outputs
        )
    return outputs


def prepare_detector(
    name: str,
    detections: Callable[[Any], Any],
    *,
    batch: int = 1,
    size: tuple[int, int] | None = None,
    **fields: Any,
) -> tuple[Calls, Any]:
    """A registered detector's calls on random images, compiled.

    Args:
        name: of `jaxnets.list_models()`.
        detections: its outputs → `jaxnets.ops.boxes.Detections`.
        batch: images at a time.
        size: height and width, by default the published ones.
        **fields: of the network.

    Returns:
        "network" and "postprocess", or of a detector of two stages, which chooses regions between,
        "whole"; and the outputs that the post-processing sees, None there.

    >>> from jaxnets.models.detection import ssd_detections
    >>> calls, seen = prepare_detector("ssd_slim_face", ssd_detections, size=(64, 64), width=4)
    >>> sorted(calls), calls["postprocess"]().boxes.shape
    (['network', 'postprocess'], (1, 200, 4))
    """
    model, side = create_model(name, **fields), model_info(name).input_size
    shape = (*(size or (side, side)), 3)
    variables = sampled_variables(model, shape)
    random = np.random.default_rng(1)
    images = jnp.asarray(random.standard_normal((batch, *shape)).astype(np.float32))
    abstract = jax.eval_shape(lambda v, x: model.apply(v, x, train=False), variables, images)
    if isinstance(abstract, RCNNOutputs):
        whole = jax.jit(lambda v, x: detections(model.apply(v, x, train=False)))
        return {"whole": lambda: whole(variables, images)}, None
    run = jax.jit(lambda v, x: model.apply(v, x, train=False))
    seen = background_biased(run(variables, images))
    select = jax.jit(detections)
    calls = {"network": lambda: run(variables, images), "postprocess": lambda: select(seen)}
    return calls, seen


def prepare_torchvision(name: str, seen: Any, *, batch: int = 1) -> Calls:
    """The same calls of torchvision's network of this name, on as many threads, channels-last.

    Args:
        name: our name.
        seen: the outputs that our post-processing sees, whose scores theirs sees, too; None for a
            detector of two stages.
        batch: images at a time.

    Returns:
        Calls by the same names; empty where torchvision is not installed or has no such detector.

    >>> prepare_torchvision("fastestdet", None)
    {}
    """
    if (peer := peer_name(name)) is None:
        return {}
    try:
        import torch

        with contextlib.suppress(ImportError):  # a torchvision made for another build of torch
            import tvshim  # noqa: F401
        from torchvision.models import detection
        from torchvision.models.detection.image_list import ImageList
    except (ImportError, RuntimeError, OSError):
        return {}
    settle_torch()
    model = getattr(detection, peer)(weights=None, weights_backbone=None).eval()
    model = model.to(memory_format=torch.channels_last)
    side = model_info(name).input_size
    images = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
    sizes = [(side, side)] * batch
    if seen is None:
        model.transform.min_size, model.transform.max_size = (side,), side

        def whole():
            with torch.inference_mode():
                return model(list(images))

        return {"whole": whole}

    def network():
        with torch.inference_mode():
            return model.head(list(model.backbone(images).values()))

    with torch.inference_mode():
        maps = list(model.backbone(images).values())
        head = dict(model.head(maps))
        anchors = model.anchor_generator(ImageList(images, sizes), maps)
        levels = seen.logits if isinstance(seen.logits, tuple) else None
        if levels is None:
            head["cls_logits"] = torch.from_numpy(np.array(seen.logits))
        else:
            counts = [each.shape[1] for each in levels]
            head["cls_logits"] = torch.from_numpy(np.concatenate(levels, 1))
            head = {key: list(value.split(counts, 1)) for key, value in head.items()}
            anchors = [list(each.split(counts)) for each in anchors]

    def postprocess():
        with torch.inference_mode():
            return model.postprocess_detections(head, anchors, sizes)

    return {"network": network, "postprocess": postprocess}


def detector_table(rows: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of what was measured.

    Args:
        rows: name → parameters, macs, and for each call and library milliseconds and spread.

    Returns:
        The table.

    >>> rows = {"a": {"parameters": 1500, "macs": 2e9, "jaxnets": {"network": [3.0, 0.1]}}}
    >>> print(detector_table(rows).splitlines()[-1])
    | `a` | 1,500 | 2.00 | 3.0 ±10 % | – | – | – | – |
    """
    parts = ("network", "postprocess", "whole")

    def said(row, library, part):
        found = row.get(library, {}).get(part)
        return "–" if found is None else f"{found[0]:.1f} ±{100 * found[1]:.0f} %"

    lines = [
        "| detector | parameters | GMAC | network, ms | post-processing, ms "
        "| torchvision's network | its post-processing | ratio of the whole |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in rows.items():
        cells = []
        for library in ("jaxnets", "torchvision"):
            first = "whole" if "whole" in row.get(library, {}) else "network"
            cells += [said(row, library, first), said(row, library, "postprocess")]
            cells[-2] += " (whole)" if first == "whole" else ""
        times = [
            sum(row.get(k, {}).get(p, [0])[0] for p in parts) for k in ("jaxnets", "torchvision")
        ]
        ratio = f"{times[0] / times[1]:.2f}" if times[1] else "–"
        head = f"| `{name}` | {row['parameters']:,} | {row['macs'] / 1e9:.2f} | "
        lines.append(head + " | ".join([*cells, ratio]) + " |")
    return "\n".join(lines) + "\n"
