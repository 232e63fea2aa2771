"""What holds exactly for video networks: fixed points, symmetries, special cases of one another."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model, features, list_models, model_info
from jaxnets.models.counting import abstract_variables, count_macs, jaxpr_macs, run_direct
from jaxnets.models.vgg import VGG
from jaxnets.models.video import (
    ActionDetector,
    FrameCNN,
    FrameFusion,
    Inflated,
    NonLocal,
    SlowFast,
    TwoStream,
    VideoResNet,
    flow_stack,
    frames_seen,
    inflate,
    inflate_kernel,
    log_mean_softmax,
    slow_frames,
    video_descriptor,
)
from jaxnets.models.video.c3d import C3D
from jaxnets.models.video.gru_rcn import GRURCN
from jaxnets.models.video.lrcn import LRCN
from jaxnets.nn import BatchNorm, ConvGRU, Recurrent
from jaxnets.ops import conv

RANDOM = np.random.default_rng(0)
TINY = ((4, 3, 1, 1, False, True), (6, 3, 1, 1, False, True))
FUSION = {"layers": TINY, "time_strides": (1, 1), "fc_width": 8, "num_classes": 5}


def clip(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def lively(variables, seed=0):
    """Every parameter and statistic different from its start."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: (
            random.uniform(0.1, 0.5, leaf.shape).astype(np.float32)
            * random.choice([-1, 1] if leaf.ndim > 1 else [1], leaf.shape)
        ),
        variables,
    )


def fusion(x, **fields):
    """A small fusion network and its logits as a function."""
    network = FrameFusion(**{"time_kernels": (1, 1), **FUSION, **fields})
    variables = lively(abstract_variables(network, x.shape[1:]))
    return lambda x: np.asarray(network.apply(variables, x)), network, variables


# ---- fusion --------------------------------------------------------------------------------------


def test_pooled_late_fusion_is_blind_to_order_and_concatenated_is_not():
    x = clip(2, 4, 8, 8, 3)
    order = [2, 0, 3, 1]
    pooled, _, _ = fusion(x, head="pool")
    np.testing.assert_allclose(pooled(x[:, order]), pooled(x), rtol=1e-5, atol=1e-5)
    single, _, _ = fusion(x, head="mean")
    np.testing.assert_allclose(single(x[:, order]), single(x), rtol=1e-5, atol=1e-5)
    joined, _, _ = fusion(x, head="concat")
    assert np.abs(joined(x[:, order]) - joined(x)).max() > 1e-2


def test_a_single_frame_network_is_the_image_network_of_each_frame():
    x = clip(2, 3, 8, 8, 3)
    single, _, _ = fusion(x, head="mean")
    frames = np.stack([single(x[:, t : t + 1]) for t in range(3)])
    mean = jax.nn.softmax(frames).mean(0)
    np.testing.assert_allclose(jax.nn.softmax(single(x)), mean, rtol=1e-5)


def test_early_fusion_is_a_2d_convolution_of_stacked_channels():
    x = clip(2, 5, 8, 8, 3)
    _, network, variables = fusion(x, time_kernels=("all", 1), head="concat")
    kernel = variables["params"]["conv1"]["kernel"]
    assert kernel.shape == (5, 3, 3, 3, 4)
    stacked = jnp.moveaxis(x, 1, 3).reshape(2, 8, 8, 15)
    flat = jnp.moveaxis(kernel, 0, 2).reshape(3, 3, 15, 4)
    expected = conv(stacked, flat, padding=1) + variables["params"]["conv1"]["bias"]
    got = features(network, variables, x, taps=["conv1"])["conv1"]
    np.testing.assert_allclose(np.maximum(got[:, 0], 0), np.maximum(expected, 0), atol=1e-5)


def test_early_fusion_sees_all_frames_at_once_and_slow_fusion_little_by_little():
    assert frames_seen((10, 1, 1), (1, 1, 1)) == [10, 10, 10]
    assert frames_seen((1, 1, 1), (1, 1, 1)) == [1, 1, 1]
    assert frames_seen((4, 2, 2), (2, 2, 1)) == [4, 6, 10]
    # C3D at stride 1: each 3-frame layer adds two.
    assert frames_seen((3,) * 4, (1,) * 4) == [3, 5, 7, 9]
    with pytest.raises(ValueError, match="conv1 sees 4 frames or steps, and 3 are left"):
        network = create_model("slow_fusion", layers=TINY)
        jax.eval_shape(lambda x: network.init(jax.random.key(0), x), clip(1, 3, 8, 8, 3))


