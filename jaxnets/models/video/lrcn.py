"""LRCN: an image network on every frame, an LSTM along time, predictions of all frames averaged.

Source: Donahue et al., "Long-term Recurrent Convolutional Networks for Visual Recognition and
Description", 2014, section 4; layers as in the authors' Caffe definition.
"""

from collections import OrderedDict
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from jaxnets.models import papers
from jaxnets.models.checks import check_clips
from jaxnets.models.registry import register
from jaxnets.models.video.fusion import log_mean_softmax
from jaxnets.models.video.layers import as_clips, as_images
from jaxnets.models.video.two_stream import FrameCNN
from jaxnets.nn import Dense, Dropout, Recurrent

# Between CaffeNet and the network of Zeiler and Fergus: see `two_stream.CNN_M` for the columns.
LAYERS = (
    (96, 7, 2, 0, 1, True, True),
    (384, 5, 2, 0, 2, True, True),
    (512, 3, 1, 1, 1, False, False),
    (512, 3, 1, 1, 2, False, False),
    (384, 3, 1, 1, 2, False, True),
)
CAFFE = {"layers": LAYERS, "pool_first": True}


class LRCN(nn.Module):
    """fc6 of each frame → LSTM → a prediction for each frame → their mean.

    Attributes:
        num_classes: width of the head; None returns the endpoints frames (N, T, fc6) and states
            (N, T, hidden).
        frame_network: an image network without head whose last endpoint describes a frame.
        hidden: units of the LSTM.
        cell: of `jaxnets.nn.Recurrent`.
        dropout_rate: behind the LSTM.
        dtype: compute dtype; the image network has its own.

    Call: clips (N, T, H, W, C) → logits (N, num_classes), float32, whose softmax is the mean of
    that of the frames. Needs the rng "dropout" in training.

    >>> tiny = FrameCNN(None, layers=((4, 3, 2, 0, 1, False, True),), fc_widths=(8,))
    >>> network = LRCN(num_classes=5, frame_network=tiny, hidden=6)
    >>> import jax.numpy as jnp
    >>> x = jax.ShapeDtypeStruct((2, 3, 16, 16, 3), jnp.float32)
    >>> jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x).shape
    (2, 5)
    """

    num_classes: int | None = 101
    frame_network: nn.Module = FrameCNN(None, fc_widths=(4096,), dropout_rate=0.9, **CAFFE)
    hidden: int = 256
    cell: str = "lstm"
    dropout_rate: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x)
        *_, described = self.frame_network(as_images(x), train=train).values()
        described = described.reshape(described.shape[0], -1)
        described = Dropout(self.frame_network.dropout_rate, name="dropout_frames")(
            described, train=train
        )
        frames = as_clips(described, x.shape[1])
        lstm = Recurrent(self.hidden, self.cell, dtype=self.dtype, name="lstm")
        states, _ = lstm(frames, train=train)
        if self.num_classes is None:
            return OrderedDict(frames=frames, states=states)
        states = Dropout(self.dropout_rate, name="dropout")(states, train=train)
        logits = Dense(self.num_classes, dtype=self.dtype, name="head")(states)
        return log_mean_softmax(logits, 1)


_lrcn = partial(register, paper=papers.LRCN, task="video classification", input_size=227)


@_lrcn(
    parameters=65_421_285,
    macs=16 * 1_194_401_824,
    frames=16,
    published="UCF101, split 1: RGB 68.2 %, flow 77.3 %, both 82.3 %",
)
def lrcn(*, num_classes: int | None = 101, name: str | None = None, **fields: Any) -> LRCN:
    """LRCN with the LSTM behind fc6; ``fields`` of `LRCN`."""
    return LRCN(num_classes=num_classes, name=name, **fields)


@_lrcn(
    parameters=78_132_965,
    macs=1_207_110_432,
    published="UCF101, split 1: RGB 67.4 %, flow 74.4 %, both 78.9 %",
)
def lrcn_single_frame(
    *, num_classes: int | None = 101, name: str | None = None, **fields: Any
) -> FrameCNN:
    """The image network of `lrcn` by itself, with fc7; ``fields`` of `FrameCNN`."""
    fields = {"fc_widths": (4096, 4096), **CAFFE, **fields}
    return FrameCNN(num_classes=num_classes, name=name, **fields)
