"""C3D: 3×3×3 convolutions and 2×2×2 poolings throughout, and its fc6 as a descriptor of videos.

Source: Tran, Bourdev, Fergus, Torresani, Paluri, "Learning Spatiotemporal Features with 3D
Convolutional Networks", 2014, sections 3.1 (the small network for UCF101) and 3.3, figure 3. The
first pooling leaves time alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_clips
from jaxnets.models.features import features
from jaxnets.models.registry import register
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import max_pool, relu

# Channels of the convolutions between two poolings.
STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


class C3D(nn.Module):
    """Eight convolutions, five poolings, two connected layers.

    16×112×112 → conv1a 64, pool 16×56×56 → conv2a 128, pool 8×28×28 → conv3a, b 256, pool → conv4a,
    b 512, pool → conv5a, b 512, pool 1×4×4 → fc6 4096 → fc7 4096 → classes.

    Attributes:
        num_classes: width of the head, fc8; None returns the endpoints conv1a…conv5b, pool5, and
            fc6 and fc7 where the clip has the published size.
        stages: channels of the convolutions between two poolings.
        fc_width: of fc6 and fc7.
        fc_window: (time, height, width) of the map that fc6 sees.
        last_pooling: "ceil", as Caffe rounds 7 to 4, or "pad", as PyTorch's ports pad instead.
        dropout_rate: after fc6 and fc7.
        conv: convolution layer.
        dtype: compute dtype.

    Call: clips (N, 16, 112, 112, C), or what else leaves ``fc_window`` → logits (N, num_classes),
    float32. Needs the rng "dropout" in training.

    >>> network = C3D(num_classes=None, stages=((4,), (4,)), fc_window=(2, 2, 2), fc_width=8)
    >>> x = jax.ShapeDtypeStruct((1, 4, 8, 8, 3), jnp.float32)
    >>> maps = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x)
    >>> {name: value.shape[1:] for name, value in maps.items()}
    {'conv1a': (4, 8, 8, 4), 'conv2a': (4, 4, 4, 4), 'pool5': (2, 2, 2, 4), 'fc6': (8,),
     'fc7': (8,)}
    """

    num_classes: int | None = 487
    stages: Sequence[Sequence[int]] = STAGES
    fc_width: int = 4096
    fc_window: Sequence[int] = (1, 4, 4)
    last_pooling: str = "ceil"
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x, frames=2, smallest=2, stem="conv1a")
        endpoints = OrderedDict()
        for i, widths in enumerate(self.stages, start=1):
            for letter, width in zip("abcdefgh", widths, strict=False):
                name = f"conv{i}{letter}"
                conv = self.conv(width, (3, 3, 3), padding=1, dtype=self.dtype, name=name)
                x = endpoints[name] = relu(conv(x))
            window = (1 if i == 1 else 2, 2, 2)
            last = i == len(self.stages)
            padding = (0, 1, 1) if last and self.last_pooling == "pad" else 0
            x = max_pool(x, window, padding=padding, ceil_mode=self.last_pooling == "ceil")
        endpoints["pool5"] = x
        if x.shape[1:4] != tuple(self.fc_window):
            if self.num_classes is None:
                return endpoints
            raise ValueError(
                f"C3D: these clips leave a last map of {x.shape[1:4]} (time, height, width), and "
                f"the first connected layer sees {tuple(self.fc_window)}. Give clips of the "
                f"published 16×112×112, or a network with fc_window={x.shape[1:4]}."
            )
        for name, window in (("fc6", tuple(self.fc_window)), ("fc7", (1, 1, 1))):
            x = relu(self.conv(self.fc_width, window, dtype=self.dtype, name=name)(x))
            endpoints[name] = x[:, 0, 0, 0]
            x = Dropout(self.dropout_rate, name=f"dropout_{name}")(x, train=train)
        if self.num_classes is None:
            return endpoints
        x = self.conv(self.num_classes, (1, 1, 1), dtype=self.dtype, name="head")(x)
        return x[:, 0, 0, 0].astype(jnp.float32)


def video_descriptor(
    model: nn.Module,
    variables: Mapping[str, Any],
    clips: jax.Array,
    *,
    layer: str = "fc6",
) -> jax.Array:
    """C3D's descriptor of a video: the mean of an activation over its clips, of length one.

    d = m / ‖m‖₂, m = (1/K) Σ_k fc6(clip_k). A linear classifier on it is the paper's.

    Args:
        model: `C3D`, or another network whose endpoint ``layer`` is a vector.
        variables: its variables.
        clips: (K, T, H, W, C), all of one video, of which neighbors may overlap (the paper: by 8
            of 16 frames).
        layer: the endpoint.

    Returns:
        (features,), float32.

    Raises:
        UnknownNameError: no such endpoint.

    Source: Tran et al. 2014, section 3.3.

    >>> network = C3D(stages=((2,), (2,)), fc_window=(1, 2, 2), fc_width=8, num_classes=3)
    >>> clips = jnp.ones((2, 2, 8, 8, 1))
    >>> d = video_descriptor(network, network.init(jax.random.key(0), clips), clips)
    >>> d.shape, round(float(jnp.linalg.norm(d)), 5)
    ((8,), 1.0)
    """
    values = features(model, variables, clips, taps=[layer])[layer]
    mean = values.astype(jnp.float32).reshape(values.shape[0], -1).mean(0)
    return mean / jnp.maximum(jnp.linalg.norm(mean), 1e-12)


_c3d = partial(register, paper=papers.C3D, task="video classification", input_size=112, frames=16)


@_c3d(
    parameters=79_991_015,
    macs=38_548_959_232,
    weights=("mmaction2 c3d",),
    published="Sports-1M: top-5 of videos 85.2 %; a linear classifier on fc6, UCF101: 82.3 %",
)
def c3d(*, num_classes: int | None = 487, name: str | None = None, **fields: Any) -> C3D:
    """C3D for Sports-1M; ``fields`` of `C3D`."""
    return C3D(num_classes=num_classes, name=name, **fields)


@_c3d(parameters=17_444_965, macs=19_261_106_176)
def c3d_small(*, num_classes: int | None = 101, name: str | None = None, **fields: Any) -> C3D:
    """The network with five convolutions that the kernels were chosen with; ``fields`` of `C3D`."""
    stages = ((64,), (128,), (256,), (256,), (256,))
    fields = {"stages": stages, "fc_width": 2048, **fields}
    return C3D(num_classes=num_classes, name=name, **fields)
