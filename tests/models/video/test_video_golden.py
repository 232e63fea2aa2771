"""Video networks equal PyTorch's: torchvision's own, and re-statements with other libraries' names.

tests/golden/make_video.py stored the logits; the tensors' values depend on their names, so that
names, layouts and order of the layers are all held.
"""

import json
import runpy
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets.models import create_model, list_models, model_info
from jaxnets.models.video import SlowFast
from jaxnets.pretrained import load, save
from jaxnets.pretrained.state_dict import read_state_dict

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
STORED = dict(np.load(GOLDEN / "video.npz"))
SEEDED = runpy.run_path(str(GOLDEN / "seeded_by_name.py"))
CASES = sorted(name.split("/")[0] for name in STORED if name.endswith("/about"))
# Many branches take the compiler long; of the ResNets one stands for the others.
SLOW = ("s3d", "mc3_18", "r3d_18", "i3d")


def tuples(value):
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def small_ava():
    """SlowFast as `make_video.py` re-states it for the actions of people."""
    stages = {"stages": (1, 1, 1, 2), "width": 16}
    return partial(SlowFast, alpha=4, fusion_kernel=7, output_stride=16, **stages)


def case(name):
    """(registered name, fields, state dict, clip and boxes, logits)."""
    about = json.loads(STORED[f"{name}/about"].tobytes())
    tensors = {k: SEEDED["value"](k, tuple(shape)) for k, shape in about["tensors"].items()}
    logits = STORED[f"{name}/logits"]
    fields = {k: tuples(v) for k, v in about["fields"].items()}
    fields |= {} if logits.shape[-1] == 400 else {"num_classes": logits.shape[-1]}
    x = [SEEDED["clip"](tuple(about["clip"]))]
    if "boxes" in about:
        fields["backbone"] = small_ava()
        x.append(np.array(about["boxes"], np.float32))
    return about["model"], fields, tensors, x, logits


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in CASES]
)
def test_logits_are_those_of_pytorch(name, quick_jit):
    model_name, fields, tensors, clip, expected = case(name)
    model, variables = load(model_name, tensors, **fields)
    logits = quick_jit(model.apply)(variables, *clip)
    # float32 against float64, relative to the largest: sums of thousands of products.
    np.testing.assert_allclose(logits, expected, atol=1e-4 * max(1, np.abs(expected).max()))
    # One clip alone is the first of the two: pooling of a batch of one is where XLA went wrong.
    alone = quick_jit(model.apply)(variables, *(x[:1] for x in clip))
    np.testing.assert_allclose(alone, expected[:1], atol=1e-4 * max(1, np.abs(expected).max()))


def test_weights_go_back_to_the_same_file(tmp_path):
    for name in ("slowfast", "c3d", "ava"):
        model_name, fields, tensors, _, _ = case(name)
        _, variables = load(model_name, tensors, **fields)
        if name == "c3d":
            fields["last_pooling"] = "pad"
        save(model_name, variables, tmp_path / "again.safetensors", **fields)
        again = read_state_dict(tmp_path / "again.safetensors")
        assert again.keys() == tensors.keys()
        for key, value in tensors.items():
            np.testing.assert_array_equal(again[key], value, err_msg=key)


def test_every_video_network_with_weights_has_a_case():
    """Of each family one; within a family the names are of the same table."""
    abouts = [json.loads(STORED[f"{name}/about"].tobytes()) for name in CASES]
    covered = {model_info(about["model"]).family for about in abouts}
    promised = {
        model_info(name).family
        for task in ("video classification", "action detection")
        for name in list_models(task=task)
        if model_info(name).weights
    }
    assert promised - covered == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c3d_small", "r3d_18", "single_frame", "slow_4x16_r50"])
def test_a_batch_of_one_at_the_published_size(name):
    """The pooling fault of one XLA version needs large maps: narrow networks, published clips."""
    narrow = {
        "c3d_small": {"stages": ((8,),) * 5, "fc_width": 16},
        "r3d_18": {"width": 8},
        "single_frame": {"fc_width": 16},
        "slow_4x16_r50": {"width": 8},
    }[name]
    model = create_model(name, num_classes=3, **narrow)
    x = SEEDED["clip"]((2, *model_info(name).input_shape))
    variables = jax.jit(model.init)(jax.random.key(0), x[:1])
    run = jax.jit(model.apply)
    both, alone = run(variables, x), run(variables, x[:1])
    np.testing.assert_allclose(alone[0], both[0], atol=1e-4 * np.abs(both).max())
