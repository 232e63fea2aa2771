"""ShuffleNetV2 without its end, as detectors of the authors' school store it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained.convert import assemble, fits, match_variables, to_flax
from jaxnets.pretrained.names import NameMap
from jaxnets.pretrained.state_dict import read_state_dict

# The layers in front of what a classifier ends with.
PARTS = ("stem", "stage2", "stage3", "stage4")


def _rules(model: nn.Module) -> list[tuple[str, str]]:
    there = "stage{i}.{j}.branch"
    layers = (
        ("left_depthwise", f"{there}_proj", 0),
        ("left_expand", f"{there}_proj", 2),
        ("reduce", f"{there}_main", 0),
        ("depthwise", f"{there}_main", 3),
        ("expand", f"{there}_main", 5),
    )
    table = [("stem/conv", "first_conv.0"), ("stem/bn", "first_conv.1")]
    for ours, theirs, place in layers:
        table.append((f"stage{{i}}/block{{j}}/{ours}/conv", f"{theirs}.{place}"))
        table.append((f"stage{{i}}/block{{j}}/{ours}/bn", f"{theirs}.{place + 1}"))
    return table


AUTHORS = NameMap("megvii", _rules)


def read_trunk(path: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The weights of a ShuffleNetV2 with half the channels, from the stem to the last stage.

    Files are those of FastestDet, with or without the detector around it. They were trained on
    images with blue in front; the first kernel is turned, so that red is.

    Args:
        path: a file, or a state dict.

    Returns:
        ``{"params": …, "batch_stats": …}`` of ``shufflenet_v2_x0_5(parity=True)``, of its parts
        "stem" and "stage2" to "stage4", float32.

    Raises:
        JaxnetsError: a file that is damaged, or of something else.

    Source: Ma et al., "ShuffleNet V2", 2018; its authors' code, and FastestDet's.

    >>> read_trunk({})
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: the given state dict: no ...
    """
    where = "the given state dict" if isinstance(path, Mapping) else str(path)
    weights = dict(path) if isinstance(path, Mapping) else read_state_dict(path)
    weights = {name.removeprefix("backbone."): array for name, array in weights.items()}
    network = create_model("shufflenet_v2_x0_5", num_classes=None, parity=True)
    shapes = abstract_variables(network, (64, 64, 3))
    arrays = {}
    for match in match_variables(shapes, AUTHORS, network):
        if match.path.split("/")[1] not in PARTS:
            continue
        (name,) = match.names
        if name not in weights or not fits(match, np.asarray(weights[name])):
            problem = f"no {name}" if name not in weights else f"{name} has another shape"
            raise JaxnetsError(
                f"{where}: {problem}; expected the weights of a ShuffleNetV2 with half the "
                "channels, as FastestDet has it"
            )
        arrays[match.path] = to_flax(match, [weights[name]])
    stem = "params/stem/conv/kernel"
    arrays[stem] = np.ascontiguousarray(arrays[stem][:, :, ::-1])
    return assemble(arrays)
