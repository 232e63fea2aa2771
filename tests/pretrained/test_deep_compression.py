"""The reader of the compressed SqueezeNet, on files that are written here, and on the real one."""

import os
from pathlib import Path

import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import load_deep_compression

# Shapes of the published network, (out, in, h, w), as its prototxt has them.
FIRES = [(96, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)]
FIRES += [(256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)]
SHAPES = [(96, 3, 7, 7)]
for before, squeeze, expand in FIRES:
    SHAPES += [(squeeze, before, 1, 1), (expand, squeeze, 1, 1), (expand, squeeze, 3, 3)]
SHAPES += [(1000, 512, 1, 1)]


def encode(seed=0):
    """A file, and the dense kernels and biases that are in it, in its order."""
    random = np.random.default_rng(seed)
    counts, parts, kernels, biases = [], [], [], []
    for shape in SHAPES:
        size = int(np.prod(shape))
        table = np.append(0, random.standard_normal(255)).astype("<f4")
        kept = np.flatnonzero(random.random(size) < 0.04)
        places, last = [], -1
        for place in kept:
            while place - last > 16:  # a step of at most 16 fits into 4 bits
                last += 16
                places.append((last, 0))
            places.append((place, int(random.integers(1, 256))))
            last = place
        where = np.array([p for p, _ in places])
        numbers = np.array([n for _, n in places], np.uint8)
        gaps = np.diff(where, prepend=-1) - 1
        gaps = np.append(gaps, np.zeros(len(gaps) % 2, int)).reshape(-1, 2)
        bias = random.standard_normal(shape[0]).astype("<f4")
        dense = np.zeros(size, np.float32)
        dense[where] = table[numbers]
        counts.append(len(where))
        pairs = (gaps[:, 0] + 16 * gaps[:, 1]).astype(np.uint8)
        parts += [table.tobytes(), bias.tobytes(), numbers.tobytes(), pairs.tobytes()]
        kernels.append(dense.reshape(shape))
        biases.append(bias)
    return np.array(counts, "<u4").tobytes() + b"".join(parts), kernels, biases


def test_reads_what_was_written(tmp_path):
    data, kernels, biases = encode()
    file = tmp_path / "own.net"
    file.write_bytes(data)
    model, variables = load_deep_compression(file)
    flat = flatten_dict(variables["params"], sep="/")
    assert model.num_classes == 1000 and len(flat) == 2 * len(SHAPES)
    # Caffe's blue comes first.
    stem = kernels[0].transpose(2, 3, 1, 0)[:, :, ::-1]
    np.testing.assert_array_equal(flat["stem/kernel"], stem)
    np.testing.assert_array_equal(
        flat["stage1/block0/expand3x3/kernel"], kernels[3].transpose(2, 3, 1, 0)
    )
    np.testing.assert_array_equal(flat["stage3/block0/squeeze/bias"], biases[-4])
    np.testing.assert_array_equal(flat["head/kernel"], kernels[-1].transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-5], "it ends after"),
        (lambda data: data + b"xx", "2 bytes are left over"),
        (lambda data: b"hello", "it ends after 5 bytes"),
    ],
)
def test_refuses_other_files(change, message, tmp_path):
    file = tmp_path / "own.net"
    file.write_bytes(change(encode()[0]))
    with pytest.raises(JaxnetsError, match=message):
        load_deep_compression(file)


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(JaxnetsError, match="cannot be read"):
        load_deep_compression(tmp_path / "none.net")


def published() -> Path | None:
    root = Path(__file__).resolve().parents[2]
    for place in (os.environ.get("JAXNETS_TEST_DATA"), root.parent / "shared" / "data"):
        file = Path(place or "/none") / "compression" / "compressed_SqueezeNet.net"
        if file.exists():
            return file
    return None


@pytest.mark.skipif(published() is None, reason="the published file is not on this machine")
def test_published_file_has_the_published_counts():
    _, variables = load_deep_compression(published())
    flat = flatten_dict(variables["params"], sep="/")
    kernels = [v for k, v in flat.items() if k.endswith("kernel")]
    assert sum(k.size for k in kernels) == 1_244_448
    assert sum(int((k != 0).sum()) for k in kernels) == 415_921
    assert sum(v.size for k, v in flat.items() if k.endswith("bias")) == 3_976
