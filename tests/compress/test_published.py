"""The published SqueezeNet encoded anew; its figures where the file is there."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets.compress import (
    Recompressed,
    StreamCost,
    decode_symbols,
    encode_symbols,
    huffman_code,
    read_compressed,
    recompress_published,
    stream_costs,
)
from jaxnets.pretrained import load_deep_compression
from jaxnets.pretrained.deep_compression import MEAN, STD, read_stored_layers


def data_folder() -> Path | None:
    root = Path(__file__).resolve().parents[2]
    for place in (os.environ.get("JAXNETS_TEST_DATA"), root.parent / "shared" / "data"):
        if place and (Path(place) / "compression" / "compressed_SqueezeNet.net").exists():
            return Path(place)
    return None


needs_file = pytest.mark.skipif(data_folder() is None, reason="the published file is not here")


@needs_file
def test_streams_have_the_published_counts_and_huffmans_bits():
    layers = read_stored_layers(data_folder() / "compression" / "compressed_SqueezeNet.net")
    costs = stream_costs(layers)
    assert isinstance(costs[0], StreamCost)
    assert sum(cost.entries for cost in costs) == 422_083
    assert sum(int((layer.numbers == 0).sum()) for layer in layers) == 6_162
    assert all(layer.table[0] == 0 and len(np.unique(layer.numbers)) <= 256 for layer in layers)
    assert 1.5 * sum(cost.entries for cost in costs) == 633_124.5
    assert sum(cost.bytes for cost in costs) == 513_937.375
    first, last = costs[0], costs[-1]
    assert (round(first.value_bits, 3), round(first.gap_bits, 3)) == (7.052, 1.015)
    assert (round(last.value_bits, 3), round(last.gap_bits, 3)) == (7.050, 3.486)
    codes, streams = [], []
    for layer in layers:
        for symbols in (layer.numbers, layer.gaps):
            codes.append(huffman_code(np.bincount(symbols)))
            streams.append(encode_symbols(symbols, codes[-1]))
    decoded = iter(decode_symbols(streams, codes))
    for layer in layers:
        np.testing.assert_array_equal(next(decoded), layer.numbers)
        np.testing.assert_array_equal(next(decoded), layer.gaps)


@needs_file
def test_the_file_is_below_560_kilobytes_with_the_same_weights(tmp_path):
    source = data_folder() / "compression" / "compressed_SqueezeNet.net"
    found = recompress_published(source, tmp_path / "net.jxnc")
    assert isinstance(found, Recompressed) and found.nonzero == 415_921
    assert found.bytes == (tmp_path / "net.jxnc").stat().st_size < 560_000
    _, before = load_deep_compression(source)
    after = read_compressed(tmp_path / "net.jxnc", like=before).variables
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.slow
@needs_file
def test_it_classifies_the_photographs(tmp_path):
    from PIL import Image

    source = data_folder() / "compression" / "compressed_SqueezeNet.net"
    recompress_published(source, tmp_path / "net.jxnc")
    model, _ = load_deep_compression(source)
    variables = read_compressed(tmp_path / "net.jxnc").variables
    photos = sorted((data_folder() / "photos").glob("*.JPEG"))
    images, labels = [], []
    for photo in photos:
        image = Image.open(photo).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
        images.append(np.asarray(image.crop((14, 14, 241, 241)), np.float32) / 255)
        labels.append(int(photo.name.split("_")[0]))
    x = (np.stack(images) - np.float32(MEAN)) / np.float32(STD)
    logits = np.asarray(jax.jit(model.apply)(variables, x))
    best = np.argsort(-logits, -1)[:, :5]
    right = best == np.array(labels)[:, None]
    assert len(photos) == 25
    assert (right[:, 0].sum(), right.any(1).sum()) == (15, 24)
