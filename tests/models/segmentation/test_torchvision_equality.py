"""Scores of torchvision's segmenters, with the same values in all tensors.

tests/golden/make_segmentation.py stored them, computed in float64; the state dicts are read by
`jaxnets.pretrained.load` under torchvision's own names.
"""

import gzip
import json
import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models import list_models
from jaxnets.models.segmentation import small_segmenter
from jaxnets.pretrained import load

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
VALUES = runpy.run_path(str(GOLDEN / "named_values.py"))
NAMES = json.loads(gzip.decompress((GOLDEN / "segmentation_names.json.gz").read_bytes()))
STORED = np.load(GOLDEN / "segmentation.npz")
QUICK = ("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large")


def state_dict(name):
    return {key: VALUES["value"](key, shape) for key, shape in NAMES[name].items()}


def assert_stored(scores, name):
    flat = np.asarray(scores).reshape(-1)
    theirs = STORED[name]
    assert len(theirs) >= 400
    # Float32 sums through up to a hundred layers: of the largest value.
    limit = 2e-4 * np.abs(theirs).max()
    np.testing.assert_allclose(flat[:: len(flat) // 400], theirs, rtol=0, atol=limit)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in NAMES]
)
def test_scores_are_those_of_torchvision(name, quick_jit):
    model, variables = load(name, state_dict(name))
    x = VALUES["images"](1, 65, 97)
    scores = quick_jit(model.apply)(variables, x)
    assert scores.shape == (1, 65, 97, 21)
    assert_stored(scores, f"{name}/out")


def test_the_auxiliary_head_is_read_and_heard_in_training(quick_jit):
    name = "deeplabv3_mobilenet_v3_large"
    model, variables = load(name, state_dict(name), auxiliary=True)
    head = variables["params"]["aux_head"]
    assert head["block"]["conv"]["kernel"].shape == (3, 3, 40, 10)

    def train(variables, x):
        key = jax.random.key(0)
        mutable = ["aux_logits", "batch_stats"]
        return model.apply(variables, x, train=True, mutable=mutable, rngs={"dropout": key})

    x = jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")
    scores, updates = jax.eval_shape(train, variables, x)
    assert scores.shape == updates["aux_logits"]["aux"].shape == (2, 64, 64, 21)


def test_every_segmenter_is_compared():
    assert set(list_models(task="segmentation")) - {f"fcn{n}s_vgg16" for n in (8, 16, 32)} == set(
        NAMES
    )


def test_a_file_without_its_head_is_named():
    weights = state_dict("lraspp_mobilenet_v3_large")
    del weights["classifier.scale.1.weight"]
    with pytest.raises(JaxnetsError, match=r"classifier\.scale\.1\.weight"):
        load("lraspp_mobilenet_v3_large", weights)


def test_images_of_any_size_give_scores_of_their_size():
    network = small_segmenter(3, width=2)
    for height, width in ((33, 70), (64, 32)):
        x = jax.ShapeDtypeStruct((1, height, width, 3), "float32")
        scores, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
        assert scores.shape == (1, height, width, 3)
