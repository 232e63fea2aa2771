"""SRCNN's MATLAB files: the order of their numbers, mistakes, and the published figures."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.io import savemat

from jaxnets.data import bicubic, luminance, read_image, to_gray_levels
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import psnr
from jaxnets.pretrained import load_srcnn

ROOT = Path(__file__).resolve().parents[2]


def arrays(kernels=(3, 1, 3), widths=(2, 3)):
    rng = np.random.default_rng(0)
    first, second, last = (k * k for k in kernels)
    shapes = {"1": (first, widths[0]), "2": (widths[0], second, widths[1]), "3": (widths[1], last)}
    made = {f"weights_conv{i}": rng.normal(size=s) for i, s in shapes.items()}
    sizes = zip("123", (*widths, 1), strict=True)
    return made | {f"biases_conv{i}": rng.normal(size=(n, 1)) for i, n in sizes}


def by_hand(content, image):
    """Three convolutions, number by number; beyond the border the image goes on."""
    maps = image[None]
    for i in "123":
        weights, bias = content[f"weights_conv{i}"], content[f"biases_conv{i}"].ravel()
        weights = {"1": weights[None], "2": weights, "3": weights[..., None]}[i]
        side = round(weights.shape[1] ** 0.5)
        padded = np.pad(maps, ((0, 0), *[(side // 2,) * 2] * 2), mode="edge")
        result = np.empty((len(bias), *image.shape))
        for y, x in np.ndindex(image.shape):
            window = padded[:, y : y + side, x : x + side].reshape(len(maps), -1)
            result[:, y, x] = np.einsum("cp,cpn->n", window, weights) + bias
        maps = result if i == "3" else np.maximum(result, 0)
    return maps[0]


def test_the_order_of_the_numbers(tmp_path):
    content = arrays()
    savemat(tmp_path / "a.mat", content)
    network, variables = load_srcnn(tmp_path / "a.mat")
    assert (network.kernels, network.widths) == ((3, 1, 3), (2, 3))
    image = np.random.default_rng(1).random((5, 6))
    found = network.apply(variables, np.float32(image)[None, ..., None])[0, ..., 0]
    np.testing.assert_allclose(found, by_hand(content, image), rtol=1e-4, atol=1e-4)


def test_mistakes_are_named(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(b"no such thing")
    with pytest.raises(JaxnetsError, match="as a MATLAB file"):
        load_srcnn(path)
    content = arrays()
    savemat(path, {k: v for k, v in content.items() if k != "biases_conv2"})
    with pytest.raises(JaxnetsError, match="has no biases_conv2"):
        load_srcnn(path)
    savemat(path, content | {"weights_conv2": content["weights_conv2"][:1]})
    with pytest.raises(JaxnetsError, match="conv2 has weights"):
        load_srcnn(path)
    savemat(path, content | {"weights_conv3": np.zeros((2, 2, 2))})
    with pytest.raises(JaxnetsError, match="weights of shapes"):
        load_srcnn(path)


def shared_data():
    for place in (os.environ.get("JAXNETS_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "weights" / "srcnn").is_dir():
            return Path(place)
    return None


@pytest.mark.slow
@pytest.mark.skipif(shared_data() is None, reason="needs SRCNN's weights and Set5")
@pytest.mark.parametrize(
    ("file", "figure"), [("9-1-5_wd_x3", 32.432), ("9-3-5_x3", 32.566), ("9-5-5_x3", 32.510)]
)
def test_the_published_figures(file, figure):
    """PSNR of luminance on Set5, enlarged three times: within 0.01 dB."""
    network, variables = load_srcnn(shared_data() / "weights" / "srcnn" / f"{file}.mat")
    apply, found = jax.jit(network.apply), []
    for path in sorted((shared_data() / "detection" / "super_resolution" / "set5").glob("*.png")):
        true = luminance(read_image(path))
        height, width = (n // 3 * 3 for n in true.shape)
        low = to_gray_levels(bicubic(true[:height, :width], (height // 3, width // 3)))
        plain = to_gray_levels(bicubic(low, (height, width)))
        sharp = np.asarray(apply(variables, np.float32(plain)[None, ..., None])[0, ..., 0])
        pair = (to_gray_levels(sharp), true[:height, :width])
        inside = (a[3:-3, 3:-3, None] for a in pair)
        found.append(float(psnr(*inside, data_range=1.0)))
    assert len(found) == 5
    assert np.mean(found) == pytest.approx(figure, abs=0.01)
