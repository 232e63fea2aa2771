"""Every operation, loss, metric, source of noise, augmentation and module once, with tiny inputs.

Generic tests loop over these lists; `tests/test_catalogue.py` fails where a public name is missing.
The networks are in `tests/catalogue_networks.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

from jaxnets import augment, data, losses, metrics, nn, noise, ops
from jaxnets.ops import boxes, convolution, roi


@dataclass(frozen=True)
class Op:
    """A pure function of floating arrays.

    Attributes:
        name: shown as the test's name.
        function: of arrays, one for each of ``shapes``.
        shapes: of its arguments; each gets standard normal numbers.
        result: dtype of its result: "input" (that of the arguments), "wide" (that of statistics:
            float32 at least), or the name of a dtype that it always has.
        differentiable: whether it has derivatives other than zero.
    """

    name: str
    function: Callable[..., jax.Array]
    shapes: tuple[tuple[int, ...], ...]
    result: str = "input"
    differentiable: bool = True

    def inputs(self, dtype=np.float32) -> list[np.ndarray]:
        random = np.random.default_rng(0)
        return [random.standard_normal(shape).astype(dtype) for shape in self.shapes]

    def result_dtype(self, dtype: Any) -> jnp.dtype:
        """The dtype of the result for arguments of ``dtype``."""
        if self.result == "input":
            return jnp.dtype(dtype)
        if self.result == "wide":
            return jnp.dtype(jnp.float64 if dtype == jnp.float64 else jnp.float32)
        return jnp.dtype(self.result)


@dataclass(frozen=True)
class Transform:
    """An augmentation of one example.

    Attributes:
        name: shown as the test's name.
        function: (key, example) → example.
        moves: whether it moves what is in the image.
    """

    name: str
    function: Callable[..., Any]
    moves: bool = True


@dataclass(frozen=True)
class Module:
    """A Flax module and how it is called.

    Attributes:
        name: shown as the test's name.
        build: makes the module from a ``dtype`` keyword or without.
        shape: of its input.
        call: keywords of its call.
        rngs: names of the random collections that it needs.
    """

    name: str
    build: Callable[..., Any]
    shape: tuple[int, ...]
    call: dict[str, Any] = field(default_factory=dict)
    rngs: tuple[str, ...] = ()

    def input(self, dtype=np.float32) -> np.ndarray:
        return np.random.default_rng(0).standard_normal(self.shape).astype(dtype)


class First(linen.Module):
    """The first of what a module returns, for ``inputs`` times the same input."""

    module: Any
    inputs: int = 1

    @linen.compact
    def __call__(self, x):
        return self.module(*(x,) * self.inputs)[0]


KEY = jax.random.PRNGKey(7)
IMAGE = (2, 5, 6, 4)
LABELS = np.array([3, 0, 1])


# Regions of an image of 5×6 pixels: within, over the border, and padding.
REGIONS = np.float32([[[0.5, 1, 4, 4.5], [2, -1, 7, 3]], [[1, 1, 2, 4], [0, 0, 0, 0]]])


def corners(x):
    """Proper boxes, at least one pixel wide, of any numbers (…, 4); in float32 at least."""
    x = x if x.dtype == jnp.float64 else x.astype(jnp.float32)
    return jnp.concatenate([x[..., :2], x[..., :2] + 1 + x[..., 2:] ** 2], -1)


def he_normal(key, shape, dtype):
    """Drawn in float32 whatever the dtype, so that all dtypes get the same numbers."""
    return ops.he_normal(key, shape).astype(dtype)


OPS = [
    *(Op(name, ops.get_activation(name), ((3, 4),)) for name in ops.ACTIVATIONS),
    Op("prelu", ops.prelu, ((3, 4), (4,))),
    Op("maxout", lambda x: ops.maxout(x, 2), ((3, 4),)),
    Op("effective_sample_size", lambda x: ops.effective_sample_size(x * x), ((3, 4),), "wide"),
    Op("materialize", ops.materialize, ((3, 4),)),
    Op("dense", ops.dense, ((3, 4), (4, 5), (5,))),
    Op("conv", lambda x, k: ops.conv(x, k, padding=1), (IMAGE, (3, 3, 4, 5))),
    Op(
        "conv_strided_groups",
        lambda x, k: ops.conv(x, k, strides=2, padding=((1, 0), (2, 1)), dilation=2, groups=2),
        (IMAGE, (2, 3, 2, 6)),
    ),
    Op(
        "conv_im2col",
        lambda x, k: ops.conv(x, k, strides=2, padding=1, algorithm="im2col"),
        ((2, 7, 3), (3, 3, 2)),
    ),
    Op("conv_gru", ops.conv_gru, ((2, 3, 4, 4, 2), (3, 3, 2, 9), (3, 3, 3, 9))),
    Op("circular_conv", convolution.circular_conv, ((2, 5, 3), (3, 3, 2))),
    Op(
        "conv_transformed",
        lambda x, k: convolution.conv_transformed(
            x, convolution.transform_kernel(k, m=2), padding=1
        ),
        ((1, 5, 2), (3, 2, 3)),
    ),
    Op("max_pool", lambda x: ops.max_pool(x, 3, strides=2, padding=1, ceil_mode=True), (IMAGE,)),
    Op("offset_max_pool", lambda x: ops.offset_max_pool(x, 2), (IMAGE,)),
    Op("interleave_offsets", ops.interleave_offsets, ((4, 2, 3, 2, 5),)),
    Op(
        "warp_regions",
        lambda x: ops.warp_regions(x, REGIONS[0], 5, context=1, fill=0.5),
        ((5, 6, 4),),
        "wide",
    ),
    Op("max_pool_1d", lambda x: ops.max_pool(x, 2), ((2, 5, 3),)),
    Op("avg_pool", lambda x: ops.avg_pool(x, 3, strides=2, padding=1), (IMAGE,)),
    Op(
        "avg_pool_dense",
        lambda x: ops.avg_pool(x, 3, strides=1, padding=1, count_include_pad=False),
        (IMAGE,),
    ),
    Op("global_avg_pool", ops.global_avg_pool, (IMAGE,)),
    Op("adaptive_avg_pool", lambda x: ops.adaptive_avg_pool(x, (3, 4)), (IMAGE,)),
    Op("local_response_norm", lambda x: ops.local_response_norm(x, alpha=0.3), ((2, 3, 7),)),
    Op("local_response_norm_even", lambda x: ops.local_response_norm(x, size=4, beta=1.2), ((7,),)),
    Op("batch_norm", lambda x, s, b: ops.batch_norm(x, s, b)[0], ((6, 2, 4), (4,), (4,))),
    Op("batch_norm_mean", lambda x: ops.batch_norm(x)[1], ((6, 4),), "wide"),
    Op("batch_norm_var", lambda x: ops.batch_norm(x)[2], ((6, 4),), "wide"),
    Op(
        "batch_norm_inference",
        lambda x, m, v, s, b: ops.batch_norm_inference(x, m, v * v, s, b, epsilon=0.1),
        ((6, 4), (4,), (4,), (4,), (4,)),
    ),
    Op(
        "fold_batch_norm",
        lambda k, b, m, v: ops.fold_batch_norm(k, b, m, v * v, epsilon=0.1)[0],
        ((3, 4), (4,), (4,), (4,)),
    ),
    Op(
        "fold_batch_norms",
        lambda k, m, v: nn.fold_batch_norms(
            {
                "params": {"fc": {"kernel": k}},
                "batch_stats": {"bn": {"mean": m, "var": v * v}},
            },
            {"fc": "bn"},
            epsilon=0.1,
        )["params"]["fc"]["kernel"],
        ((3, 4), (4,), (4,)),
    ),
    Op("dropout", lambda x: ops.dropout(KEY, x, 0.3), ((3, 4),)),
    Op("dropout_at_test", lambda x: ops.dropout_at_test(x, 0.3), ((3, 4),)),
    Op("drop_connect", lambda x, w, b: ops.drop_connect(KEY, x, w, b, 0.3), ((3, 4), (4, 5), (5,))),
    Op(
        "drop_connect_scaled",
        lambda x, w: ops.drop_connect(KEY, x, w, None, 0.5, scale_in_training=True),
        ((2, 3, 4), (4, 5)),
    ),
    Op(
        "drop_connect_mean",
        lambda x, w, b: ops.drop_connect_moments(x, w, b, 0.3)[0],
        ((3, 4), (4, 5), (5,)),
        "wide",
    ),
    Op(
        "drop_connect_variance",
        lambda x, w, b: ops.drop_connect_moments(x, w, b, 0.3, scale_in_training=True)[1],
        ((3, 4), (4, 5), (5,)),
        "wide",
    ),
    Op(
        "drop_connect_at_test",
        lambda x, w, b: ops.drop_connect_at_test(
            x, w, b, 0.3, activation=ops.tanh, key=KEY, samples=5
        ),
        ((3, 4), (4, 5), (5,)),
    ),
    Op("stochastic_depth", lambda x: ops.stochastic_depth(KEY, x, 0.3), ((4, 2, 3),)),
    Op("stochastic_depth_at_test", lambda x: ops.stochastic_depth_at_test(x, 0.3), ((3, 4),)),
    Op(
        "join_paths",
        lambda x, y: ops.join_paths([x, y], ops.keep_paths(KEY, 3, 2, 0.5)),
        ((3, 4), (3, 4)),
    ),
    Op("gaussian_noise", lambda x: ops.gaussian_noise(KEY, x, 0.3), ((3, 4),)),
    Op(
        "gaussian_noise_multiplicative",
        lambda x: ops.gaussian_noise(KEY, x, 0.3, multiplicative=True),
        ((3, 4),),
    ),
    Op("fractional_max_pool", lambda x: ops.fractional_max_pool(KEY, x, ratio=1.4), (IMAGE,)),
    Op(
        "fractional_max_pool_random",
        lambda x: ops.fractional_max_pool(
            KEY, x, output_size=(3, 4), sequence="random", overlapping=False, share="channel"
        ),
        (IMAGE,),
    ),
    Op(
        "fractional_max_pool_window",
        lambda x: ops.fractional_max_pool(KEY, x, output_size=3, window=2, share="batch"),
        (IMAGE,),
    ),
    Op(
        "recurrent",
        lambda x, w, u, b: ops.recurrent(
            "lstm", x, ops.RecurrentWeights(w, u, b), mask=np.array([[True, True], [True, False]])
        )[0],
        ((2, 2, 3), (3, 8), (2, 8), (8,)),
    ),
    Op(
        "recurrent_step",
        lambda x, w, u, h: ops.recurrent_step(
            "gru", x, ops.RecurrentWeights(w, u, None, h[0]), (h,)
        )[0],
        ((2, 3), (3, 6), (2, 6), (2, 2)),
    ),
    Op(
        "recurrent_stack",
        lambda x, w, u: ops.recurrent_stack("mgu", x, [(ops.RecurrentWeights(w, u),) * 2])[0],
        ((2, 2, 3), (3, 4), (2, 4)),
    ),
    Op(
        "attend",
        lambda q, k, v: ops.attend(
            q, k, v, mask=np.array([[[True, False, True]], [[False, False, False]]])
        )[0],
        ((2, 2, 4), (2, 3, 4), (2, 3, 5)),
    ),
    Op(
        "attend_in_blocks",
        lambda q, k, v: ops.attend(q, k, v, causal=True, block_size=2)[0],
        ((3, 4), (5, 4), (5, 2)),
    ),
    Op("dot_scores", ops.dot_scores, ((2, 4), (3, 4)), "wide"),
    Op("multiplicative_scores", ops.multiplicative_scores, ((2, 2), (3, 4), (2, 4)), "wide"),
    Op("additive_scores", ops.additive_scores, ((2, 4), (3, 4), (4,)), "wide"),
    Op("additive_scores_glimpses", ops.additive_scores, ((2, 4), (3, 4), (4, 2)), "wide"),
    Op("best_word_scores", ops.best_word_scores, ((2, 4), (3, 4)), "wide"),
    Op("masked_softmax", ops.masked_softmax, ((3, 4),)),
    Op("split_heads", lambda x: ops.split_heads(x, 2), ((3, 4),)),
    Op("join_heads", ops.join_heads, ((2, 3, 4),)),
    Op("sigmoid_gradient_bound", lambda w: ops.sigmoid_gradient_bound([w]), ((2, 3),), "wide"),
    Op("one_sided_share", ops.one_sided_share, ((2, 9),), "float32", differentiable=False),
    Op("activation_statistics", lambda x: ops.activation_statistics(x)["std"], ((3, 4),), "wide"),
    Op(
        "statistics_by_layer",
        lambda x: ops.statistics_by_layer({"fc": x})["fc"]["second_moment"],
        ((3, 4),),
        "wide",
    ),
    Op(
        "propagate",
        lambda x: ops.propagate(KEY, x, depth=2, initializer=he_normal, activation=ops.tanh)["std"],
        ((3, 4),),
        "wide",
    ),
    *(
        Op(
            name,
            lambda x, draw=draw: x * draw(KEY, x.shape).astype(x.dtype),
            ((3, 4),),
        )
        for name, draw in {
            "glorot_normal": ops.glorot_normal,
            "glorot_uniform": ops.glorot_uniform,
            "he_normal": ops.he_normal,
            "he_uniform": ops.he_uniform,
            "xavier_normal": ops.xavier_normal,
        }.items()
    ),
    Op(
        "boxes_formats",
        lambda x: boxes.area(
            boxes.scale(boxes.clip(boxes.convert(corners(x), "xywh", "xyxy"), (4, 5)), (2.0, 3.0))
        ),
        ((3, 4),),
        "wide",
    ),
    Op(
        "boxes_overlaps",
        lambda a, b: jnp.stack(
            [
                f(corners(a), corners(b))
                for f in (boxes.iou, boxes.generalized_iou, boxes.distance_iou)
            ]
        ),
        ((2, 4), (3, 4)),
        "wide",
    ),
    # Its α counts as a constant, so its derivatives are not those of its values.
    Op(
        "boxes_complete_iou",
        lambda a, b: boxes.complete_iou(corners(a), corners(b)),
        ((2, 4), (3, 4)),
        "wide",
        differentiable=False,
    ),
    Op(
        "boxes_encode",
        lambda a, b: jnp.stack(
            [
                boxes.encode(corners(a), corners(b), weights=(10.0, 10.0, 5.0, 5.0)),
                boxes.encode_distances(corners(a), corners(b)),
                boxes.encode_grid(corners(a), corners(b)[:, :2], corners(b)[:, 2:] ** 2 + 1, 8.0),
            ]
        ),
        ((2, 4), (2, 4)),
        "wide",
    ),
    Op(
        "boxes_decode",
        lambda t: jnp.concatenate(
            [
                boxes.decode(t, REGIONS[0].astype(t.dtype)),
                boxes.decode_distances(t, REGIONS[0].astype(t.dtype)),
                boxes.decode_grid(
                    t[None, :, None], np.float32([[2, 3]]).astype(t.dtype), 4.0
                ).reshape(-1, 4),
            ]
        ),
        ((2, 4),),
    ),
    Op("roi_align", lambda x: roi.roi_align(x, REGIONS, 2, strides=1.0), (IMAGE,)),
    Op("roi_pool", lambda x: roi.roi_pool(x, REGIONS, 2, stride=1.0), (IMAGE,)),
    Op("paste_masks", lambda x: roi.paste_masks(x, REGIONS[0], (5, 6)), ((2, 3, 3),)),
]

LOSSES = [
    Op(
        "cross_entropy",
        lambda z: losses.cross_entropy(z, LABELS, label_smoothing=0.1),
        ((3, 4),),
        "wide",
    ),
    Op("doubly_stochastic", losses.doubly_stochastic, ((2, 3, 4),), "wide"),
    # Its gradient is meant to be another function's: tests/tasks/test_captioning.py has it.
    Op("drawn_attention_loss", losses.drawn_attention_loss, ((3,), (3,)), "wide", False),
    Op("entropy", losses.entropy, ((3, 4),), "wide"),
    Op("confidence_penalty", losses.confidence_penalty, ((3, 4),), "wide"),
    Op("soft_target_loss", losses.soft_target_loss, ((3, 4), (3, 4)), "wide"),
    Op(
        "distillation_loss",
        lambda z, t: losses.distillation_loss(z, t, LABELS, alpha=0.5),
        ((3, 4), (3, 4)),
        "wide",
    ),
    Op("top_class_gap", lambda z: losses.top_class_gap(z, top=3), ((3, 4),), "wide"),
    Op(
        "tolerant_cross_entropy",
        lambda z: losses.tolerant_cross_entropy(z, LABELS, top=3),
        ((3, 4),),
        "wide",
    ),
    Op("hint_loss", losses.hint_loss, ((3, 4), (3, 4)), "wide"),
    Op("attention_map", losses.attention_map, (IMAGE,), "wide"),
    Op(
        "attention_transfer_loss",
        losses.attention_transfer_loss,
        ((2, 5, 3, 2), (2, 5, 6, 4)),
        "wide",
    ),
    Op("relational_distance_loss", losses.relational_distance_loss, ((4, 3), (4, 2)), "wide"),
    Op("relational_angle_loss", losses.relational_angle_loss, ((4, 3), (4, 2)), "wide"),
    Op(
        "contrastive_distillation_loss",
        losses.contrastive_distillation_loss,
        ((3, 4), (3, 4)),
        "wide",
    ),
    Op(
        "smooth_labels",
        lambda z: losses.smooth_labels(z.argmax(-1), 4, over="others"),
        ((3, 4),),
        "float32",
        differentiable=False,
    ),
]

METRICS = [
    Op("diagonal_mass", metrics.diagonal_mass, ((3, 4),), "wide"),
    Op("accuracy", lambda z: metrics.accuracy(z, LABELS), ((3, 4),), "float32", False),
    Op(
        "top_k_accuracy",
        lambda z: metrics.top_k_accuracy(z, LABELS, 2),
        ((3, 4),),
        "float32",
        False,
    ),
    Op(
        "confusion_matrix", lambda z: metrics.confusion_matrix(z, LABELS), ((3, 4),), "int32", False
    ),
    Op(
        "reliability",
        lambda z: metrics.reliability(z, LABELS, bins=3).accuracy,
        ((3, 4),),
        "float32",
        False,
    ),
    Op(
        "expected_calibration_error",
        lambda z: metrics.expected_calibration_error(z, LABELS, bins=3),
        ((3, 4),),
        "float32",
        False,
    ),
    Op(
        "fit_temperature", lambda z: metrics.fit_temperature(z, LABELS), ((3, 4),), "float32", False
    ),
    Op(
        "psnr_and_ssim",
        lambda x, y: jnp.stack(
            [
                metrics.psnr(x, y, data_range=2),
                metrics.ssim(x, y, data_range=2, window="uniform"),
            ]
        ),
        ((8, 7, 1), (8, 7, 1)),
        "wide",
    ),
    Op(
        "pck",
        lambda x, y: metrics.pck(x, y, metrics.torso_size(y, 0, 1)),
        ((2, 3, 2), (2, 3, 3)),
        "float32",
        False,
    ),
    Op("alive_units", lambda x: metrics.alive_units({"fc": x})["fc"], ((3, 4),), "bool", False),
    Op(
        "dead_ratio",
        lambda x: metrics.dead_ratio(metrics.alive_units({"fc": x}))["all"],
        ((3, 4),),
        "float32",
        False,
    ),
    Op(
        "within_between_ratio",
        lambda x: metrics.within_between_ratio(x, np.array([0, 1, 0, 1])),
        ((4, 3),),
        "float32",
        False,
    ),
]

NOISE = [
    Op("noise_Dropout", lambda x: noise.Dropout(0.3).sample(KEY, x), ((4,),)),
    Op("noise_GaussianNoise", lambda x: noise.GaussianNoise(0.3).sample(KEY, x), ((4,),)),
    Op(
        "noise_DropConnect",
        lambda x, w: noise.DropConnect(w, None, 0.3).sample(KEY, x),
        ((4,), (4, 3)),
    ),
    Op(
        "noise_StochasticDepth",
        lambda x: noise.StochasticDepth((ops.tanh, ops.sigmoid), (0.3, 0.5)).sample(KEY, x),
        ((4,),),
    ),
    Op(
        "noise_BatchNorm",
        lambda x, others: noise.BatchNorm(others, batch_size=3).sample(KEY, x),
        ((4,), (5, 4)),
    ),
    Op("noise_FlipAndCrop", lambda x: noise.FlipAndCrop(1).sample(KEY, x), ((4, 5, 2),)),
    Op("noise_Cutout", lambda x: noise.Cutout(3).sample(KEY, x), ((4, 5, 2),)),
    # Not `sample`, whose beta distribution compiles for seconds; tests/noise draws from it.
    Op(
        "noise_Mixup",
        lambda x, others: noise.Mixup(others).marginalize(x, lambda y: y * y, degree=2),
        ((4,), (3, 4)),
        "wide",
    ),
    Op(
        "noise_FractionalMaxPool",
        lambda x: noise.FractionalMaxPool(1.4).sample(KEY, x),
        ((5, 6, 2),),
    ),
    Op(
        "monte_carlo",
        lambda x: noise.monte_carlo(KEY, lambda k: noise.Dropout(0.3).sample(k, x), 5).mean,
        ((4,),),
        "wide",
    ),
]

# What lives on the host is tested in tests/data; these are the functions that run inside jit.
DATA = [
    Op("normalize_contrast", data.preprocessing.normalize_contrast, ((2, 4, 5, 3),), "wide"),
    *(
        Op(
            f"preprocessing_{name}",
            data.preprocessing.fit_preprocessing(
                name, np.random.default_rng(0).integers(0, 256, (40, 2, 2, 3), dtype=np.uint8)
            ).apply,
            ((5, 2, 2, 3),),
            "wide",
        )
        for name in data.preprocessing.FITTERS
    ),
]
FUNCTIONS = [*OPS, *LOSSES, *METRICS, *NOISE, *DATA]

MODULES = [
    Module("BatchNorm_train", nn.BatchNorm, (6, 2, 4), {"train": True}),
    Module("BatchNorm_test", nn.BatchNorm, (6, 2, 4), {"train": False}),
    Module("Conv", lambda **kw: nn.Conv(6, (3, 3), strides=2, padding=1, groups=2, **kw), IMAGE),
    Module("ConvGRU", lambda **kw: nn.ConvGRU(3, **kw), (2, 3, 4, 4, 2)),
    Module("Conv_1d", lambda **kw: nn.Conv(3, (2,), use_bias=False, **kw), (2, 5, 4)),
    Module("Dense", lambda **kw: nn.Dense(5, **kw), (3, 4)),
    Module("Dropout", lambda dtype=None: nn.Dropout(0.3), (3, 4), {"train": True}, ("dropout",)),
    *(
        Module(
            f"DropConnect_{'train' if train else 'test'}",
            lambda **kw: nn.DropConnect(5, 0.3, activation=ops.tanh, **kw),
            (3, 4),
            {"train": train},
            ("dropout",) if train else (),
        )
        for train in (True, False)
    ),
    Module(
        "StochasticDepth",
        lambda dtype=None: nn.StochasticDepth(0.3),
        (8, 3, 4),
        {"train": True},
        ("dropout",),
    ),
    Module(
        "GaussianNoise",
        lambda dtype=None: nn.GaussianNoise(0.3, multiplicative=True),
        (3, 4),
        {"train": True},
        ("dropout",),
    ),
    Module(
        "FractionalMaxPool_train",
        lambda dtype=None: nn.FractionalMaxPool(1.4),
        IMAGE,
        {"train": True},
        ("dropout",),
    ),
    Module(
        "FractionalMaxPool_test",
        lambda dtype=None: nn.FractionalMaxPool(output_size=3, window=2),
        IMAGE,
        {"train": False},
    ),
    Module(
        "Recurrent",
        lambda **kw: First(nn.Recurrent(3, layers=2, bidirectional=True, **kw)),
        (2, 3, 4),
    ),
    Module("Recurrent_gru", lambda **kw: First(nn.Recurrent(3, "gru", **kw)), (2, 3, 4)),
    Module("Attend", lambda **kw: First(nn.Attend("additive", **kw), 2), (2, 3, 4)),
    Module("Attend_best_word", lambda **kw: First(nn.Attend("best_word", **kw), 2), (2, 3, 4)),
    Module("Attend_product", lambda **kw: First(nn.Attend("multiplicative", **kw), 2), (2, 3, 4)),
    # A bias of the keys adds the same to all scores of a query: it has no gradient.
    Module(
        "MultiHeadAttention",
        lambda **kw: First(nn.MultiHeadAttention(2, use_bias=False, **kw)),
        (2, 3, 4),
    ),
    Module("Positions", lambda dtype=None: nn.Positions(5), (2, 3, 4)),
    Module("Maxout", lambda **kw: nn.Maxout(5, pieces=3, **kw), (3, 4)),
    Module(
        "Maxout_conv", lambda **kw: nn.Maxout(5, kernel_size=(3, 3), padding=1, **kw), (2, 5, 6, 4)
    ),
    Module("PReLU", nn.PReLU, (3, 4)),
    Module("PReLU_shared", lambda **kw: nn.PReLU(per_channel=False, **kw), (3, 4)),
    Module("LocalResponseNorm", lambda dtype=None: nn.LocalResponseNorm(), (2, 3, 7)),
]

# Public names that are no functions of arrays, and why the loops above cannot run them.
TRANSFORMS = [
    Transform("random_flip", augment.random_flip),
    Transform("flip", lambda key, x: augment.flip(x, True, pairs=((0, 1),))),
    Transform("random_crop", lambda key, x: augment.random_crop(key, x, 2)),
    Transform("crop", lambda key, x: augment.crop(x, 0, 3, 2)),
    Transform("random_window", lambda key, x: augment.random_window(key, x, 5)),
    Transform("window", lambda key, x: augment.window(x, 1, 3, 5)),
    Transform("random_translate", lambda key, x: augment.random_translate(key, x, 3)),
    Transform("translate", lambda key, x: augment.translate(x, -2, 3)),
    Transform("random_resized_crop", lambda key, x: augment.random_resized_crop(key, x, (5, 7))),
    Transform("random_rotate", augment.random_rotate),
    Transform("random_scale", augment.random_scale),
    Transform("rotate_by", lambda key, x: augment.rotate_by(x, 20.0)),
    Transform("scale_at", lambda key, x: augment.scale_at(x, (-1, 2, 12, 7))),
    Transform("random_scale_crop", lambda key, x: augment.random_scale_crop(key, x, 6, (6, 12))),
    Transform(
        "random_part",
        lambda key, x: augment.resample(
            x,
            augment.random_part(key, *augment.image_of(x).shape[:2]),
            (6, 6),
            augment.random_method(key),
        ),
    ),
    *(
        Transform(method, lambda key, x, m=method: augment.resample(x, (1, 2, 5, 6), (7, 4), m))
        for method in augment.METHODS
    ),
    Transform("resize_shorter", lambda key, x: augment.resize_shorter(x, 6)),
    Transform(
        "move_to_region",
        lambda key, x: augment.move_to_region(
            x, augment.Region(0, 2, 4, 4, (4, 4)), lambda image: image[:4, 2:6]
        ),
    ),
    Transform("cutout", lambda key, x: augment.cutout(key, x, 3), moves=False),
    Transform("cutout_at", lambda key, x: augment.cutout_at(x, 2, 3, 4, 0.25), moves=False),
    Transform("color_jitter", lambda key, x: augment.color_jitter(key, x, hue=0.2), moves=False),
    Transform(
        "adjust_colors",
        lambda key, x: augment.adjust_colors(x, np.float32([1.2, 0.7, 1.3, 0.1]), np.arange(4)),
        moves=False,
    ),
    *(
        Transform(adjust.__name__, lambda key, x, adjust=adjust: adjust(x, 0.3), moves=False)
        for adjust in (
            augment.adjust_brightness,
            augment.adjust_contrast,
            augment.adjust_saturation,
            augment.adjust_hue,
        )
    ),
    Transform("random_color_noise", augment.random_color_noise, moves=False),
    Transform(
        "add_color_noise",
        lambda key, x: augment.add_color_noise(
            x, np.float32([0.3, -0.2, 0.1]), augment.IMAGENET_COLORS
        ),
        moves=False,
    ),
    Transform(
        "fit_color_pca",
        lambda key, x: augment.random_color_noise(
            key, x, augment.fit_color_pca(np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3))
        ),
        moves=False,
    ),
    *(
        Transform(f"policy {name}", augment.create_policy(name, np.zeros((1, 8, 10, 3), np.uint8)))
        for name in augment.list_policies()
        if name != "none"
    ),
    Transform("compose", augment.compose(augment.random_crop, augment.random_flip)),
    Transform("on_image", augment.on_image(lambda key, image: image[::-1]), moves=False),
    Transform(
        "change_image", lambda key, x: augment.change_image(x, lambda y: y[::-1]), moves=False
    ),
]
# (key, batch, example_ids) → batch.
PREPARES = {
    "per_example": augment.per_example(augment.random_crop),
    "augment_batch": augment.augment_batch,
    "mixup": lambda *given: augment.mixup(*given, alpha=0.4, num_classes=3),
    "mixup_at": lambda key, batch, ids: dict(
        zip(
            ("image", "label"),
            augment.mixup_at(batch["image"], batch["label"], 0.3, num_classes=3),
            strict=True,
        )
    ),
    "cutmix": lambda *given: augment.cutmix(*given, num_classes=3),
    "cutmix_at": lambda key, batch, ids: dict(
        zip(
            ("image", "label"),
            augment.cutmix_at(batch["image"], batch["label"], (1, 2, 5, 9), num_classes=3),
            strict=True,
        )
    ),
    "chain": augment.chain(
        augment.per_example(augment.random_flip),
        lambda *given: augment.mixup(*given, alpha=1.0, num_classes=3),
    ),
}

EXCLUDED = {
    "nn.Factorized": "around a whole network: tests/nn/test_factorized.py",
    "nn.separate": "of a whole network: tests/nn/test_factorized.py",
    "augment.on_clip": "makes transforms of clips: tests/augment/test_clips.py",
    "augment.random_time_window": "of clips: tests/augment/test_clips.py",
    "metrics.ACTIVITYNET_THRESHOLDS": "numbers",
    "metrics.ava_average_precision": "on the host: tests/metrics/test_video.py",
    "metrics.temporal_average_precision": "on the host: tests/metrics/test_video.py",
    "metrics.temporal_iou": "on the host: tests/metrics/test_video.py",
    "metrics.video_accuracy": "on the host: tests/metrics/test_video.py",
    "metrics.video_predictions": "on the host: tests/metrics/test_video.py",
    "augment.ColorPCA": "a type; fit_color_pca returns it",
    "augment.Example": "a type, of annotations",
    "augment.Prepare": "a type, of annotations",
    "augment.Transform": "a type, of annotations",
    "boxes.BETWEEN": "a number",
    "boxes.Clusters": "a type; anchors_by_kmeans returns it",
    "boxes.Detections": "a type; select_detections returns it",
    "boxes.FORMATS": "names of formats",
    "boxes.Kept": "a type; nms returns it",
    "boxes.NONE": "a number",
    "boxes.Sample": "a type; sample returns it",
    "boxes.SoftKept": "a type; soft_nms returns it",
    "boxes.anchors_by_kmeans": "takes sizes above 0: tests/ops/boxes/test_matching.py",
    "boxes.assign": "gives integers: tests/ops/boxes/test_matching.py",
    "boxes.canonical_order": "gives integers: tests/ops/boxes/test_matching.py",
    "boxes.cell_anchors": "of plain numbers: tests/ops/boxes/test_matching.py",
    "boxes.greedy_merge": "on the host: tests/ops/boxes/test_merging.py",
    "boxes.faster_rcnn_anchors": "of plain numbers: tests/ops/boxes/test_matching.py",
    "boxes.grid_anchors": "of plain numbers: tests/ops/boxes/test_matching.py",
    "boxes.hard_negatives": "gives booleans: tests/ops/boxes/test_matching.py",
    "boxes.match": "gives integers: tests/ops/boxes/test_matching.py",
    "boxes.match_each_object": "gives integers: tests/ops/boxes/test_matching.py",
    "boxes.each_image": "of functions: tests/ops/boxes/test_nms.py",
    "boxes.nms": "gives integers: tests/ops/boxes/test_nms.py",
    "boxes.sample": "gives integers: tests/ops/boxes/test_matching.py",
    "boxes.sample_of": "gives integers: tests/ops/boxes/test_matching.py",
    "boxes.select_detections": "gives integers beside boxes: tests/ops/boxes/test_nms.py",
    "boxes.soft_nms": "gives integers beside scores: tests/ops/boxes/test_nms.py",
    "boxes.ssd_anchors": "of plain numbers: tests/ops/boxes/test_matching.py",
    "data.AnnotationError": "an exception",
    "data.ArrayRows": "on the host: tests/data/test_own.py",
    "data.RecordSource": "on the host: tests/data/test_own.py",
    "data.hold_out_validation": "on the host: tests/data/test_own.py",
    "data.load_arrays": "on the host: tests/data/test_own.py",
    "data.load_folder": "on the host: tests/data/test_folder.py",
    "data.make_dataset": "on the host: tests/data/test_own.py",
    "data.scan_folder": "on the host: tests/data/test_folder.py",
    "data.ArraySource": "on the host: tests/data/test_source.py",
    "data.BATCH_KEYS": "documentation of names",
    "data.Batch": "a type, of annotations",
    "data.bicubic": "on the host: tests/data/test_luma.py",
    "data.luminance": "on the host: tests/data/test_luma.py",
    "data.to_gray_levels": "on the host: tests/data/test_luma.py",
    "data.COCO_CATEGORIES": "names of classes",
    "data.COCO_CLASSES": "names of classes",
    "data.BatchIterator": "on the host: tests/data/test_batches.py",
    "data.Batches": "on the host: tests/data/test_batches.py",
    "data.Dataset": "a type; load_dataset returns it",
    "data.ImageObjects": "a type; readers make it",
    "data.LabelImageSource": "on the host: tests/data/test_objects.py",
    "data.ObjectSource": "on the host: tests/data/test_objects.py",
    "data.Source": "a protocol; ArraySource is one",
    "data.Split": "on the host: tests/data/test_datasets.py",
    "data.VOC_CLASSES": "names of classes",
    "data.check_batch": "on the host: tests/data/test_source.py",
    "data.check_objects": "on the host: tests/data/test_objects.py",
    "data.eval_batches": "on the host: tests/data/test_batches.py",
    "data.list_datasets": "on the host: tests/data/test_datasets.py",
    "data.load_dataset": "on the host: tests/data/test_datasets.py",
    "data.load_objects": "on the host: tests/data/test_objects.py",
    "data.prefetch_to_device": "on the host: tests/data/test_batches.py",
    "data.read_coco": "on the host: tests/data/test_objects.py",
    "data.read_image": "on the host: tests/data/test_image_file.py",
    "data.read_voc": "on the host: tests/data/test_objects.py",
    "data.read_yolo": "on the host: tests/data/test_objects.py",
    "data.stratified_subset": "on the host: tests/data/test_datasets.py",
    "data.pad_sequences": "on the host: tests/data/test_sequences.py",
    "ops.Decoded": "a type; the decoders return it",
    "ops.RECURRENT_CELLS": "a table of cells; recurrent takes their names",
    "ops.beam_search": "of integers, by a step function: tests/ops/test_decoding.py",
    "ops.causal_mask": "of plain numbers",
    "data.to_original": "on the host: tests/data/test_objects.py",
    "ops.dropout_std": "of a plain number",
    "ops.fans": "of a static shape",
    "ops.free_running": "of integers, by a step function: tests/ops/test_decoding.py",
    "ops.greedy": "of integers, by a step function: tests/ops/test_decoding.py",
    "ops.length_mask": "of integers: tests/ops/test_recurrent.py",
    "ops.sample": "of integers, by a step function: tests/ops/test_decoding.py",
    "ops.scheduled_sampling": "of integers, by a step function: tests/ops/test_decoding.py",
    "ops.sinusoidal_positions": "of plain numbers",
    "ops.teacher_forcing": "of integers, by a step function: tests/ops/test_decoding.py",
    "ops.systematic_resample": "gives integers: tests/tasks/test_tracking.py",
    "ops.stochastic_depth_rates": "of plain numbers",
    "ops.transcendentals": "counts the operations of a function",
    "convolution.TransformedKernel": "a type; conv_transformed takes one",
    "roi.assign_levels": "gives integers: tests/ops/test_roi.py",
    "losses.smoothed_logit_gap": "of plain numbers",
    "metrics.CocoEvaluator": "on the host: tests/metrics/test_coco.py",
    "metrics.Bleu": "a type; corpus_bleu returns it",
    "metrics.character_error_rate": "of text: tests/metrics/test_text.py",
    "metrics.cider": "of text: tests/metrics/test_text.py",
    "metrics.corpus_bleu": "of text: tests/metrics/test_text.py",
    "metrics.vqa_accuracy": "of text: tests/metrics/test_text.py",
    "metrics.word_error_rate": "of text: tests/metrics/test_text.py",
    "metrics.DeadUnitMonitor": "loops over batches on the host; alive_units is what it calls",
    "metrics.Reliability": "a type; reliability returns it",
    "metrics.TemplatePlane": "a type; template_plane returns it",
    "metrics.ProposalQuality": "a type; proposal_quality returns it",
    "metrics.VocEvaluator": "on the host: tests/metrics/test_detection.py",
    "metrics.average_precision": "on the host: tests/metrics/test_detection.py",
    "metrics.detection_confusion": "on the host: tests/metrics/test_detection.py",
    "metrics.evaluate_coco": "on the host: tests/metrics/test_coco.py",
    "metrics.iou_of_classes": "on the host, in float64: tests/metrics/test_pixels_and_points.py",
    "metrics.keypoint_sigmas": "of a plain number",
    "metrics.proposal_recall": "on the host: tests/models/detection/test_multibox.py",
    "metrics.keypoint_hits": "gives two arrays; pck calls it",
    "metrics.proposal_quality": "on the host: tests/data/test_proposals.py",
    "metrics.segmentation_summary": "on the host: tests/metrics/test_pixels_and_points.py",
    "metrics.success_curve": "on the host: tests/tasks/test_tracking.py",
    "metrics.template_plane": "looks at values on the host, to refuse three templates on a line",
    "nn.QuantizedModel": "a type; quantize_for_inference returns it",
    "nn.quantize_for_inference": "of networks: tests/nn/test_int8_inference.py",
    "nn.OptimizedModel": "a type; optimize_for_inference returns it",
    "nn.optimize_for_inference": "of networks: tests/nn/test_optimize_for_inference.py",
    "nn.precise_batch_statistics": "loops over batches on the host, in float64",
    "noise.Estimate": "a type; monte_carlo returns it",
    "noise.NoiseSource": "the abstract base of the sources",
    "noise.NotExactError": "an exception",
    "noise.Outcomes": "a type; every source returns it",
}
