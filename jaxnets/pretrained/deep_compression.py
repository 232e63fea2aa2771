"""The published SqueezeNet of 0.66 MB: weights as a sparse list of numbers of a shared table.

Each layer stores 256 shared values, its biases, and for every weight that was not pruned the number
of its value (8 bits) and how many zeros lie before it (4 bits); where more than 15 zeros follow one
another, an entry with the value 0 is put between.
"""

from pathlib import Path
from typing import Any, NamedTuple

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
    ours = {p: a.transpose(2, 3, 1, 0) if a.ndim == 4 else a for p, a in arrays.items()}
    return create_model(NETWORK), {"params": unflatten_dict(ours)}


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
    arrays = {}
    for layer in read_stored_layers(path):
        name = layer.path.replace("/", ".")
        arrays[f"{name}.weight"] = layer.kernel().transpose(3, 2, 0, 1)
        arrays[f"{name}.bias"] = layer.bias
    arrays["stem.weight"] = np.ascontiguousarray(arrays["stem.weight"][:, ::-1])
    return arrays


class StoredLayer(NamedTuple):
    """A layer as the file has it.

    Attributes:
        path: of the layer in the network here.
        shape: of its kernel in the file's order: (out, in, height, width).
        table: (256,) shared values; number 0 is 0.
        bias: (out,).
        numbers: (E,) of each stored entry's value, uint8; 0 is a filler.
        gaps: (E,) zeros before each entry, 0 to 15, uint8.

    >>> entries = np.uint8([1, 1]), np.uint8([0, 2])
    >>> layer = StoredLayer("head", (1, 2, 1, 2), np.float32([0, 5]), np.zeros(1), *entries)
    >>> layer.kernel().ravel()
    array([5., 0., 0., 5.], dtype=float32)
    """

    path: str
    shape: tuple[int, int, int, int]
    table: np.ndarray
    bias: np.ndarray
    numbers: np.ndarray
    gaps: np.ndarray

    def kernel(self) -> np.ndarray:
        """The kernel, (height, width, in, out)."""
        flat = np.zeros(np.prod(self.shape), np.float32)
        flat[np.cumsum(self.gaps.astype(np.int64) + 1) - 1] = self.table[self.numbers]
        return np.ascontiguousarray(flat.reshape(self.shape).transpose(2, 3, 1, 0))


def read_stored_layers(path: str | Path) -> list[StoredLayer]:
    """The file's layers in its order, with the streams as they are stored.

    Args:
        path: ``compressed_SqueezeNet.net``.

    Returns:
        One `StoredLayer` for each convolution.

    Raises:
        JaxnetsError: as `load_deep_compression`.

    >>> read_stored_layers("none.net")
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
    order = _call_order(model)
    reader = _Reader(path, data)
    counts = reader.take(np.dtype("<u4"), len(order))
    layers = []
    for layer, count in zip(order, counts.tolist(), strict=True):
        h, w, n_in, n_out = shapes[(*layer, "kernel")].shape
        table = reader.take(np.dtype("<f4"), TABLE)
        bias = reader.take(np.dtype("<f4"), n_out).copy()
        numbers = reader.take(np.dtype("u1"), count)
        pairs = reader.take(np.dtype("u1"), (count + 1) // 2)
        gaps = np.stack([pairs % 16, pairs // 16], axis=1).ravel()[:count]
        if count + gaps.sum(dtype=np.int64) > h * w * n_in * n_out:
            reader.refuse(f"layer {'/'.join(layer)} has more weights than {h * w * n_in * n_out}")
        layers.append(StoredLayer("/".join(layer), (n_out, n_in, h, w), table, bias, numbers, gaps))
    if reader.place != len(data):
        reader.refuse(f"{len(data) - reader.place} bytes are left over")
    return layers


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
