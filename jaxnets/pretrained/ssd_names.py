"""Names of SSD300's and SSDlite's layers in torchvision."""

import flax.linen as nn

from jaxnets.models.vgg import CONFIGURATIONS
from jaxnets.pretrained.mobilenet_v3_names import block, ends, numbered_blocks, pair
from jaxnets.pretrained.names import NameMap, Rules

HEADS = ("classification", "regression")


def _ssd300(model: nn.Module) -> Rules:
    table, place = [], 0
    for i, kernels in enumerate(CONFIGURATIONS["D"], start=1):
        # What follows conv4_3 is the first of the further maps, pooling counted.
        there, place = ("extra.0", 1) if i == 5 else ("features", place)
        for j, _ in enumerate(kernels, start=1):
            table.append((f"backbone/stage{i}/conv{j}", f"backbone.{there}.{place}"))
            place += 2
        place += 1
    table += [
        ("backbone/fc6", "backbone.extra.0.7.1"),
        ("backbone/fc7", "backbone.extra.0.7.3"),
        ("backbone/extra{i}_reduce", "backbone.extra.{i}.0"),
        ("backbone/extra{i}_conv", "backbone.extra.{i}.2"),
    ]
    return table + [(f"{head}{{i}}", f"head.{head}_head.module_list.{{i}}") for head in HEADS]


def _ssdlite(model: nn.Module) -> Rules:
    network, ours = model.backbone.network, "backbone/network/"
    blocks = numbered_blocks(network)
    # The first block of the last stage is cut after its expansion.
    last = blocks[-1][0].partition("/")[0]
    cut = next(i for i, entry in enumerate(blocks) if entry[0].startswith(last))
    first, second = "backbone.features.0", "backbone.features.1"
    table = ends(ours, f"{first}.0", f"{second}.{len(blocks) - cut}")
    for i, (path, expands, excite) in enumerate(blocks):
        if i == cut:
            table += pair(f"{ours}{path}/expand", f"{first}.{i + 1}")
            theirs = f"{second}.0"
        else:
            theirs = f"{first}.{i + 1}.block" if i < cut else f"{second}.{i - cut}.block"
        table += block(f"{ours}{path}", theirs, expands, excite)
    for place, name in enumerate(("reduce", "depthwise", "expand")):
        there = f"backbone.extra.{{i-1}}.{place}"
        table.append((f"backbone/extra{{i}}_{name}/conv", f"{there}.0"))
        table.append((f"backbone/extra{{i}}_{name}/bn", f"{there}.1"))
    for head in HEADS:
        there = f"head.{head}_head.module_list.{{i}}"
        table += [
            (f"{head}{{i}}_depthwise/conv", f"{there}.0.0"),
            (f"{head}{{i}}_depthwise/bn", f"{there}.0.1"),
            (f"{head}{{i}}", f"{there}.1"),
        ]
    return table


SSD300 = NameMap("torchvision", _ssd300)
SSDLITE = NameMap("torchvision", _ssdlite)
