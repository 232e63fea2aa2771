"""Names of MobileNet v3's layers in torchvision, which numbers what a block has."""

import flax.linen as nn

from jaxnets.models.mobilenet_v2 import round_to_eight
from jaxnets.models.mobilenet_v3 import split_rows

Pairs = list[tuple[str, str]]


def numbered_blocks(model: nn.Module) -> list[tuple[str, bool, bool]]:
    """Of every block in order: our path, whether it expands, whether it has squeeze-and-excitation.

    Args:
        model: a `jaxnets.models.mobilenet_v3.MobileNetV3`.

    Returns:
        one entry a block.
    """
    found, before = [], round_to_eight(16 * model.width)
    for i, rows in enumerate(split_rows(model.rows), start=1):
        for j, (_, wide, out, excite, *_) in enumerate(rows):
            expands = round_to_eight(wide * model.width) != before
            found.append((f"stage{i}/block{j}", expands, excite))
            before = round_to_eight(out * model.width)
    return found


def pair(ours: str, theirs: str) -> Pairs:
    """A convolution and its normalization."""
    return [(ours, f"{theirs}.0"), (f"{ours}_bn", f"{theirs}.1")]


def block(ours: str, theirs: str, expands: bool, excite: bool) -> Pairs:
    """The layers of one block, which torchvision counts from 0."""
    place, table = 0, []
    if expands:
        table += pair(f"{ours}/expand", f"{theirs}.0")
        place += 1
    table += pair(f"{ours}/depthwise", f"{theirs}.{place}")
    if excite:
        place += 1
        table += [
            (f"{ours}/se/squeeze", f"{theirs}.{place}.fc1"),
            (f"{ours}/se/excite", f"{theirs}.{place}.fc2"),
        ]
    return table + pair(f"{ours}/project", f"{theirs}.{place + 1}")


def ends(ours: str, first: str, last: str) -> Pairs:
    """The first and the last convolution, with their normalizations."""
    table = []
    for name, theirs in (("stem", first), ("last", last)):
        table += [
            (f"{ours}{name}/conv", f"{theirs}.0"),
            (f"{ours}{name}/bn", f"{theirs}.1"),
        ]
    return table


def features(model: nn.Module, ours: str = "", theirs: str = "features") -> Pairs:
    """All layers but the classifier.

    Args:
        model: the network without what is around it.
        ours: in front of our paths, ending in "/".
        theirs: in front of torchvision's numbers.

    Returns:
        rules.
    """
    blocks = numbered_blocks(model)
    table = ends(ours, f"{theirs}.0", f"{theirs}.{len(blocks) + 1}")
    for number, (path, expands, excite) in enumerate(blocks, start=1):
        table += block(f"{ours}{path}", f"{theirs}.{number}.block", expands, excite)
    return table
