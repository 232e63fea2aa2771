"""Reading files that PyTorch, NumPy and safetensors wrote, whole, cut and damaged."""

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import read_state_dict


@pytest.fixture(scope="module")
def expected(golden):
    return dict(np.load(golden / "checkpoints" / "expected.npz"))


@pytest.mark.parametrize("name", ["zip", "legacy", "protocol4"])
def test_reads_what_pytorch_wrote(name, golden, expected):
    """Dtypes, views, shared storages, prefix and container; the zip format has all cases."""
    weights = read_state_dict(golden / "checkpoints" / f"{name}.pt")
    if name == "zip":
        assert set(weights) == set(expected)
    else:
        assert set(weights) == {k for k in expected if "float8" not in k and "uint" not in k} | {
            "dtype.uint8"
        }
    for key, array in weights.items():
        if key.startswith("dtype."):
            assert str(array.dtype) == key.removeprefix("dtype.")
        assert array.shape == expected[key].shape
        np.testing.assert_array_equal(array.astype(expected[key].dtype), expected[key], key)


@pytest.mark.parametrize("name", ["zip", "legacy"])
def test_every_cut_is_an_error_with_a_message(name, golden, tmp_path):
    content = (golden / "checkpoints" / f"{name}.pt").read_bytes()
    path = tmp_path / "cut.pt"
    for length in [*range(0, 200, 7), *range(200, len(content), 61), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(JaxnetsError, match=str(path)):
            read_state_dict(path)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pt", "expected.npz"])
def test_no_flipped_byte_gives_another_exception(name, golden, tmp_path):
    """Damage is found or changes values; it never ends in a traceback of something else."""
    content = bytearray((golden / "checkpoints" / name).read_bytes())
    path, rng = tmp_path / "damaged.pt", np.random.RandomState(0)
    refused = 0
    for _ in range(300):
        place = rng.randint(len(content))
        before, content[place] = content[place], rng.randint(256)
        path.write_bytes(content)
        content[place] = before
        try:
            read_state_dict(path)
        except JaxnetsError:
            refused += 1
    assert refused > 30


def test_safetensors(tmp_path):
    path = tmp_path / "w.safetensors"
    arrays = {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([1.5, -2], ml_dtypes.bfloat16),
        "c": np.array(3, np.int64),
    }
    save_file(arrays, path)
    weights = read_state_dict(path)
    assert set(weights) == set(arrays)
    for key, array in arrays.items():
        assert weights[key].dtype == array.dtype and weights[key].shape == array.shape
        np.testing.assert_array_equal(weights[key], array)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_npz(write, tmp_path):
    path = tmp_path / "w.npz"
    write(path, **{"module.a": np.ones((2, 3)), "module.b": np.arange(4, dtype=np.int8)})
    weights = read_state_dict(path)
    np.testing.assert_array_equal(weights["a"], np.ones((2, 3)))
    assert weights["b"].dtype == np.int8


def test_no_such_file(tmp_path):
    with pytest.raises(JaxnetsError, match="no such file"):
        read_state_dict(tmp_path / "nothing.pt")
    with pytest.raises(JaxnetsError, match="no such file"):
        read_state_dict(tmp_path)