def test_late_fusion_looks_at_the_first_and_the_last_frame_only():
    x = clip(1, 6, 8, 8, 3)
    late, _, _ = fusion(x, frames=(0, -1), head="concat")
    changed = x.copy()
    changed[:, 1:-1] = 0
    np.testing.assert_array_equal(late(changed), late(x))


def test_3d_convolutions_shift_with_their_clip():
    """A clip that begins one frame later gives maps one step later, away from its ends."""
    network = VideoResNet(num_classes=None, stages=(1,), kinds=("3d",), width=4)
    long = clip(1, 13, 12, 12, 2)
    variables = lively(abstract_variables(network, long.shape[1:]))
    first, second = (
        np.asarray(network.apply(variables, long[:, t : t + 12])["stage1"]) for t in (0, 1)
    )
    margin = 3  # one frame of the stem, one of each of two convolutions
    np.testing.assert_allclose(
        first[:, 1 + margin : -margin], second[:, margin : -margin - 1], rtol=1e-5, atol=1e-5
    )
    # Padding stands at the ends of each clip: there they differ.
    assert np.abs(first[:, 1:] - second[:, :-1]).max() > 1e-2


# ---- inflation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("edges", ["repeat", "zero"])
def test_a_boring_video_is_a_fixed_point_where_time_is_not_padded_by_zeros(edges, quick_jit):
    """Poolings, branches, normalization, shortcuts of a residual network and all."""
    network = create_model("resnet20", blocks=1, widths=(4, 6, 8), shortcut="B")
    image = clip(2, 16, 16, 3)
    variables = lively(abstract_variables(network, image.shape[1:]))
    video, grown = inflate(network, variables, image, edges=edges)
    boring = np.repeat(image[:, None], 5, axis=1)
    expected = network.apply(variables, image)
    difference = np.abs(quick_jit(video.apply)(grown, boring) - expected).max()
    scale = np.abs(expected).max()
    if edges == "repeat":
        assert difference < 1e-4 * scale
    else:
        assert difference > 1e-2 * scale


def test_inflation_grows_what_is_selected_and_refuses_other_weights():
    network = create_model("lenet5")
    image = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    variables = lively(abstract_variables(network, (32, 32, 1)))
    _, grown = inflate(network, variables, image, time_kernel=5, select=lambda p: p == "c3")
    kernels = {k: v["kernel"].shape for k, v in grown["params"]["network"].items()}
    assert kernels["c1"] == (5, 5, 1, 6) and kernels["c3"] == (5, 5, 5, 6, 16)
    total = grown["params"]["network"]["c3"]["kernel"].sum(0)
    np.testing.assert_allclose(total, variables["params"]["c3"]["kernel"], rtol=1e-5)
    with pytest.raises(ValueError, match=r"params/c1/kernel .* got shape \(3, 5, 5, 3, 6\)"):
        inflate(network, lively(abstract_variables(network, (32, 32, 3))), image)
    with pytest.raises(ValueError, match="odd time_kernel"):
        inflate(network, variables, image, time_kernel=4)
    with pytest.raises(ValueError, match="at least 1 frame"):
        inflate_kernel(jnp.ones((3, 3, 1, 1)), 0)
    # Within a call a layer's fields are changed; afterwards nothing is left of that.
    assert Inflated(network).network == create_model("lenet5")


# ---- non-local blocks and recurrent cells --------------------------------------------------------


