"""The published SqueezeNet of 0.66 MB: weights as a sparse list of numbers of a shared table.

Each layer stores 256 shared values, its biases, and for every weight that was not pruned the number
of its value (8 bits) and how many zeros lie before it (4 bits); where more than 15 zeros follow one
another, an entry with the value 0 is put between.
"""

from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, model_info
from jaxnets.models.counting import abstract_variables

NETWORK, SIDE, ENDING = "squeezenet1_0_paper", 227, ".net"
TABLE = 256
# Those of Caffe's images, for images from 0 to 1.
MEAN, STD = model_info(NETWORK).mean, model_info(NETWORK).std


def load_deep_compression(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Make SqueezeNet with the weights of a file in Deep Compression's format.

    The same as `jaxnets.pretrained.load` of "squeezenet1_0_paper" and the file. Images are
    normalized with `MEAN` and `STD` of this module and are of 227×227 pixels.

    Args:
        path: ``compressed_SqueezeNet.net``.

    Returns:
        (network, variables).

    Raises:
        JaxnetsError: the file cannot be read, or is not of this network.

    Source: Han, Mao, Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning,
    Trained Quantization and Huffman Coding", 2016, sections 2 and 3; Iandola et al., 2016.

    Example: ``model, variables = load_deep_compression("compressed_SqueezeNet.net")``.

    >>> load_deep_compression("none.net")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: none.net: cannot be read ([Errno 2] No such file or directory: ...
    """
    arrays = {
        tuple(name.replace(".weight", ".kernel").split(".")): array
        for name, array in read_deep_compression(path).items()
    }
    kernels = {p: a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for p, a in arrays.items()}
    return create_model(NETWORK), {"params": unflatten_dict(kernels)}


def read_deep_compression(path: str | Path) -> dict[str, np.ndarray]:
    """The weights of a file in Deep Compression's format.

    The file's network saw blue before red; its first kernel is turned around, so that images have
    their channels in the usual order.

    Args:
        path: ``compressed_SqueezeNet.net``.

    Returns:
        Name → array, "stem.weight" (out, in, height, width), "stem.bias" (out,), …, as
        `jaxnets.pretrained.read_state_dict` gives them.

    Raises:
        JaxnetsError: the file cannot be read, or is not of this network.

    >>> read_deep_compression("none.net")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: none.net: cannot be read ([Errno 2] No such file or directory: ...
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JaxnetsError(f"{path}: cannot be read ({error})") from None
    model = create_model(NETWORK)
    shapes = flatten_dict(abstract_variables(model, (SIDE, SIDE, 3))["params"])
    layers = _call_order(model)
    reader = _Reader(path, data)
    counts = reader.take(np.dtype("<u4"), len(layers))
    arrays: dict[str, np.ndarray] = {}
    for layer, count in zip(layers, counts.tolist(), strict=True):
        kernel, bias = (*layer, "kernel"), (*layer, "bias")
        table = reader.take(np.dtype("<f4"), TABLE)
        biases = reader.take(np.dtype("<f4"), shapes[bias].shape[0]).copy()
        numbers = reader.take(np.dtype("u1"), count)
        pairs = reader.take(np.dtype("u1"), (count + 1) // 2)
        gaps = np.stack([pairs % 16, pairs // 16], axis=1).ravel()[:count]
        places = np.cumsum(gaps.astype(np.int64) + 1) - 1
        h, w, n_in, n_out = shapes[kernel].shape
        if count and places[-1] >= h * w * n_in * n_out:
            reader.refuse(f"layer {'/'.join(layer)} has more weights than {h * w * n_in * n_out}")
        flat = np.zeros(h * w * n_in * n_out, np.float32)
        flat[places] = table[numbers]
        name = ".".join(layer)
        arrays[f"{name}.weight"] = flat.reshape(n_out, n_in, h, w)
        arrays[f"{name}.bias"] = biases
    if reader.place != len(data):
        reader.refuse(f"{len(data) - reader.place} bytes are left over")
    arrays["stem.weight"] = np.ascontiguousarray(arrays["stem.weight"][:, ::-1])
    return arrays


def _call_order(model: nn.Module) -> list[tuple[str, ...]]:
    """The convolutions in the order in which they are called, which is the file's."""
    order: list[tuple[str, ...]] = []

    def watch(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        if "kernel" in context.module.variables.get("params", {}):
            order.append(context.module.path)
        return result

    with nn.intercept_methods(watch):
        abstract_variables(model, (SIDE, SIDE, 3))
    return list(dict.fromkeys(order))


def network_of_file(path: str | Path | None) -> str | None:
    """The network whose weights a file holds, where its format says so.

    Args:
        path: a file of weights.

    Returns:
        The network's name for Deep Compression's files (``.net``), None for all others.

    >>> network_of_file("compressed_SqueezeNet.net"), network_of_file("resnet50-0676ba61.pth")
    ('squeezenet1_0_paper', None)
    """
    return NETWORK if path is not None and str(path).endswith(ENDING) else None


class _Reader:
    """Takes arrays from bytes, one after another."""

    def __init__(self, path: Path, data: bytes):
        self.path, self.data, self.place = path, data, 0

    def take(self, dtype: np.dtype, count: int) -> np.ndarray:
        end = self.place + count * dtype.itemsize
        if end > len(self.data):
            self.refuse(f"it ends after {len(self.data)} bytes, {end} are needed")
        found = np.frombuffer(self.data, dtype, count, self.place)
        self.place = end
        return found

    def refuse(self, why: str):
        raise JaxnetsError(
            f"{self.path}: no SqueezeNet in Deep Compression's format: {why}. The published file "
            "is compressed_SqueezeNet.net, 675,763 bytes"
        )
