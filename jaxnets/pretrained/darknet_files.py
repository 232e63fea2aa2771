"""Darknet's weights: one file of numbers in the order of the cfg's layers."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.models.detection import Darknet, Section, parse_cfg


def read_darknet(
    cfg: Path | str | tuple[Section, ...], weights: Path | str
) -> tuple[Darknet, dict[str, Any]]:
    """The network of a cfg file with the parameters of a weights file.

    Args:
        cfg: path of the cfg file, its text, or its sections, such as those of
            ``create_model("yolov3")``.
        weights: path of the weights file.

    Returns:
        the network, and its variables: ``params`` and ``batch_stats``.

    Raises:
        JaxnetsError: files that are missing or that do not fit: weights shorter or longer than the
            cfg wants, and what `parse_cfg` refuses.

    Source: Redmon, "Darknet: Open Source Neural Networks in C", 2013 to 2016.

    >>> import tempfile
    >>> text = "[net]\\nchannels=1\\n[convolutional]\\nfilters=1\\nactivation=linear"
    >>> with tempfile.NamedTemporaryFile() as file:  # a head of 20 bytes, a bias, a kernel
    ...     _ = file.write(np.int32([0, 2, 0, 0, 0]).tobytes() + np.float32([0.5, 2]).tobytes())
    ...     file.flush()
    ...     network, variables = read_darknet(text, file.name)
    >>> network.apply(variables, jnp.ones((1, 1, 1, 1))).tolist()
    [[[[2.5]]]]
    """
    sections = cfg if isinstance(cfg, tuple) else parse_cfg(cfg)
    try:
        content = Path(weights).read_bytes()
    except OSError as error:
        raise JaxnetsError(f"can't read {weights}: {error.strerror}") from None
    if len(content) < 20:
        raise JaxnetsError(f"{weights} has {len(content)} bytes; expected darknet's weights")
    major, minor, _ = np.frombuffer(content[:12], "<i4")
    # The number of images seen has 8 bytes since version 0.2, and 4 before.
    head = 20 if major * 10 + minor >= 2 else 16
    numbers = np.frombuffer(content[head : head + (len(content) - head) // 4 * 4], "<f4")
    reader = _Reader(numbers, str(weights))
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    channels = [sections[0].get("channels", 3)]
    for number, section in enumerate(sections[1:]):
        channels.append(_channels(section, number, channels))
        if section.kind == "convolutional":
            _convolution(section, number, channels[-2], reader, params, stats)
    if reader.place != len(numbers):
        raise JaxnetsError(
            f"{weights} holds {len(numbers):,} numbers; expected {reader.place:,}, as the cfg "
            "wants: it belongs to another network"
        )
    return Darknet(sections), {"params": params, "batch_stats": stats}


class _Reader:
    """Takes numbers one after another."""

    def __init__(self, numbers: np.ndarray, name: str):
        self.numbers, self.name, self.place = numbers, name, 0

    def take(self, count: int, section: Section) -> np.ndarray:
        stop = self.place + count
        if stop > len(self.numbers):
            raise JaxnetsError(
                f"{self.name} ends after {len(self.numbers):,} numbers; [{section.kind}] in line "
                f"{section.line} of the cfg wants {stop:,}: the file is cut off, or another "
                "network's"
            )
        taken = self.numbers[self.place : stop]
        self.place = stop
        return taken


def _convolution(section, number, inputs, reader, params, stats):
    filters, size = section.get("filters", 1), section.get("size", 1)
    bias = reader.take(filters, section)
    name = f"layer{number}"
    if section.get("batch_normalize", 0):
        scale, mean, var = (reader.take(filters, section) for _ in range(3))
        params[f"{name}_bn"] = {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}
        stats[f"{name}_bn"] = {"mean": jnp.asarray(mean), "var": jnp.asarray(var)}
        params[name] = {}
    else:
        params[name] = {"bias": jnp.asarray(bias)}
    shape = (filters, inputs // section.get("groups", 1), size, size)
    kernel = reader.take(int(np.prod(shape)), section).reshape(shape)
    params[name]["kernel"] = jnp.asarray(kernel.transpose(2, 3, 1, 0))


def _channels(section, number, channels):
    """Channels of a layer's result; ``channels[i + 1]`` are those of layer i."""
    if section.kind == "convolutional":
        return section.get("filters", 1)
    if section.kind == "reorg":
        return channels[-1] * section.get("stride", 1) ** 2
    if section.kind == "route":
        layers = [int(layer) for layer in section.get("layers", (-1.0,))]
        places = [number + layer if layer < 0 else layer for layer in layers]
        if not all(0 <= place < number for place in places):
            raise JaxnetsError(
                f"[route] in line {section.line} names a layer that is not before it"
            )
        return sum(channels[place + 1] for place in places) // section.get("groups", 1)
    return channels[-1]
