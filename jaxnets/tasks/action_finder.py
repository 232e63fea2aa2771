"""A trained detector of actions as one thing, from a video to what its people do."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import models, pretrained
from jaxnets.data.object_source import fitted_size
from jaxnets.data.video import KeyframeSource, Video
from jaxnets.errors import JaxnetsError
from jaxnets.models.video import ActionDetector, SlowFast
from jaxnets.train.reopen import reopen

# Frames of a video between those of a clip, at 30 a second, as the weights were trained.
STRIDES = {"ava_slow_4x16_r50": 16, "ava_slowfast_8x8_r50": 2, "ava_slowfast_8x8_r101": 2}


@dataclass(frozen=True)
class ActionInfo:
    """What must be known beside the arrays to use a detector of actions that was trained here.

    Attributes:
        class_names: of the actions.
        size: (H, W) of the canvas that frames are fitted into.
        frames, stride, fps: of a clip, see `jaxnets.data.video.keyframe_indices`.
        mean, std: per channel, of clips in 0 … 1.
        width: of a small network's slow stem; None: the registered ``model``.
        model: name of a registered network.

    >>> info = ActionInfo(("sit",), (32, 32), 8, 2, 30.0, (0.45,), (0.225,), width=16)
    >>> ActionInfo.from_json(info.to_json()) == info, info.network().num_classes
    (True, 1)
    """

    class_names: tuple[str, ...]
    size: tuple[int, int]
    frames: int
    stride: int
    fps: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    width: int | None = None
    model: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ActionInfo":
        """What `to_json` gave."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    def preprocess(self, clip: jax.Array) -> jax.Array:
        """Clips as stored, uint8, as the network wants them."""
        return (clip.astype(jnp.float32) / 255 - jnp.array(self.mean)) / jnp.array(self.std)

    def network(self) -> nn.Module:
        """The module, not yet initialized."""
        if self.model is not None:
            return models.create_model(self.model, num_classes=len(self.class_names))
        return small_action_detector(len(self.class_names), width=self.width or 16)


def small_action_detector(num_classes: int, *, width: int = 16) -> ActionDetector:
    """A SlowFast of one block a stage, that learns small clips in minutes.

    Args:
        num_classes: actions.
        width: channels of the slow stem; the fast one has half as many.

    Returns:
        An `ActionDetector` for clips of a multiple of four frames.

    >>> small_action_detector(3).num_classes
    3
    """
    fields = {"stages": (1, 1, 1, 1), "alpha": 4, "beta_inverse": 2, "zero_gamma": False}
    return ActionDetector(
        num_classes=num_classes,
        backbone=partial(SlowFast, width=width, output_stride=16, **fields),
        dropout_rate=0.2,
    )