@pytest.mark.parametrize("form", ["embedded_gaussian", "gaussian", "dot_product", "concatenation"])
def test_a_non_local_block_starts_as_the_identity_and_is_its_formula(form):
    x = clip(2, 2, 4, 4, 6)
    for norm in (BatchNorm, None):
        block = NonLocal(form, norm=norm)
        variables = block.init(jax.random.key(1), x, False)
        np.testing.assert_array_equal(block.apply(variables, x, False), x)
    block = NonLocal(form, norm=None, pool=None)
    variables = lively(block.init(jax.random.key(1), x, False))
    p = {k: v for k, v in variables["params"].items() if isinstance(v, dict)}
    flat = x.reshape(2, 32, 6).astype(np.float64)

    def layer(name, values):
        return values @ p[name]["kernel"][0, 0, 0].astype(np.float64) + p[name]["bias"]

    g = layer("g", flat)
    theta, phi = (flat, flat) if form == "gaussian" else (layer("theta", flat), layer("phi", flat))
    if form == "concatenation":
        pairs = np.concatenate(
            [np.repeat(theta[:, :, None], 32, 2), np.repeat(phi[:, None], 32, 1)], -1
        )
        f = np.maximum(pairs @ variables["params"]["pair"], 0) / 32
    else:
        f = theta @ phi.transpose(0, 2, 1)
        f = f / 32 if form == "dot_product" else np.exp(f - f.max(-1, keepdims=True))
        f = f if form == "dot_product" else f / f.sum(-1, keepdims=True)
    expected = flat + layer("out", f @ g)
    got = block.apply(variables, x, False).reshape(2, 32, 6)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_counts_of_other_forms_and_crops():
    """Of I3D with Gaussian blocks, and of the 256×256 crops that the paper counts."""
    gaussian = create_model(
        "i3d_nln_8x8_r50",
        stages=(1, 2, 4, 1),
        non_local_block=lambda **layers: NonLocal("gaussian", **layers),
        non_local=((), (1,), (1, 3), ()),
    )
    embedded = gaussian.clone(non_local_block=NonLocal)
    sizes = [
        sum(leaf.size for leaf in jax.tree.leaves(abstract_variables(m, (8, 64, 64, 3))["params"]))
        for m in (gaussian, embedded)
    ]
    # θ and φ: two 1×1×1 convolutions with biases, at 512 and twice at 1024 channels.
    assert sizes[1] - sizes[0] == 2 * (512 * 256 + 256) + 4 * (1024 * 512 + 512)


@pytest.mark.slow
def test_the_whole_i3d_with_gaussian_blocks_and_slow_at_256():
    gaussian = create_model(
        "i3d_nln_8x8_r50", non_local_block=lambda **layers: NonLocal("gaussian", **layers)
    )
    params = abstract_variables(gaussian, (8, 64, 64, 3))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 31_727_824
    # PySlowFast's head stands at 2×2 places of the larger map; the other three cost a product.
    slow = count_macs(create_model("slow_4x16_r50"), (4, 256, 256, 3))
    assert slow + 3 * 2048 * 400 == 27_262_058_496
    slowfast = count_macs(create_model("slowfast_4x16_r50"), (32, 256, 256, 3))
    assert slowfast + 3 * 2304 * 400 == 36_101_963_776


def test_a_conv_gru_of_one_pixel_is_a_gru_at_every_place():
    x = clip(2, 5, 3, 4, 6)
    layer = ConvGRU(7, 1, use_bias=True)
    variables = lively(layer.init(jax.random.key(0), x))
    states = layer.apply(variables, x)
    p = variables["params"]
    weights = {
        "input_kernel": p["input_kernel"][0, 0],
        "recurrent_kernel": p["recurrent_kernel"][0, 0],
        "bias": p["bias"],
    }
    gru = Recurrent(7, "gru_reset_before")
    places = jnp.moveaxis(x, 1, 3).reshape(24, 5, 6)
    expected, _ = gru.apply({"params": {"layer0_forward": weights}}, places)
    expected = jnp.moveaxis(expected.reshape(2, 3, 4, 5, 7), 3, 1)
    np.testing.assert_allclose(states, expected, atol=1e-5)
    backward = ConvGRU(7, 1, use_bias=True, reverse=True).apply(variables, x[:, ::-1])
    np.testing.assert_allclose(backward[:, ::-1], states, atol=1e-6)


def test_a_conv_gru_sees_its_neighbors_and_names_what_does_not_fit():
    x = np.zeros((1, 3, 7, 7, 1), np.float32)
    x[0, 0, 3, 3] = 1
    layer = ConvGRU(2, 3)
    states = layer.apply(lively(layer.init(jax.random.key(0), x)), x)
    touched = np.abs(states[0]).sum(-1) > 0
    # One pixel further at every step: 3×3, 5×5, 7×7.
    assert [int(t.sum()) for t in touched] == [9, 25, 49]
    from jaxnets.ops import conv_gru

    with pytest.raises(ValueError, match=r"input_kernel: expected \(k, k, 1, 6\)"):
        conv_gru(x, jnp.ones((3, 3, 2, 6)), jnp.ones((3, 3, 2, 6)))
    with pytest.raises(ValueError, match=r"state: expected \(1, 7, 7, 2\)"):
        conv_gru(x, jnp.ones((3, 3, 1, 6)), jnp.ones((3, 3, 2, 6)), state=jnp.ones((1, 7, 7, 3)))


