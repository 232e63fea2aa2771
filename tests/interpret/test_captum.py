"""Equality with captum on PyTorch's networks; tests/golden/make_interpret.py stored its values."""

import runpy
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest

from jaxnets import interpret
from jaxnets.models import create_model

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
TARGETS, WINDOW, STRIDE, STEPS = np.array([3, 7]), 20, 9, 10
# Network, and the layer of Grad-CAM.
CASES = {
    "vgg11": ({"fc_width": 32}, "stage4"),
    "resnet18": ({}, "stage3"),
    "squeezenet1_1": ({}, "stage2"),
}


@pytest.fixture(scope="module")
def stored():
    return dict(np.load(GOLDEN / "interpret.npz"))


@pytest.fixture(scope="module")
def network():
    """Name → (model, variables, images), with the same values in every layer as the stored ones."""
    seeded, made = runpy.run_path(str(GOLDEN / "seeded.py")), {}

    def make(name):
        if name not in made:
            model = create_model(name, num_classes=10, **CASES[name][0])
            x = seeded["images"](2, 64, 64, 3)
            # In float64: in float32 a rectifier whose input is 0 but for rounding may be on or off.
            wide = jax.tree.map(np.float64, (seeded_variables(model, x, seeded), x))
            made[name] = (model, *wide)
        return made[name]

    return make


def seeded_variables(model, x, seeded):
    """Every layer's values by the order of the calls."""
    seen = {}

    def record(call, args, kwargs, context):
        result = call(*args, **kwargs)
        params = context.module.variables.get("params", {})
        if "kernel" in params or "scale" in params:
            seen[context.module.path] = {k: v.shape for k, v in params.items()}
        return result

    with nn.intercept_methods(record):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    variables = {"params": {}, "batch_stats": {}}
    counts = {"kernel": 0, "scale": 0}
    for path, shapes in seen.items():
        kind = "kernel" if "kernel" in shapes else "scale"
        i = counts[kind]
        counts[kind] += 1
        if kind == "kernel":
            values = {"kernel": seeded["kernel"](i, shapes["kernel"])}
            if "bias" in shapes:
                values["bias"] = seeded["bias"](i, shapes["bias"][0])
            put(variables["params"], path, values)
        else:
            values = seeded["norm"](i, shapes["scale"][0])
            put(variables["params"], path, {k: values[k] for k in ("scale", "bias")})
            put(variables["batch_stats"], path, {k: values[k] for k in ("mean", "var")})
    return variables


def put(tree, path, values):
    for part in path:
        tree = tree.setdefault(part, {})
    tree.update(values)


def pixels(name, network):
    model, variables, x = network
    if name == "integrated_gradients":
        return interpret.integrated_gradients(model, variables, x, TARGETS, steps=STEPS)
    if name == "occlusion":
        found = interpret.occlusion_map(
            model, variables, x, TARGETS, size=WINDOW, stride=STRIDE, batch_size=36
        )
        return found.drop
    return getattr(interpret, name)(model, variables, x, TARGETS)


METHODS = (
    *("saliency", "deconvnet", "guided_backprop", "integrated_gradients", "occlusion"),
    "grad_cam",
)
# The compiler takes seconds for each; without --slow these stand for the others.
QUICK = {
    *(("vgg11", name) for name in ("deconvnet", "integrated_gradients")),
    *(("squeezenet1_1", name) for name in ("guided_backprop", "occlusion")),
    ("resnet18", "grad_cam"),
}


@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(n, m, marks=[] if (n, m) in QUICK else [pytest.mark.slow])
        for n in CASES
        for m in METHODS
    ],
)
def test_is_captums(name, method, network, stored, x64):
    expected = stored[f"{name}/{method}"]
    if method == "grad_cam":
        model, variables, x = network(name)
        found = interpret.grad_cam(model, variables, x, TARGETS, layer=CASES[name][1], relu=False)
    else:
        found = pixels(method, network(name))[:, ::3, ::3]
    # Stored in float32; logits, too, are rounded to it.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
