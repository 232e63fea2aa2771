"""List the networks: parameters, multiply-accumulates, input size, whose weights fit.

Command:  jaxnets models
          jaxnets models 'resnet*'
          jaxnets models --weights
Time:     a second.
Result:   a line for each network; with --addresses also where its weights lie.
"""

import fnmatch
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from jaxnets.errors import UnknownNameError
from jaxnets.models import list_models, model_info


@dataclass(frozen=True)
class Config:
    """Which networks.

    Attributes:
        pattern: a name, or a part of it with * for any letters.
        weights: only networks whose published weights can be read.
        addresses: show where the weights lie.
    """

    pattern: Annotated[str, tyro.conf.Positional] = "*"
    weights: bool = False
    addresses: bool = False


def main(config: Config) -> dict[str, Any]:
    """Print the list and return ``{name: {"parameters", "macs", "input", "weights", …}}``."""
    names = [n for n in list_models() if fnmatch.fnmatchcase(n, config.pattern.lower())]
    if not names:
        raise UnknownNameError("network", config.pattern, list_models())
    infos = [model_info(name) for name in names]
    infos = [info for info in infos if info.weights or not config.weights]
    width = max([len(info.name) for info in infos], default=0) + 2
    for info in infos:
        side = info.input_size
        line = f"{info.name:<{width}}{info.parameters:>12,} parameters {info.macs:>15,} MACs"
        line += f"  {side}×{side}×{info.channels}"
        print(f"{line}  {', '.join(info.weights)}".rstrip())
        if config.addresses:
            for address in info.addresses.values():
                print(f"{'':<{width}}{address}")
    return {
        info.name: {
            "parameters": info.parameters,
            "macs": info.macs,
            "input": info.input_shape,
            "weights": info.weights,
            "addresses": info.addresses,
            "paper": f"{info.paper.title} ({info.paper.year})",
        }
        for info in infos
    }
