"""Every operation, module and network once, tiny; generic tests loop over these lists."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets import losses, nn, ops
from jaxnets.models import model_info


@dataclass(frozen=True)
class Op:
    """A pure function of floating arrays.

    Args (fields):
        name: shown as the test's name.
        function: of arrays, one for each of ``shapes``.
        shapes: of its arguments; each gets standard normal numbers.
    """

    name: str
    function: Callable[..., jax.Array]
    shapes: tuple[tuple[int, ...], ...]

    def inputs(self, dtype=np.float32) -> list[np.ndarray]:
        random = np.random.default_rng(0)
        return [random.standard_normal(shape).astype(dtype) for shape in self.shapes]


@dataclass(frozen=True)
class Module:
    """A Flax module and how it is called.

    Args (fields):
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


KEY = jax.random.PRNGKey(7)
IMAGE = (2, 5, 6, 4)

OPS = [
    *(
        Op(name, ops.get_activation(name), ((3, 4),))
        for name in ("elu", "leaky_relu", "relu", "scaled_tanh", "sigmoid", "tanh")
    ),
    Op("prelu", ops.prelu, ((3, 4), (4,))),
    Op("maxout", lambda x: ops.maxout(x, 2), ((3, 4),)),
    Op("dense", ops.dense, ((3, 4), (4, 5), (5,))),
    Op("max_pool", lambda x: ops.max_pool(x, 3, strides=2, padding=1, ceil_mode=True), (IMAGE,)),
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
    Op("batch_norm_mean", lambda x: ops.batch_norm(x)[1], ((6, 4),)),
    Op("batch_norm_var", lambda x: ops.batch_norm(x)[2], ((6, 4),)),
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
    ),
    Op(
        "drop_connect_variance",
        lambda x, w, b: ops.drop_connect_moments(x, w, b, 0.3, scale_in_training=True)[1],
        ((3, 4), (4, 5), (5,)),
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
    Op("activation_statistics", lambda x: ops.activation_statistics(x)["std"], ((3, 4),)),
    Op(
        "cross_entropy",
        lambda z: losses.cross_entropy(z, np.array([3, 0, 1]), label_smoothing=0.1),
        ((3, 4),),
    ),
    Op("confidence_penalty", losses.confidence_penalty, ((3, 4),)),
]
# Their results have the dtype of statistics, float32 at least, whatever the input's.
WIDE = {
    "batch_norm_mean",
    "batch_norm_var",
    "drop_connect_mean",
    "drop_connect_variance",
    "activation_statistics",
    "cross_entropy",
    "confidence_penalty",
}

MODULES = [
    Module("BatchNorm_train", nn.BatchNorm, (6, 2, 4), {"train": True}),
    Module("BatchNorm_test", nn.BatchNorm, (6, 2, 4), {"train": False}),
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
    Module("Maxout", lambda **kw: nn.Maxout(5, pieces=3, **kw), (3, 4)),
    Module(
        "Maxout_conv", lambda **kw: nn.Maxout(5, kernel_size=(3, 3), padding=1, **kw), (2, 5, 6, 4)
    ),
    Module("PReLU", nn.PReLU, (3, 4)),
    Module("PReLU_shared", lambda **kw: nn.PReLU(per_channel=False, **kw), (3, 4)),
    Module("LocalResponseNorm", lambda dtype=None: nn.LocalResponseNorm(), (2, 3, 7)),
]


class Network(NamedTuple):
    """A registered network made so small that it compiles in a second or two.

    Attributes:
        name: in the registry.
        fields: that make it small.
        shape: (H, W, C) of the images it takes.
    """

    name: str
    fields: dict[str, Any]
    shape: tuple[int, int, int]