class PersonActions(NamedTuple):
    """What a person does at one moment.

    Attributes:
        second: when.
        box: corners in 0 … 1.
        scores: (K,) probabilities.

    >>> PersonActions(902, (0.0, 0.0, 1.0, 1.0), np.zeros(2)).second
    902
    """

    second: float
    box: tuple[float, ...]
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class ActionFinder:
    """A network with its variables, ready for videos.

    Attributes:
        info: of its clips and classes.
        network: the module.
        variables: of it.
        short_side: the shorter side that frames are scaled to in place of ``info.size``, as
            published networks were measured; None: ``info.size``.

    >>> class Halves(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x, boxes, *, box_mask=None, train=False):
    ...         return jnp.zeros((*boxes.shape[:2], 1))
    >>> info = ActionInfo(("sit",), (8, 8), 4, 1, 10.0, (0.5,) * 3, (0.5,) * 3)
    >>> video = Video(np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) / 10, True)
    >>> people = [{"second": 1, "box": (0.0, 0.0, 0.5, 1.0)}]
    >>> ActionFinder(info, Halves(), {}).find(video, people)
    [PersonActions(second=1, box=(0.0, 0.0, 0.5, 1.0), scores=array([0.5], dtype=float32))]
    """

    info: ActionInfo
    network: nn.Module
    variables: Any
    short_side: int | None = None

    @cached_property
    def _run(self) -> Callable[..., jax.Array]:
        def run(variables, clip, boxes, mask):
            x = self.info.preprocess(clip)
            return jax.nn.sigmoid(self.network.apply(variables, x, boxes, box_mask=mask))

        return jax.jit(run)

    def find(
        self, video: Video, people: Iterable[Mapping[str, Any]], *, start: float = 0.0
    ) -> list[PersonActions]:
        """What the people in a video do.

        Args:
            video: with frames of any size, of one channel or three, as the network was trained.
            people: rows with "second" and "box", corners in 0 … 1.
            start: the second of ``people`` at which the video begins.

        Returns:
            One `PersonActions` for each box, by time.

        Raises:
            JaxnetsError: nobody, or seconds that the video does not have.
        """
        info, size = self.info, video.frames.shape[1:3]
        canvas = info.size
        if self.short_side is not None:
            scale = self.short_side / min(size)
            canvas = fitted_size(size, (round(size[0] * scale), round(size[1] * scale)))
        if len(info.mean) == 1 and video.frames.shape[-1] == 3:
            video = video._replace(frames=_gray(video.frames))
        source = KeyframeSource(
            {"": video},
            [{**row, "video": ""} for row in people],
            num_actions=len(info.class_names),
            size=canvas,
            frames=info.frames,
            stride=info.stride,
            fps=info.fps,
            start=start,
            where="the boxes",
        )
        found = []
        for row in range(len(source)):
            batch = source.take(np.array([row]))
            scores = self._run(self.variables, batch["clip"], batch["boxes"], batch["box_mask"])
            found += [
                PersonActions(source.keyframes[row][1], box, np.asarray(scores[0, m]))
                for m, box in enumerate(source.people(row))
            ]
        return found


def read_action_finder(
    weights: str | Path,
    *,
    model: str | None = None,
    class_names: Sequence[str] | None = None,
    notify: Callable[[str], None] = print,
) -> ActionFinder:
    """A detector of actions from its files.

    Args:
        weights: the directory of a run of `jaxnets.tasks.train_actions`; or with ``model`` a file
            of PySlowFast's weights.
        model: of a file of weights, such as "ava_slowfast_8x8_r50".
        class_names: of a file of weights; default: numbers, from 1.
        notify: called with a sentence about a damaged checkpoint that is passed over.

    Returns:
        `ActionFinder`.

    Raises:
        JaxnetsError: no run there, a run of something else, or a file without ``model``.

    >>> read_action_finder("slowfast.pkl")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: slowfast.pkl: give --model NAME for PySlowFast's weights, ...
    """
    if model is not None:
        if model not in STRIDES:
            raise JaxnetsError(f"--model: got {model!r}; expected one of {', '.join(STRIDES)}")
        fields = {} if class_names is None else {"num_classes": len(class_names)}
        network, variables = pretrained.load(model, weights, **fields)
        about = models.model_info(model)
        names = class_names or tuple(map(str, range(1, network.num_classes + 1)))
        size = (about.input_size, about.input_size)
        clip = (about.frames, STRIDES[model], 30.0, about.mean, about.std)
        info = ActionInfo(tuple(names), size, *clip, model=model)
        return ActionFinder(info, network, variables, short_side=256)
    if not Path(weights).is_dir():
        raise JaxnetsError(
            f"{weights}: give --model NAME for PySlowFast's weights, one of {', '.join(STRIDES)}, "
            "or the directory of a run"
        )
    found = reopen(weights, notify=notify)
    if "actions" not in found.meta:
        raise JaxnetsError(
            f"{weights} holds a run, but not of a detector of actions. Train one first: "
            "python -m experiments.video.train_actions"
        )
    info = ActionInfo.from_json(found.meta["actions"])
    return ActionFinder(info, info.network(), found.variables)


def _gray(frames: np.ndarray) -> np.ndarray:
    """(T, H, W, 1) uint8, by the weights of Rec. 601."""
    gray = np.asarray(frames) @ np.array([0.299, 0.587, 0.114])
    return np.rint(gray).astype(np.uint8)[..., None]
