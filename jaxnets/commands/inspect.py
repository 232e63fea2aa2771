"""Look into a network: every layer's shape, cost and receptive field, and four design principles.

Command:  jaxnets inspect vgg16
          jaxnets inspect resnet50 --image-size 448 --dtype bfloat16
          jaxnets inspect inception_v3 --endpoints
Time:     1 s for VGG-16, 7 s for ResNet-152, 20 s for NASNet-A large: nothing is initialized or
          run.
Result:   the layer table on the screen, and in runs/inspect_model/NAME/: layers.md, layers.png
          (where parameters, arithmetic and memory lie), config.json, summary.json. VGG-16:
          15,237,608 activations with input and pooling (61 MB; the CS231n slide adds the same
          rows up to 24 M), 102,764,544 of 138,357,544 parameters in fc6.

The principles are those of "Rethinking the Inception Architecture", section 2.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import tyro

from jaxnets.errors import JaxnetsError
from jaxnets.inspect import (
    Check,
    Layer,
    Stage,
    as_markdown,
    as_text,
    checks_of,
    receptive_fields,
    stages,
    totals,
    trace_network,
)
from jaxnets.models import create_model, model_info
from jaxnets.study.networks.inspection_figures import save_layer_bars
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to look into.

    Attributes:
        model: a name of `jaxnets.list_models()`.
        image_size: side of the images (default: the network's published input).
        dtype: sets the bytes of an activation.
        endpoints: print the receptive field and stride of the named feature maps as well.
        workdir: results go to a folder of the network's name in it.
    """

    model: Annotated[str, tyro.conf.Positional] = "vgg16"
    image_size: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    endpoints: bool = False
    workdir: Path = Path("runs/inspect_model")


def main(config: Config) -> dict[str, Any]:
    """Print the table and the checks, write them and the picture, return the sums."""
    info = model_info(config.model)
    if config.image_size is not None and config.image_size < 1:
        raise JaxnetsError(f"--image-size must be positive, got {config.image_size}")
    size = config.image_size or info.input_size
    shape = (size, size, info.channels)
    clock = time.perf_counter()
    try:
        traced = trace_network(create_model(config.model), shape)
    except ValueError as error:
        # A network's own words, such as the smallest image that it takes.
        raise JaxnetsError(str(error)) from error
    seconds = time.perf_counter() - clock
    layers, checks, parts = traced.layers, checks_of(traced), stages(traced.layers)
    sums = totals(layers)
    summary = {
        "model": config.model,
        "input": shape,
        "seconds": seconds,
        **asdict(sums),
        "activation_bytes": sums.activations * jnp.dtype(config.dtype).itemsize,
        "receptive_field": _last_map(layers).field,
        "principles": {check.principle: asdict(check) for check in checks},
        "stages": [asdict(stage) for stage in parts],
    }
    if config.endpoints:
        outputs = receptive_fields(create_model(config.model, num_classes=None), shape)
        summary["endpoints"] = {
            name: {"shape": layer.shape, "field": layer.field, "stride": layer.jump}
            for name, layer in outputs.items()
        }
    text = _report(config, layers, checks, parts, summary)
    print(text)
    # summary.json lies where every experiment has it; what is of one network in its folder.
    folder = config.workdir / config.model
    folder.mkdir(parents=True, exist_ok=True)
    settings = {**asdict(config), "workdir": str(config.workdir)}
    write_json(config.workdir / "config.json", settings)
    write_json(config.workdir / "summary.json", summary)
    write_json(folder / "summary.json", summary)
    (folder / "layers.md").write_text(as_markdown(layers), encoding="utf-8")
    save_layer_bars(config.model, layers, folder / "layers.png")
    print(f"{seconds:.1f} s; {folder}: layers.md, layers.png, summary.json")
    return summary


def _last_map(layers: tuple[Layer, ...]) -> Layer:
    """The last layer that still is a map."""
    return [layer for layer in layers if len(layer.shape) == 3 and 0 not in layer.jump][-1]


def _report(
    config: Config,
    layers: tuple[Layer, ...],
    checks: list[Check],
    parts: list[Stage],
    summary: dict[str, Any],
) -> str:
    lines = [as_text(layers)]
    if config.dtype != "float32":
        lines.append(f"{summary['activation_bytes'] / 2**20:,.1f} MiB in {config.dtype}")
    lines += ["", "resolution   convolutions  channels    parameters            MACs"]
    for part in parts:
        resolution = "×".join(map(str, part.resolution))
        lines.append(
            f"{resolution:<13}{part.depth:>12}{part.width:>10}{part.parameters:>14,}"
            f"{part.macs:>16,}"
        )
    lines += ["", "design principles (advice, not laws)"]
    for check in checks:
        lines.append(
            f"  {'holds   ' if check.holds else 'does not'}  {check.principle:<34}"
            f"{check.value:5.2f} (limit {check.limit:g}) at {check.where}: {check.meaning}"
        )
    for name, entry in summary.get("endpoints", {}).items():
        shape = "×".join(map(str, entry["shape"]))
        field, stride = entry["field"][0], entry["stride"][0]
        lines.append(f"  endpoint {name:<16} {shape:<14} field {field:g}, stride {stride:g}")
    return "\n".join(lines)
