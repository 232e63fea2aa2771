"""GRU-RCN: convolutional GRUs on the maps of several layers of an image network.

Source: Ballas, Yao, Pal, Courville, "Delving Deeper into Convolutional Networks for Learning Video
Representations", 2015, sections 3 and 5.1.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_clips
from jaxnets.models.registry import register
from jaxnets.models.vgg import VGG
from jaxnets.models.video.fusion import log_mean_softmax
from jaxnets.models.video.layers import as_clips, as_images
from jaxnets.nn import ConvGRU, Dense, Dropout
from jaxnets.ops import adaptive_avg_pool, max_pool

# Endpoint of VGG-16, whether it is still to be pooled (the paper's pool2, pool3, …), channels of
# the GRU, its kernel.
CELLS = (
    ("stage2", True, 64, 3),
    ("stage3", True, 128, 3),
    ("stage4", True, 256, 3),
    ("pool5", False, 256, 3),
    ("fc7", False, 512, 1),
)


class GRURCN(nn.Module):
    """A ConvGRU on the maps of each of five layers; five classifiers, their softmaxes averaged.

    Attributes:
        num_classes: width of each classifier; None returns the states of each GRU as endpoints,
            "gru_stage2", … (N, T, H, W, features).
        frame_network: image network whose endpoints the GRUs see.
        cells: see `CELLS`.
        stacked: each GRU also sees the states of the one below, pooled to its map (section 3.2).
        bidirectional: a second GRU runs from the last frame to the first; the last states of both
            are classified side by side.
        use_bias: of the GRUs; the paper has none.
        dropout_rate: in front of each classifier.
        dtype: compute dtype; the image network has its own.

    Call: clips (N, T, H, W, C) → logits (N, num_classes), float32, whose softmax is the mean over
    the classifiers. Needs the rng "dropout" in training.

    >>> tiny = VGG(None, stages=((3,),) * 5, widths=(2,) * 5, fc_width=4, fc_window=1,
    ...            fc_endpoints=True)
    >>> cells = (("stage2", True, 3, 3), ("fc7", False, 2, 1))
    >>> network = GRURCN(num_classes=5, frame_network=tiny, cells=cells, stacked=True)
    >>> x = jax.ShapeDtypeStruct((1, 3, 32, 32, 3), jnp.float32)
    >>> jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x).shape
    (1, 5)
    """

    num_classes: int | None = 101
    frame_network: nn.Module = VGG(None, fc_endpoints=True)
    cells: Sequence[tuple[str, bool, int, int]] = CELLS
    stacked: bool = False
    bidirectional: bool = False
    use_bias: bool = False
    dropout_rate: float = 0.7
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x)
        maps = self.frame_network(as_images(x), train=train)
        endpoints: OrderedDict[str, jax.Array] = OrderedDict()
        logits, below = [], None
        for place, pooled, features, kernel in self.cells:
            seen = max_pool(maps[place], 2) if pooled else maps[place]
            if self.stacked and below is not None:
                # Odd maps have no window that divides them: bins as adaptive as they must be.
                pooled_below = adaptive_avg_pool(as_images(below), seen.shape[1:3])
                seen = jnp.concatenate((seen, pooled_below), -1)
            seen = as_clips(seen, x.shape[1])
            states, last = [], []
            for reverse in (False, True) if self.bidirectional else (False,):
                name = f"gru_{place}" + ("_backward" if reverse else "")
                gru = ConvGRU(
                    features,
                    kernel,
                    reverse=reverse,
                    use_bias=self.use_bias,
                    dtype=self.dtype,
                    name=name,
                )
                states.append(gru(seen))
                last.append(states[-1][:, 0 if reverse else -1].mean((1, 2)))
            below = endpoints[f"gru_{place}"] = jnp.concatenate(states, -1)
            if self.num_classes is not None:
                y = Dropout(self.dropout_rate, name=f"dropout_{place}")(
                    jnp.concatenate(last, -1), train=train
                )
                logits.append(Dense(self.num_classes, dtype=self.dtype, name=f"head_{place}")(y))
        if self.num_classes is None:
            return endpoints
        return log_mean_softmax(jnp.stack(logits), 0)


@register(
    paper=papers.GRU_RCN,
    parameters=153_737_465,
    macs=188_547_194_816,
    task="video classification",
    frames=10,
    published="UCF101: GRU-RCN 79.9 %, stacked 78.3 %, bidirectional 80.7 %, VGG-16 alone 78.0 %",
)
def gru_rcn(*, num_classes: int | None = 101, name: str | None = None, **fields: Any) -> GRURCN:
    """GRU-RCN on VGG-16, kernels of 3×3 and 1×1 at fc7; ``fields`` of `GRURCN`."""
    return GRURCN(num_classes=num_classes, name=name, **fields)
