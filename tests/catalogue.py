"""Every operation and module once, with tiny inputs; generic tests loop over these lists."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from jaxnets import losses, nn, ops


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
