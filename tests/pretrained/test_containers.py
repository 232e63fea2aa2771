"""Weights as people have them: beside optimizers, averaged, wrapped, for other channels."""

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.pretrained import load, read_state_dict, save
from jaxnets.pretrained.state_dict import unwrap
from jaxnets.pretrained.tensors import as_arrays

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PEERS = json.loads(gzip.decompress((GOLDEN / "pretrained_names.json.gz").read_bytes()))["models"]
SQUEEZENET = PEERS["torchvision/squeezenet1_1"]
FC = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "fc.bias": np.float32([10, 11])}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, name)


@pytest.fixture(scope="module")
def files(golden):
    """What PyTorch wrote: tests/golden/make_training_checkpoints.py."""
    return golden / "checkpoints"


@pytest.mark.parametrize("name", ["training", "averaged", "lightning"])
def test_the_network_is_found_among_other_things(name, files):
    assert_same(read_state_dict(files / f"{name}.pth"), FC)


def test_a_container_of_ones_choice(files):
    path = files / "training.pth"
    averaged = read_state_dict(path, container="model_ema")
    assert_same(averaged, {k: v + 100 for k, v in FC.items()})
    moments = read_state_dict(path, container="optimizer.state.0") if False else None
    assert moments is None
    with pytest.raises(JaxnetsError, match=r"no dict under 'ema'; it has \['model', 'model_ema'"):
        read_state_dict(path, container="ema")


def test_a_prefix_of_ones_choice(files):
    path = files / "lightning.pth"
    assert list(read_state_dict(path, prefix="criterion.")) == ["weight"]
    raw = read_state_dict(path, prefix="")
    assert list(raw) == ["model.fc.weight", "model.fc.bias", "criterion.weight"]
    with pytest.raises(JaxnetsError, match=r"no name begins with 'ema.'; .* criterion., model."):
        read_state_dict(path, prefix="ema.")


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "net.", "_orig_mod.", "module._orig_mod.", "model.net.module."]
)
def test_wrappers_are_taken_off(prefix):
    assert_same(unwrap("w", {prefix + name: v for name, v in FC.items()}), FC)


def test_names_that_only_some_share_stay():
    names = {"model.0.weight": 1, "head.weight": 2}
    assert unwrap("w", names) == names
    with pytest.raises(JaxnetsError, match=r"begin with head., model\."):
        unwrap("w", names, "net.")


def test_numpy_numbers_beside_the_weights(files, tmp_path):
    """A best accuracy as NumPy's float64 is in half of all checkpoints."""
    with zipfile.ZipFile(files / "averaged.pth") as archive:
        inner = archive.read("averaged/data.pkl")[2:-1]
        members = {n: archive.read(n) for n in archive.namelist() if "/data/" in n}
    for protocol in (2, 4):
        best = pickle.dumps(np.float64(91.5), protocol)
        best = best[2:-1] if protocol == 2 else best[11:-1]  # without frame
        outer = b"\x80" + bytes([protocol]) + b"}(U\x04best" + best + b"U\x05model" + inner + b"u."
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("averaged/data.pkl", outer)
            for name, content in members.items():
                archive.writestr(name, content)
        path = tmp_path / "w.pth"
        path.write_bytes(buffer.getvalue())
        assert_same(read_state_dict(path), FC)


# ---- a network with them -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    path = tmp_path_factory.mktemp("lenet") / "w.safetensors"
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(
        lambda: create_model("lenet5").init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    )
    variables = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)
    save("lenet5", variables, path)
    return path, variables, read_state_dict(path)


def test_a_state_dict_in_memory(lenet):
    _, variables, weights = lenet
    jaxs = {f"model.{name}": jnp.asarray(array) for name, array in weights.items()}
    for given in (weights, jaxs, {**jaxs, "criterion.weight": np.ones(3, np.float32)}):
        _, loaded = load("lenet5", given)
        jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    ours = {f"teacher.{name}": array for name, array in weights.items()}
    _, loaded = load("lenet5", {**ours, "student.x": np.ones(1)}, prefix="teacher.")
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    for wrong, message in (
        ({"state_dict": weights}, "hand in the state dict alone"),
        ({1: np.ones(2)}, "has names, got 1"),
        ({"version": "2"}, "has no tensors"),
    ):
        with pytest.raises(JaxnetsError, match=message):
            load("lenet5", wrong)


def test_what_is_left_out_is_listed(lenet):
    _, variables, weights = lenet
    said = []
    extra = {f"more{i}": np.ones(2, np.float32) for i in range(10)}
    _, loaded = load("lenet5", {**weights, **extra}, strict=False, notify=said.append)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    (text,) = said
    assert "10 tensors have no place in lenet5 and are left out" in text
    assert "    more0 2\n" in text and "… and 2 more" in text
    load("lenet5", weights, strict=False, notify=said.append)
    assert len(said) == 1


def test_gray_images_for_a_network_of_color():
    """As timm's in_chans=1: a sum over channels, so three equal channels give the same."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in SQUEEZENET.items()}
    rng = np.random.default_rng(0)
    weights["features.0.weight"] = rng.normal(size=(64, 3, 3, 3)).astype(np.float32)
    loaded, color = (
        flatten_dict(load("squeezenet1_1", weights, channels=channels)[1]) for channels in (1, None)
    )
    (stem,) = (path for path in color if color[path].shape[-2:] == (3, 64))
    expected = weights["features.0.weight"].sum(1).transpose(1, 2, 0)
    np.testing.assert_allclose(loaded.pop(stem)[:, :, 0], expected, rtol=1e-5, atol=1e-6)
    del color[stem]
    jax.tree.map(np.testing.assert_array_equal, loaded, color)
    with pytest.raises(JaxnetsError, match="channels must be 1 or 3, got 4"):
        load("squeezenet1_1", weights, channels=4)


def test_tensors_of_pytorch_in_memory():
    class Tensor:
        """What `as_arrays` uses of torch.Tensor."""

        def __init__(self, array, bits=32):
            self.array, self.bits = array, bits

        def detach(self):
            return self

        cpu = detach

        def is_floating_point(self):
            return self.array.dtype.kind == "f"

        def element_size(self):
            return self.bits // 8

        def float(self):
            return Tensor(self.array.astype(np.float32))

        def numpy(self):
            assert self.bits == 32  # of bfloat16 PyTorch makes no array
            return self.array

    found = as_arrays(
        {"a": Tensor(np.ones(2, np.float32)), "b": Tensor(np.ones(1, np.float64), 16)}
    )
    assert_same(found, {"a": np.ones(2, np.float32), "b": np.ones(1, np.float32)})