@pytest.mark.parametrize("fields", [{}, {"stacked": True}, {"bidirectional": True}])
def test_gru_rcn_s_forms(fields, quick_jit):
    vgg = VGG(None, stages=((3,),) * 5, widths=(2,) * 5, fc_width=4, fc_window=1, fc_endpoints=True)
    cells = (("stage4", True, 3, 3), ("pool5", False, 4, 3), ("fc7", False, 2, 1))
    network = GRURCN(5, vgg, cells, **fields)
    x = clip(1, 3, 32, 32, 3)
    variables = lively(abstract_variables(network, x.shape[1:]))
    forward, backward = (quick_jit(network.apply)(variables, v) for v in (x, x[:, ::-1]))
    np.testing.assert_allclose(jax.nn.softmax(forward).sum(), 1, rtol=1e-5)
    assert np.abs(forward - backward).max() > 1e-6  # the order of the frames is seen
    inputs = [variables["params"][f"gru_{c[0]}"]["input_kernel"].shape[2] for c in cells]
    assert inputs == ([2, 2 + 3, 4 + 4] if fields.get("stacked") else [2, 2, 4])


# ---- streams, descriptors, inputs ----------------------------------------------------------------


def test_two_streams_average_their_predictions():
    tiny = FrameCNN(5, layers=((4, 3, 2, 0, 1, False, True),), fc_widths=(8,))
    network = TwoStream(tiny, tiny.clone())
    frames, flow = clip(2, 3, 12, 12, 3), clip(2, 4, 12, 12, 2)
    variables = lively(jax.eval_shape(lambda: network.init(jax.random.key(0), frames, flow)))
    parts = [
        tiny.apply({"params": variables["params"][name]}, x)
        for name, x in (("spatial", frames[:, 1]), ("temporal", flow_stack(flow)))
    ]
    mean = jax.nn.softmax(np.stack(parts)).mean(0)
    got = jax.nn.softmax(network.apply(variables, frames, flow))
    np.testing.assert_allclose(got, mean, rtol=1e-5)
    np.testing.assert_array_equal(flow_stack(flow)[..., 2:4], flow[:, 1])
    with pytest.raises(ValueError, match="flow: expected"):
        flow_stack(frames)


def test_averaged_predictions_as_logits():
    logits = jnp.asarray(clip(3, 2, 4))
    mean = jax.nn.softmax(log_mean_softmax(logits, 1))
    np.testing.assert_allclose(mean, jax.nn.softmax(logits).mean(1), rtol=1e-5)


def test_lrcn_depends_on_order_only_through_its_lstm():
    cnn = FrameCNN(None, layers=((4, 3, 2, 0, 1, False, True),), fc_widths=(8,))
    network = LRCN(5, cnn, 6)
    x = clip(1, 4, 12, 12, 3)
    variables = lively(abstract_variables(network, x.shape[1:]))
    maps, turned = (features(network, variables, v) for v in (x, x[:, ::-1]))
    np.testing.assert_allclose(turned["frames"][:, ::-1], maps["frames"], rtol=1e-5)
    assert np.abs(turned["states"][:, ::-1] - maps["states"]).max() > 1e-3


def test_a_video_s_descriptor_is_the_mean_of_its_clips_of_length_one():
    network = C3D(3, stages=((2,), (3,)), fc_window=(2, 2, 2), fc_width=8)
    x = clip(4, 4, 8, 8, 2)
    variables = lively(abstract_variables(network, x.shape[1:]))
    fc6 = features(network, variables, x, taps=["fc6"])["fc6"].reshape(4, 8)
    mean = np.asarray(fc6).mean(0)
    got = video_descriptor(network, variables, x)
    np.testing.assert_allclose(got, mean / np.linalg.norm(mean), rtol=1e-4)
    with pytest.raises(ValueError, match=r"last map of \(2, 3, 3\).*fc_window=\(2, 3, 3\)"):
        network.apply(variables, clip(1, 4, 12, 12, 2))


def test_the_slow_pathway_s_frames():
    assert slow_frames(32, 8).tolist() == [0, 10, 20, 31]
    assert slow_frames(8, 4).tolist() == [0, 7]
    network = create_model("slowfast_4x16_r50")
    with pytest.raises(ValueError, match="α = 8 divides, got 12"):
        jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros((1, 12, 32, 32, 3))))


CLIP_NETWORKS = ("r3d_18", "s3d", "i3d_rgb", "c3d", "slow_4x16_r50", "slowfast_4x16_r50")


