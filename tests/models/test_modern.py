"""What the networks after ResNet say of themselves: ResNeXt, SENet, DenseNet, MobileNets, WRN."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxnets.models import count_parameters, create_model
from jaxnets.models.counting import abstract_variables, jaxpr_macs
from jaxnets.models.mobilenet_v1 import SeparableConv
from jaxnets.models.resnext import EQUAL_COMPLEXITY
from jaxnets.models.senet import SqueezeExcite
from jaxnets.nn import BatchNorm, Conv

X = np.random.RandomState(0).standard_normal((2, 32, 32, 3)).astype(np.float32)


def test_the_three_forms_of_resnext_are_one_function(filled_variables, quick_jit):
    """Figure 3: the same parameters, the same logits, gradients and statistics."""
    fields = {"stages": (1, 1), "cardinality": 4, "path_width": 3, "width": 4, "num_classes": 5}
    models = {
        f: create_model("resnext50_32x4d", form=f, **fields) for f in ("grouped", "concat", "split")
    }
    variables = filled_variables(models["grouped"], (32, 32, 3))

    def run(model):
        def loss(params):
            y, updates = model.apply(
                {**variables, "params": params}, X, train=True, mutable=["batch_stats"]
            )
            return (y**2).sum(), (y, updates)

        return quick_jit(jax.grad(loss, has_aux=True))(variables["params"])

    want = run(models["grouped"])
    for form in ("concat", "split"):
        assert abstract_variables(models[form], (32, 32, 3)) == abstract_variables(
            models["grouped"], (32, 32, 3)
        )
        got = run(models[form])
        for ours, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            # float32 sums in three orders, against the largest value of each array
            atol = 1e-4 * max(1.0, np.abs(theirs).max())
            np.testing.assert_allclose(ours, theirs, atol=atol, rtol=1e-3)
    with pytest.raises(ValueError, match="form must be one of"):
        abstract_variables(create_model("resnext50_32x4d", form="dense"), (32, 32, 3))


def test_more_paths_of_less_width_cost_the_same():
    """Table 2 of the paper: C × d at the complexity of ResNet-50, 25 to 25.6 M parameters."""
    for cardinality, width in EQUAL_COMPLEXITY.items():
        model = create_model("resnext50_32x4d", cardinality=cardinality, path_width=width)
        assert 24.9e6 < count_parameters(model, (32, 32, 3)) < 25.7e6


def test_an_excitation_of_one_is_the_plain_block(filled_variables):
    """W₂ = 0 and a large bias open every gate; W₂ = b = 0 halves every channel."""
    layer, x = SqueezeExcite(4), jnp.asarray(X[..., :1]) * jnp.arange(1.0, 9.0)
    params = layer.init(jax.random.key(0), x)["params"]
    params["excite"] = {"kernel": jnp.zeros((2, 8)), "bias": jnp.full(8, 100.0)}
    np.testing.assert_array_equal(layer.apply({"params": params}, x), x)
    params["excite"]["bias"] = jnp.zeros(8)
    np.testing.assert_array_equal(layer.apply({"params": params}, x), x / 2)


def test_squeeze_and_excitation_against_numpy():
    layer, x = SqueezeExcite(2), X.repeat(2, axis=-1)
    params = jax.tree.map(np.asarray, layer.init(jax.random.key(1), x)["params"])
    s = x.astype(np.float64).mean(axis=(1, 2))
    s = np.maximum(s @ params["squeeze"]["kernel"] + params["squeeze"]["bias"], 0)
    s = s @ params["excite"]["kernel"] + params["excite"]["bias"]
    want = x / (1 + np.exp(-s))[:, None, None]
    np.testing.assert_allclose(layer.apply({"params": params}, x), want, rtol=1e-5, atol=1e-6)


def test_densenet_computes_the_same_gradients_when_it_forgets(filled_variables, quick_jit):
    fields = {"stages": (2, 2, 2), "growth": 4, "stem_width": 8, "num_classes": 5}
    kept, forgot = (create_model("densenet40_k12", remat=r, **fields) for r in (False, True))
    variables = filled_variables(kept, (32, 32, 3))
    assert abstract_variables(kept, (32, 32, 3)) == abstract_variables(forgot, (32, 32, 3))

    def run(model):
        def loss(params):
            y, updates = model.apply(
                {**variables, "params": params}, X, train=True, mutable=["batch_stats"]
            )
            return (y**2).mean(), updates

        return jax.value_and_grad(loss, has_aux=True)

    (loss, updates), grads = quick_jit(run(kept))(variables["params"])
    (loss2, updates2), grads2 = quick_jit(run(forgot))(variables["params"])
    for a, b in zip(
        jax.tree.leaves((loss, updates, grads)),
        jax.tree.leaves((loss2, updates2, grads2)),
        strict=True,
    ):
        # the same operations, fused differently
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(a).max()))
    text = str(jax.make_jaxpr(run(forgot))(variables["params"]))
    assert text.count("checkpoint") >= 6 or text.count("remat") >= 6


def test_a_dense_layer_sees_all_maps_before_it():
    model = create_model("densenet40_k12", stages=(3,), growth=2, stem_width=4)
    params = abstract_variables(model, (16, 16, 3))["params"]
    seen = [params["stage1"][f"block{j}"]["conv2"]["kernel"].shape[2] for j in range(3)]
    assert seen == [4, 6, 8]


def test_a_separable_convolution_costs_one_over_n_plus_one_over_nine():
    """Equation 5: 1/N + 1/D² of the full convolution, exactly."""
    layer = SeparableConv(24, 1, Conv, BatchNorm, lambda x: x)
    x = jnp.zeros((1, 10, 10, 16))
    run = lambda x: layer.init(jax.random.key(0), x, False)  # noqa: E731
    macs = jaxpr_macs(jax.make_jaxpr(run)(x).jaxpr)
    # Whichever algorithm runs the depthwise part, the pointwise part is a product.
    assert 100 * 16 * 24 <= macs <= 100 * (16 * 24 + 9 * 16)
    share = (9 * 16 + 16 * 24) / (9 * 16 * 24)
    assert share == pytest.approx(1 / 24 + 1 / 9)


@pytest.mark.parametrize(("name", "width"), [("mobilenet_v1", 0.25), ("mobilenet_v2", 0.5)])
def test_the_width_multiplier_scales_every_layer(name, width):
    full, narrow = (
        abstract_variables(create_model(name, width=w), (32, 32, 3))["params"] for w in (1.0, width)
    )
    a, b = (tree["stem"]["conv"]["kernel"].shape[-1] for tree in (full, narrow))
    assert (a, b) == (32, int(32 * width))
    assert narrow["head"]["kernel"].shape[0] == (256 if name == "mobilenet_v1" else 1280)


def test_wide_networks_have_6n_plus_4_layers():
    with pytest.raises(ValueError, match="6n"):
        abstract_variables(create_model("wrn_28_10", depth=20), (32, 32, 3))
    params = abstract_variables(create_model("wrn_28_10", width=1), (32, 32, 3))["params"]
    kernels = [path for path in flatten_dict(params, sep="/") if path.endswith("/kernel")]
    # 28 = 24 in the blocks, the stem, the head, and two shortcuts where the width changes.
    in_blocks = [path for path in kernels if re.fullmatch(r"stage./block./conv./kernel", path)]
    assert len(in_blocks) == 24 and len(kernels) == 28
    assert sum(len(params[f"stage{i}"]) for i in (1, 2, 3)) == 12
