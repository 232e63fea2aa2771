"""Published preprocessing, addresses with checksums, backbones with weights."""

import hashlib
import io

import jax
import numpy as np
import pytest
from PIL import Image

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, list_models, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained import download, load, preprocessing, save


def test_resize_and_crop_are_torchvisions(golden):
    stored = np.load(golden / "preprocessing.npz")
    y, x = np.mgrid[:301, :417]
    photo = np.stack([y % 256, (3 * x) % 256, (x * y // 64) % 256], -1).astype(np.uint8)
    for name in ("resnet50", "inception_v3"):
        prepare = preprocessing(name, "torchvision")
        # Their values, on the same Pillow; the mean and std in float32.
        np.testing.assert_allclose(prepare(photo)[::16, ::16], stored[name], atol=1e-5)


def test_every_network_with_weights_has_its_preprocessing_and_input():
    named = [
        name
        for name in list_models(task="classification")
        if model_info(name).weights and model_info(name).mean
    ]
    assert len(named) > 40
    for name in named:
        prepare = preprocessing(name)
        assert prepare.crop == model_info(name).input_size <= prepare.resize
    assert preprocessing("shufflenet_v2_x2_0").resize == 232
    assert preprocessing("resnet20").resize == 32
    with pytest.raises(JaxnetsError, match="Did you mean 'torchvision'"):
        preprocessing("resnet50", "torchvison")


@pytest.mark.parametrize("size", [(10, 300), (300, 10), (224, 224), (1, 1)])
def test_any_shape_gives_the_crop(size):
    prepare = preprocessing("resnet50")
    assert prepare.read(np.zeros((*size, 3), np.uint8)).shape == (224, 224, 3)
    assert prepare(Image.new("L", size)).shape == (224, 224, 3)
    with pytest.raises(JaxnetsError, match="must be uint8"):
        prepare(np.zeros((*size, 3), np.float32))


class Network:
    """Stands for the network: address → bytes."""

    def __init__(self, monkeypatch, files):
        self.asked = []
        monkeypatch.setattr(download, "_open", self.open)
        self.files = files

    def open(self, address):
        self.asked.append(address)
        if address not in self.files:
            raise OSError("Name or service not known")
        return io.BytesIO(self.files[address])


def test_downloads_are_checked_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path))
    content = b"weights" * 100
    digits = hashlib.sha256(content).hexdigest()
    good, bad = f"https://example.org/net-{digits[:8]}.pth", "https://example.org/net-00000000.pth"
    network = Network(monkeypatch, {good: content, bad: content})
    place = download.fetch(good)
    assert place.read_bytes() == content and download.fetch(good) == place
    assert len(network.asked) == 1
    with pytest.raises(JaxnetsError, match=r"has SHA-256 .* expected 00000000.*thrown away"):
        download.fetch(bad)
    assert [p.name for p in (tmp_path / "weights").iterdir()] == [place.name]
    place.write_bytes(b"damaged")
    assert download.fetch(good).read_bytes() == content
    with_mark = f"https://example.org/plain.pth#sha256={digits}"
    with pytest.raises(JaxnetsError, match="Without a network, download the file elsewhere"):
        download.fetch(with_mark)
    with pytest.raises(JaxnetsError, match="add #sha256="):
        download.fetch("https://example.org/plain.pth")


def test_addresses_are_those_of_the_weights_that_fit():
    for name in list_models():
        libraries = {w.split(" ")[0].split("/")[0] for w in model_info(name).weights}
        assert set(model_info(name).addresses) <= libraries, name
    address = model_info("resnet20").addresses["akamaster"]
    assert address.endswith("resnet20-12fca82f.th")


def test_without_a_path_the_address_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path))
    network = Network(monkeypatch, {})
    with pytest.raises(JaxnetsError, match="could not be downloaded"):
        load("resnet18")
    assert network.asked == [model_info("resnet18").addresses["torchvision"]]
    with pytest.raises(JaxnetsError, match="no address of weights for lenet5 is known"):
        load("lenet5")
    with pytest.raises(JaxnetsError, match=r"pretrained\.load\('resnet18', FILE\)"):
        create_model("resnet18", pretrained=True)


def test_num_classes_none_is_a_backbone_for_load_as_for_create_model(tmp_path):
    shapes = abstract_variables(create_model("resnet20"), (32, 32, 3))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda s: rng.uniform(0.5, 1, s.shape).astype(np.float32), dict(shapes)
    )
    save("resnet20", variables, tmp_path / "w.npz")
    network, backbone = load("resnet20", tmp_path / "w.npz", num_classes=None)
    assert network == create_model("resnet20", num_classes=None)
    assert "head" in variables["params"] and "head" not in backbone["params"]
    wanted = abstract_variables(network, (32, 32, 3))
    assert jax.tree.map(np.shape, backbone) == jax.tree.map(np.shape, dict(wanted))
