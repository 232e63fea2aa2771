"""A teacher: a trained network that predicts for a student, in the step or once for all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Source, eval_batches
from jaxnets.errors import UnknownNameError
from jaxnets.models.features import features
from jaxnets.models.taps import TAPS, Tapped, tap_shapes
from jaxnets.ops.activations import identity

# What a teacher says, as keys of a batch: its logits, and its layers by their paths.
LOGITS = "teacher/logits"
PREFIX = "teacher/"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network with its variables, called on images as they are stored.

    Instead of it any function can teach that maps images (B, H, W, C) to a dict with
    "teacher/logits" (B, K) and, for each layer that a loss looks at, "teacher/PATH": the mean of
    an ensemble, for example.

    Attributes:
        network: any Flax module.
        variables: its variables; they become constants of the compiled step, so for a large
            teacher `CachedTeacher` is better.
        preprocess: images as stored → images as the teacher wants them.
        taps: its layers that losses look at: paths of submodules, or endpoints of a network of
            this package.

    >>> from jaxnets.models import create_model
    >>> net = create_model("mlp", hidden=(4,), num_classes=3)
    >>> variables = net.init(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
    >>> said = Teacher(net, variables, taps=("fc1",))(jnp.zeros((5, 2, 2, 1)))
    >>> {name: value.shape for name, value in said.items()}
    {'teacher/fc1': (5, 4), 'teacher/logits': (5, 3)}
    """

    network: nn.Module
    variables: Mapping[str, Any]
    preprocess: Callable[[jax.Array], jax.Array] = identity
    taps: tuple[str, ...] = ()

    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        """What it says of images (B, H, W, C), without gradients."""
        x = self.preprocess(images)
        inner = Tapped(self.network, taps=self.taps)
        logits, written = inner.apply(
            {name: {"network": tree} for name, tree in self.variables.items()}, x, mutable=[TAPS]
        )
        values = dict(written[TAPS]["values"])
        if lacking := [path for path in self.taps if path not in values]:
            known = set(tap_shapes(self.network, x)) - {""}
            if "num_classes" not in getattr(self.network, "__dataclass_fields__", {}):
                raise UnknownNameError("teacher's layer", lacking[0], known)
            # Endpoints that are no submodules, such as a pooling.
            values |= features(self.network, self.variables, x, taps=lacking)
        said = {PREFIX + path: values[path] for path in self.taps} | {LOGITS: logits}
        return jax.tree.map(jax.lax.stop_gradient, said)

    def tapping(self, taps: Iterable[str]) -> "Teacher":
        """The same teacher with other layers handed out."""
        return Teacher(self.network, self.variables, self.preprocess, tuple(taps))


def teacher_shapes(
    batch: Mapping[str, Any], teacher: Callable[[jax.Array], Mapping[str, jax.Array]] | None
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of what a teacher says of a batch: of what the batch holds, else of a call.

    Args:
        batch: with "image", or with the keys that `CachedTeacher` adds.
        teacher: a `Teacher` or another function of images; None where the batch holds it.

    Returns:
        key → shape and dtype.

    Raises:
        UnknownNameError: a layer that the teacher does not have.

    >>> shapes = teacher_shapes({LOGITS: np.zeros((2, 10))}, None)
    >>> shapes["teacher/logits"].shape
    (2, 10)
    """
    held = {
        key: jax.ShapeDtypeStruct(np.shape(value), jnp.result_type(value))
        for key, value in batch.items()
        if key.startswith(PREFIX)
    }
    if LOGITS in held or teacher is None:
        return held
    return dict(jax.eval_shape(teacher, jnp.asarray(batch["image"])))


def teacher_says(
    batch: Mapping[str, Any], teacher: Callable[[jax.Array], Mapping[str, jax.Array]] | None
) -> dict[str, jax.Array]:
    """What the teacher says of a batch: what the batch holds, else what it says now.

    Args:
        batch: see `teacher_shapes`.
        teacher: likewise.

    Returns:
        "teacher/logits" and the layers.

    Raises:
        KeyError: the batch holds nothing and there is no teacher.

    >>> teacher_says({LOGITS: 1, "image": 2}, None)
    {'teacher/logits': 1}
    """
    if LOGITS in batch:
        return {key: value for key, value in batch.items() if key.startswith(PREFIX)}
    if teacher is None:
        raise KeyError(LOGITS)
    return dict(teacher(batch["image"]))


class CachedTeacher:
    """A source whose batches hold what the teacher says of each example as it is stored.

    The teacher speaks once, when the first batch is taken, and then costs nothing in a step. It
    knows nothing of augmentation: a student that sees changed images learns what the teacher says
    of the unchanged ones. Give a source that holds the changed images too, or let the teacher
    speak in the step.

    Args:
        source: with "image".
        teacher: a `Teacher` or another function of images.
        layers: keep these layers of those that the teacher hands out (default: all).
        batch_size: images at a time.
        dtype: that layers are kept in; logits are always float32.

    >>> from jaxnets.data import ArraySource
    >>> source = ArraySource({"image": np.ones((3, 2, 2, 1)), "label": np.arange(3)})
    >>> cached = CachedTeacher(source, lambda x: {LOGITS: x.sum((2, 3))}, batch_size=2)
    >>> len(cached), cached.take(np.array([1]))["teacher/logits"].tolist()
    (3, [[2.0, 2.0]])
    """

    def __init__(
        self,
        source: Source,
        teacher: Callable[[jax.Array], Mapping[str, jax.Array]],
        *,
        layers: Iterable[str] | None = None,
        batch_size: int = 250,
        dtype: Any = np.float32,
    ):
        self._source, self._teacher = source, teacher
        self._batch_size, self._dtype = batch_size, dtype
        self._layers = None if layers is None else tuple(layers)
        self._said: dict[str, np.ndarray] | None = None
        self._whole: CachedTeacher | None = None
        self.info = getattr(source, "info", {})

    def __len__(self) -> int:
        return len(self._source)

    def take(self, rows: np.ndarray) -> dict[str, Any]:
        """These examples as a batch, with "teacher/logits" and the layers."""
        said = {key: value[rows] for key, value in self.said().items()}
        return {**self._source.take(rows), **said}

    def said(self) -> dict[str, np.ndarray]:
        """What the teacher says of all examples, in their order."""
        if self._said is None and self._whole is not None:
            keys = [LOGITS, *(PREFIX + layer for layer in self._layers or ())]
            self._said = {key: self._whole.said()[key] for key in keys}
        if self._said is None:
            parts: dict[str, list[np.ndarray]] = {}
            speak = jax.jit(self._kept)
            for batch in eval_batches(self._source, min(self._batch_size, len(self))):
                real = np.asarray(batch["example_mask"]) > 0
                for key, value in speak(batch["image"]).items():
                    dtype = np.float32 if key == LOGITS else self._dtype
                    parts.setdefault(key, []).append(np.asarray(value)[real].astype(dtype))
            self._said = {key: np.concatenate(values) for key, values in parts.items()}
        return self._said

    def only(self, *layers: str) -> "CachedTeacher":
        """The same source with fewer layers; nothing is computed again."""
        other = CachedTeacher(self._source, self._teacher, layers=layers)
        other._whole = self
        return other

    def _kept(self, images: jax.Array) -> dict[str, jax.Array]:
        said = dict(self._teacher(images))
        if self._layers is None:
            return said
        return {key: said[key] for key in (LOGITS, *(PREFIX + one for one in self._layers))}