@pytest.mark.parametrize("name", [*CLIP_NETWORKS, "slow_fusion", "lrcn", "gru_rcn"])
def test_input_errors_say_what_came_and_what_was_expected(name):
    model = create_model(name)

    def apply(shape, dtype=jnp.float32):
        x = jax.ShapeDtypeStruct(shape, dtype)
        return jax.eval_shape(lambda x: model.init(jax.random.key(0), x), x)

    with pytest.raises(ValueError, match=r"\(batch, time, height, width, channels\), got 4 axes"):
        apply((16, 112, 112, 3))
    with pytest.raises(ValueError, match="floating-point images, got uint8"):
        apply((1, 64, 112, 112, 3), jnp.uint8)


def test_channels_are_checked_against_the_weights():
    model = create_model("r3d_18", stages=(1,), kinds=("3d",), width=4)
    variables = abstract_variables(model, (4, 16, 16, 3))
    with pytest.raises(ValueError, match="images with 3 channels, got 2"):
        jax.eval_shape(model.apply, variables, jax.ShapeDtypeStruct((1, 4, 16, 16, 2), jnp.float32))
    with pytest.raises(ValueError, match="kinds among"):
        create_model("r3d_18", stem="4d").init(jax.random.key(0), jnp.zeros((1, 4, 16, 16, 3)))
    with pytest.raises(ValueError, match="form must be one of"):
        NonLocal("softmax").init(jax.random.key(0), jnp.zeros((1, 2, 2, 2, 2)), False)
    with pytest.raises(ValueError, match="head must be one of"):
        FrameFusion(head="sum").init(jax.random.key(0), jnp.zeros((1, 2, 200, 200, 3)))


def test_every_video_network_makes_what_create_model_makes():
    for name in list_models(task="video classification"):
        model = create_model(name, num_classes=7, dtype=jnp.bfloat16)
        assert (model.num_classes, model.dtype) == (7, jnp.bfloat16)
        assert model_info(name).paper.year >= 2014


# ---- actions of people ---------------------------------------------------------------------------

AVA = {
    "ava_slow_4x16_r50": 31_814_811_648,
    "ava_slowfast_8x8_r50": 74_181_120_000,
    "ava_slowfast_8x8_r101": 111_913_472_000,
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if "fast" in n else ()) for n in AVA]
)
def test_actions_of_five_people_cost_what_pyslowfast_counts(name):
    model, shape = create_model(name), model_info(name).input_shape
    variables = abstract_variables(model, shape)
    x, boxes = (jax.ShapeDtypeStruct((1, *s), jnp.float32) for s in (shape, (5, 4)))
    with nn.intercept_methods(run_direct):
        traced = jax.make_jaxpr(model.apply)(variables, x, boxes)
    assert jaxpr_macs(traced.jaxpr) == AVA[name]
    assert [aval.shape for aval in traced.out_avals] == [(1, 5, 80)]


@pytest.fixture(scope="module")
def small_actions():
    backbone = partial(SlowFast, stages=(1, 1, 1, 1), width=16, alpha=4, output_stride=16)
    network = ActionDetector(num_classes=3, backbone=backbone)
    x = jnp.asarray(clip(1, 4, 64, 48, 3))
    return network, lively(abstract_variables(network, x.shape[1:])), x


def test_people_are_looked_at_one_by_one(small_actions):
    network, variables, x = small_actions
    boxes = jnp.array([[[0.0, 0, 48, 64], [4, 4, 30, 40], [20, 8, 40, 60]]])
    run = jax.jit(network.apply)
    together = run(variables, x, boxes)
    for order in ([2, 0, 1], [1, 2, 0]):
        # Sums in another order are rounded otherwise.
        np.testing.assert_allclose(
            run(variables, x, boxes[:, order]), together[:, order], rtol=1e-4
        )
    np.testing.assert_allclose(run(variables, x), together[:, :1], rtol=1e-4)
    mask = jnp.array([[True, False, True]])
    masked = run(variables, x, boxes, box_mask=mask)
    np.testing.assert_allclose(masked[:, ::2], together[:, ::2], rtol=1e-4)
    # Of padding the head says its bias.
    np.testing.assert_allclose(masked[0, 1], variables["params"]["head"]["bias"], rtol=1e-4)


def test_boxes_that_do_not_fit_are_said(small_actions):
    network, variables, x = small_actions
    with pytest.raises(ValueError, match=r"expected boxes \(1, R, 4\), some of each clip"):
        jax.eval_shape(network.apply, variables, x, jnp.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="output_stride must be 16 or 32, got 8"):
        create_model("slow_4x16_r50", output_stride=8).init(jax.random.key(0), x)
