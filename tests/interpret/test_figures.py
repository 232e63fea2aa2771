"""Pictures, the page, and what is shown of one picture or of a whole network."""

import numpy as np
import pytest

from jaxnets import interpret
from jaxnets.errors import JaxnetsError
from jaxnets.interpret import Explanation, Section, Subject, explain_picture, load_subject


def test_pictures_of_arrays():
    colors = np.array([[[0.0, 0.5, 1.0]]])
    assert interpret.as_picture(colors).tolist() == [[[0, 128, 255]]]
    signed = np.stack([np.full((2, 2, 1), -3.0), np.eye(2)[..., None]])
    shown = interpret.as_picture(signed)
    assert shown.shape == (2, 2, 2, 3) and shown[0].max() == 0
    assert shown[1, 0, 0].tolist() == [255] * 3 and shown[1, 0, 1].tolist() == [128] * 3
    raw = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(interpret.as_picture(raw), raw)


def test_overlays_leave_what_is_cold():
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    heat = np.zeros((8, 8))
    heat[2, 3] = 1
    shown = interpret.overlay(image, heat)
    changed = (shown != image).any(-1)
    assert changed[2, 3] and changed.sum() == 1
    np.testing.assert_array_equal(interpret.overlay(image, np.ones((4, 4))), image)


def test_mosaics():
    images = np.arange(5)[:, None, None, None] * np.ones((5, 2, 3, 1)) / 5
    out = interpret.mosaic(images, columns=2, gap=1)
    assert out.shape == (8, 7, 3)
    assert out[3, 4, 0] == round(255 * 3 / 5) and out[2].min() == 255
    with pytest.raises(ValueError, match="images: got shape"):
        interpret.mosaic(np.ones((2, 2)))


def test_sheets_and_curves_have_their_panels():
    image = np.zeros((4, 4, 3), np.uint8)
    figure = interpret.sheet([{"a": image, "b": (image, (1, 1, 3, 3))}, {"c": image}])
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["a", "b", "c", ""]
    assert len(figure.axes[1].patches) == 1
    lines = interpret.curves(["x", "y"], {"l": np.ones((2, 3))}, xlabel="u", ylabel="v")
    assert lines.axes[0].lines[0].get_ydata().tolist() == [1, 1]


def test_pages_hold_their_figures(tmp_path):
    figure = interpret.sheet({"a": np.zeros((4, 4))})
    section = Section("A < B", "One.\n\nTwo.", figure, [("x", "y"), ("1", "<2>")])
    text = interpret.write_page(tmp_path / "new" / "page.html", "T & U", [section]).read_text()
    for part in ("<h2>A &lt; B</h2>", "<p>Two.</p>", "<td>&lt;2&gt;</td>", "T &amp; U"):
        assert part in text
    assert "data:image/png;base64," in text


def test_a_file_must_say_what_it_is(tmp_path):
    with pytest.raises(JaxnetsError, match="needs --model NAME"):
        load_subject(tmp_path / "weights.th")
    with pytest.raises(JaxnetsError, match="no such file"):
        load_subject(tmp_path / "none.net")
    subject = load_subject(None, "lenet5")
    assert (subject.side, subject.channels, len(subject.class_names)) == (32, 1, 10)


def test_one_picture_is_explained():
    subject = load_subject(None, "lenet5")
    assert isinstance(subject, Subject)
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 1)).astype(np.uint8)
    found = explain_picture(subject, image, target=4, size=16, stride=16, samples=1)
    assert isinstance(found, Explanation) and found.target == 4
    # LeNet-5 has connected layers, so that it has no class activation map.
    assert found.heat_name == "Grad-CAM" and found.heat.shape == (32, 32)
    assert found.occlusion.probability.shape == (1, 2, 2)
    shares = [share for _, share in found.predictions]
    assert shares == sorted(shares, reverse=True) and len(found.figure.axes) == 8
    with pytest.raises(ValueError, match="target: got 10; expected a class from 0 to 9"):
        explain_picture(subject, image, target=10)
