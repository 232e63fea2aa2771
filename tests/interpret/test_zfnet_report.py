"""The sections of the report on ZFNet's analyses: what their numbers say, on a tiny network."""

import jax
import numpy as np
import pytest

from jaxnets.data import Split
from jaxnets.interpret import SmallZFNet, train_snapshots, write_page
from jaxnets.interpret import zfnet_report as report


@pytest.fixture(scope="module")
def material():
    """Left or right half bright: a network of two channels a layer learns it in a moment."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 2
    pictures = random.integers(0, 100, (60, 12, 12, 1)).astype(np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[:, 6 * label : 6 * label + 6] += 150
    x = (pictures.astype(np.float32) - 120) / 80
    model = SmallZFNet(2, widths=(3, 3, 3, 3, 3), dropout_rate=0.0, first=(3, 1))
    train = x[:40], labels[:40]
    snapshots = train_snapshots(
        jax.random.key(0), model, Split(*train), [1, 30], rate=1e-2, batch_size=20
    )
    test = x[40:], labels[40:]
    return report.Material(
        model, snapshots, train, test, pictures[40:], ("conv1", "conv3", "conv5"), ("left", "right")
    )


def test_filters_and_strongest(material):
    section, numbers = report.filters(material, {"first": (material.snapshots[1], 1, 0.5)})
    assert set(numbers) == {"this network", "first"} and len(section.rows) == 3
    for shares in numbers.values():
        assert 0.99 < shares["low"] + shares["middle"] + shares["high"] < 1.01
    section, numbers = report.strongest(material, maps=1)
    for layer in material.layers:
        maps = material.model.clone(num_classes=None).apply(material.variables, material.test[0])
        assert numbers[layer]["strongest"] == pytest.approx(float(maps[layer].max()), rel=1e-5)
        assert 0 <= numbers[layer]["same_class"] <= 1


@pytest.mark.slow  # each of the three has tests of its own
def test_evolution_probes_and_correspondence(material):
    _, numbers = report.evolution(material)
    assert all(curve[-1] == pytest.approx(1, abs=1e-5) for curve in numbers["cosine"].values())
    section, numbers = report.probes(material)
    assert numbers["conv5"]["train"] >= numbers["conv5"]["test"] - 0.2
    assert section.rows[0] == ("layer", "features", "train", "test") and len(section.rows) == 4
    _, numbers = report.correspondences(material, images=6)
    assert set(numbers["conv5"]) == {"middle", "upper left corner", "random"}
    assert all(0 <= share <= 1 for share in numbers["conv5"].values())


def test_occlusion_and_the_page(material, tmp_path):
    section, numbers = report.occlusion(material, images=2)
    assert numbers["size"] == 3 and 0 <= numbers["other_class"] <= 1
    text = write_page(tmp_path / "report.html", "Inside", [section]).read_text()
    assert "3×3 pixels" in text and "data:image/png;base64," in text


def test_recognized_images_are_the_surest_of_each_class(material):
    rows, x, labels = material.recognized(4)
    assert labels.tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])
    logits = jax.jit(material.model.apply)(material.variables, material.test[0])
    sure = np.asarray(jax.nn.softmax(logits))[np.arange(20), material.test[1]]
    for label in (0, 1):
        best = sure[material.test[1] == label].max()
        assert sure[rows[labels == label][0]] == pytest.approx(best)
    np.testing.assert_array_equal(x, material.test[0][rows])
