"""The published SqueezeNet of 0.66 MB in this library's format: the same weights in fewer bytes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.compress.container import write_compressed
from jaxnets.compress.huffman import huffman_code, mean_bits
from jaxnets.pretrained import load_deep_compression
from jaxnets.pretrained.deep_compression import NETWORK, StoredLayer, read_stored_layers


class StreamCost(NamedTuple):
    """What Huffman coding makes of a layer's two streams as the file has them.

    Attributes:
        layer: its path.
        entries: stored, fillers among them.
        value_bits, gap_bits: bits an entry, 8 and 4 before.

    >>> StreamCost("stem", 100, 7.0, 1.0).bytes
    100.0
    """

    layer: str
    entries: int
    value_bits: float
    gap_bits: float

    @property
    def bytes(self) -> float:
        """Of both streams."""
        return self.entries * (self.value_bits + self.gap_bits) / 8


def stream_costs(layers: list[StoredLayer]) -> list[StreamCost]:
    """Bits an entry of each layer after Huffman coding, of values and gaps in the file's order.

    Args:
        layers: of `jaxnets.pretrained.deep_compression.read_stored_layers`.

    Returns:
        One `StreamCost` a layer.

    >>> streams = np.array([1, 2]), np.zeros(2, int)
    >>> layer = StoredLayer("a", (2, 1, 1, 1), np.zeros(256), np.zeros(2), *streams)
    >>> stream_costs([layer])[0].value_bits, stream_costs([layer])[0].gap_bits
    (1.0, 0.0)
    """
    found = []
    for layer in layers:
        numbers, gaps = np.bincount(layer.numbers), np.bincount(layer.gaps)
        bits = [mean_bits(huffman_code(counts), counts) for counts in (numbers, gaps)]
        found.append(StreamCost(layer.path, len(layer.numbers), *bits))
    return found


class Recompressed(NamedTuple):
    """What the published file became.

    Attributes:
        bytes: of the new file.
        published_bytes: of the old one.
        entries: stored in it, fillers among them.
        nonzero: weights that are not 0.
        payload_bytes: of the old file's two streams.
        huffman_payload_bytes: of the same streams, Huffman-coded.

    >>> Recompressed(547_077, 675_763, 422_083, 415_921, 633_124.5, 513_937.375).bytes
    547077
    """

    bytes: int
    published_bytes: int
    entries: int
    nonzero: int
    payload_bytes: float
    huffman_payload_bytes: float


def recompress_published(source: str | Path, target: str | Path) -> Recompressed:
    """Write the published file's network in this library's format, weight for weight.

    Args:
        source: ``compressed_SqueezeNet.net``.
        target: the file to write; `read_compressed` reads it.

    Returns:
        `Recompressed`.

    Raises:
        JaxnetsError: the source is not that file, or the target cannot be written.

    Source: Iandola et al., "SqueezeNet", 2016, section 5; Han, Mao, Dally, 2016, section 4, for
    Huffman coding, which the published file does without.

    Example: ``recompress_published("compressed_SqueezeNet.net", "squeezenet.jxnc")``.

    >>> recompress_published("none.net", "squeezenet.jxnc")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: none.net: cannot be read ([Errno 2] No such file or directory: ...
    """
    layers = read_stored_layers(source)
    costs = stream_costs(layers)
    _, variables = load_deep_compression(source)
    entries = sum(cost.entries for cost in costs)
    return Recompressed(
        bytes=write_compressed(target, variables, name=NETWORK),
        published_bytes=Path(source).stat().st_size,
        entries=entries,
        nonzero=sum(int(np.count_nonzero(layer.kernel())) for layer in layers),
        payload_bytes=1.5 * entries,
        huffman_payload_bytes=sum(cost.bytes for cost in costs),
    )
