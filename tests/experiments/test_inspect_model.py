"""The layer table as an experiment, and the committed table of all networks."""

import dataclasses
import json

import pytest

from experiments.networks import inspect_model, model_cards
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import list_models


def test_vgg16(tmp_path, capsys):
    config = dataclasses.replace(inspect_model.smoke(), model="vgg16", workdir=tmp_path)
    summary = inspect_model.main(config)
    assert summary["activations"] == 15_237_608
    assert summary["activation_bytes"] == 4 * 15_237_608
    assert summary["parameters"] == 138_357_544
    assert tuple(summary["receptive_field"]) == (212, 212)
    assert summary["endpoints"]["stage5"]["stride"] == (16, 16)
    text = capsys.readouterr().out
    assert "102,764,544" in text and "15,237,608 activations" in text
    assert (tmp_path / "vgg16" / "layers.png").stat().st_size > 10_000
    assert "| fc6 |" in (tmp_path / "vgg16" / "layers.md").read_text()
    assert json.loads((tmp_path / "summary.json").read_text())["macs"] == 15_470_264_320


def test_other_sizes_and_mistakes(tmp_path):
    config = dataclasses.replace(inspect_model.smoke(), model="vgg16", workdir=tmp_path)
    half = inspect_model.main(dataclasses.replace(config, image_size=448, dtype="bfloat16"))
    # Four times the pixels in the input and in every map but the connected layers' and pool5's:
    # the classifier averages that one to 7×7 again, and poolings in a row are one.
    same = 4096 + 4096 + 1000 + 7 * 7 * 512
    assert half["activations"] == 4 * (15_237_608 - same) + same
    assert half["activation_bytes"] == 2 * half["activations"]
    with pytest.raises(JaxnetsError, match="at least 32"):
        inspect_model.main(dataclasses.replace(config, image_size=16))
    with pytest.raises(JaxnetsError, match="positive"):
        inspect_model.main(dataclasses.replace(config, image_size=0))
    with pytest.raises(UnknownNameError, match="vgg16"):
        inspect_model.main(dataclasses.replace(config, model="vgg-16"))


def test_the_committed_cards_are_the_registry_s(tmp_path):
    # Where this fails: python -m experiments.networks.model_cards
    config = dataclasses.replace(model_cards.smoke(), workdir=tmp_path, target=model_cards.TARGET)
    summary = model_cards.main(dataclasses.replace(config, check=True))
    assert summary["models"] == len(list_models()) and not summary["changed"]


def test_a_card_changed_by_hand_is_found(tmp_path):
    target = tmp_path / "docs" / "models.md"
    config = dataclasses.replace(model_cards.smoke(), workdir=tmp_path, target=target)
    assert model_cards.main(config)["changed"]
    assert not model_cards.main(config)["changed"]
    target.write_text(target.read_text().replace("60,000", "60,001"))
    with pytest.raises(JaxnetsError, match="python -m experiments"):
        model_cards.main(dataclasses.replace(config, check=True))
    assert "60,001" in target.read_text()