NETWORKS = {
    "mlp": Network("mlp", {"hidden": (32, 16), "dropout_rate": 0.1}, (8, 8, 1)),
    "lenet5": Network("lenet5", {}, (8, 8, 1)),
    "lenet5_1998": Network("lenet5_1998", {}, (28, 28, 1)),
    "resnet20": Network("resnet20", {"blocks": 2, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet20_B": Network(
        "resnet20", {"blocks": 1, "widths": (8, 12, 16), "shortcut": "B"}, (16, 16, 3)
    ),
    "resnet1202": Network("resnet1202", {"blocks": 3, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet18": Network("resnet18", {"stages": (1, 1, 1, 1), "width": 8}, (48, 48, 3)),
    "resnet50_v1": Network(
        "resnet50_v1", {"stages": (2, 1, 1, 1), "width": 4, "zero_gamma": False}, (48, 48, 3)
    ),
    "resnet50_C": Network(
        "resnet50", {"stages": (2, 1), "width": 4, "width_factor": 2, "shortcut": "C"}, (32, 32, 3)
    ),
    "plain18": Network("plain18", {"stages": (1, 1), "width": 8}, (32, 32, 3)),
    "vgg11_lrn": Network(
        "vgg11_lrn", {"widths": (8, 8, 12, 16, 16), "fc_width": 24, "fc_window": 1}, (32, 32, 3)
    ),
    "vgg11_bn": Network(
        "vgg11_bn", {"widths": (8, 8, 12, 16, 16), "fc_width": 24, "fc_window": 2}, (32, 32, 1)
    ),
    # The published N(0, 0.01²) lets nothing through where the layers are this narrow.
    "alexnet": Network(
        "alexnet",
        {"channels": (8, 16, 24, 24, 16), "fc_width": 32, "fc_window": 1, "paper_init": False},
        (67, 67, 3),
    ),
    # It drops half of what it flattens: of the 16 numbers left here too many to overfit.
    "alexnet_2014": Network(
        "alexnet_2014",
        {
            "channels": (8, 16, 24, 24, 16),
            "fc_width": 32,
            "fc_window": 1,
            "dropout_rate": 0.2,
        },
        (64, 64, 3),
    ),
    "zfnet": Network(
        "zfnet",
        {"channels": (8, 16, 24, 24, 16), "fc_width": 32, "fc_window": 1, "paper_init": False},
        (64, 64, 3),
    ),
    "squeezenet1_1": Network(
        "squeezenet1_1", {"stages": (((4, 8),), ((4, 12),)), "stem_width": 8}, (32, 32, 3)
    ),
    "squeezenet1_0_complex": Network(
        "squeezenet1_0_complex",
        {"stages": (((4, 8), (4, 8)), ((4, 12),)), "stem_width": 8},
        (32, 32, 3),
    ),
    "nin_cifar": Network(
        "nin_cifar",
        {"stages": (((16, 16, 16), 5, 1, 2), ((24, 24, 24), 5, 1, 2), ((24, 24, 0), 3, 1, 1))},
        (16, 16, 3),
    ),
    "mobilenet_v1": Network("mobilenet_v1", {"width": 0.25}, (32, 32, 3)),
    "mobilenet_v2": Network(
        "mobilenet_v2",
        {"blocks": ((1, 8, 1, 1), (3, 8, 2, 2), (3, 16, 1, 2)), "last_width": 32, "width": 0.5},
        (32, 32, 3),
    ),
    "resnext50_32x4d": Network(
        "resnext50_32x4d",
        {"stages": (1, 1), "cardinality": 4, "path_width": 2, "width": 8},
        (32, 32, 3),
    ),
    "resnext50_split": Network(
        "resnext50_32x4d",
        {"stages": (1, 1), "cardinality": 2, "path_width": 4, "width": 8, "form": "split"},
        (32, 32, 3),
    ),
    "wide_resnet50_2": Network("wide_resnet50_2", {"stages": (1, 1), "width": 4}, (32, 32, 3)),
    "wrn_16_8": Network("wrn_16_8", {"depth": 10, "width": 1, "dropout_rate": 0.1}, (16, 16, 3)),
    "se_resnet50": Network(
        "se_resnet50", {"stages": (1, 1), "width": 8, "reduction": 4}, (32, 32, 3)
    ),
    "senet154": Network(
        "senet154", {"stages": (1, 1), "width": 8, "reduction": 4, "groups": 4}, (32, 32, 3)
    ),
    "densenet121": Network(
        "densenet121", {"stages": (2, 2, 1), "growth": 8, "stem_width": 16}, (32, 32, 3)
    ),
    "densenet40_remat": Network(
        "densenet40_k12", {"stages": (2, 2, 2), "remat": True, "dropout_rate": 0.1}, (16, 16, 3)
    ),
    "googlenet": Network("googlenet", {"width": 0.125}, (48, 48, 3)),
    "googlenet_bn": Network("googlenet_bn", {"width": 0.125}, (32, 32, 3)),
    "shufflenet_v1_g2": Network(
        "shufflenet_v1_g2", {"channels": (32, 64), "stages": (2, 1), "stem_width": 8}, (32, 32, 3)
    ),
    "shufflenet_v2_x0_5": Network(
        "shufflenet_v2_x0_5",
        {"channels": (16, 32, 48), "stages": (2, 1), "stem_width": 8},
        (32, 32, 3),
    ),
    "se_bn_inception": Network("se_bn_inception", {"width": 0.125, "reduction": 4}, (32, 32, 3)),
    "inception_v2": Network("inception_v2", {"width": 0.0625}, (75, 75, 3)),
    "inception_v3": Network("inception_v3", {"width": 0.0625}, (75, 75, 3)),
    "fractalnet": Network(
        "fractalnet", {"widths": (8, 12), "columns": 3, "dropout_rates": (0.0, 0.1)}, (16, 16, 3)
    ),
    "nasnet_a_mobile": Network(
        "nasnet_a_mobile", {"cells": 1, "features": 96, "stem_width": 8}, (32, 32, 3)
    ),
}

# A plain run trains one network of every third family; which third, goes on with the commits.
TURNS = 3


def in_turn(number):
    """One network of each family whose turn it is: every family comes in any `TURNS` in a row."""
    first = {}
    for key, network in NETWORKS.items():
        first.setdefault(model_info(network.name).family, key)
    return [*first.values()][number % TURNS :: TURNS]


def turn():
    """How many commits there are, or, without git, days: the same in all processes of a run."""
    command = ["git", "rev-list", "--count", "HEAD"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, check=True)
        return int(done.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return int(time.time() // 86_400)
