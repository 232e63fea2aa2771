"""Names of the layers of FastestDet and of the face detector slim-320, as their authors say."""

import flax.linen as nn

from jaxnets.pretrained.names import NameMap, Rules
from jaxnets.pretrained.shufflenet_trunk import AUTHORS

LAST = 3


def _pair(ours: str, theirs: str, place: int = 0) -> list[tuple[str, str]]:
    """A convolution and the normalization behind it."""
    return [(f"{ours}/conv", f"{theirs}.{place}"), (f"{ours}/bn", f"{theirs}.{place + 1}")]


def _fastestdet(model: nn.Module) -> Rules:
    trunk = AUTHORS.rules(model)
    table = [(f"backbone/{ours}", f"backbone.{theirs}") for ours, theirs in trunk]
    table += _pair("reduce", "SPP.Conv1x1.conv1x1")
    for i in (1, 2, 3):
        for j in range(i):
            table += _pair(f"window{i}_{j}", f"SPP.S{i}", 3 * j)
    table += _pair("join", "SPP.output") + _pair("head", "detect_head.conv1x1.conv1x1")
    for ours, theirs in (("objectness", "obj"), ("places", "reg"), ("classes", "cls")):
        there = f"detect_head.{theirs}_layers.conv5x5"
        table += _pair(f"{ours}_depthwise", there) + _pair(ours, there, 3)
    return table


def _slim_face(model: nn.Module) -> Rules:
    table = [
        *_pair("stem", "base_net.0"),
        ("block{i}/depthwise", "base_net.{i}.0"),
        ("block{i}/bn1", "base_net.{i}.1"),
        ("block{i}/pointwise", "base_net.{i}.3"),
        ("block{i}/bn2", "base_net.{i}.4"),
        ("extra_reduce", "extras.0.0"),
        ("extra_depthwise", "extras.0.2.0"),
        ("extra_expand", "extras.0.2.2"),
    ]
    for head in ("classification", "regression"):
        table += [
            (f"{head}{LAST}", f"{head}_headers.{LAST}"),
            (f"{head}{{i}}_depthwise", f"{head}_headers.{{i}}.0"),
            (f"{head}{{i}}", f"{head}_headers.{{i}}.2"),
        ]
    return table


# Its images were read by OpenCV, which has blue in front.
FASTESTDET = NameMap("dog-qiuqiu", _fastestdet, fields={"blue_first": True})
SLIM_FACE = NameMap("linzaer", _slim_face)
