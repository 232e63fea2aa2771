"""What a student is asked to share with its teacher: the terms of a distillation's loss."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets import losses
from jaxnets.losses.distillation import check_temperature
from jaxnets.losses.hints import shrink_map
from jaxnets.nn import Conv, Dense
from jaxnets.tasks.teacher import LOGITS, PREFIX
from jaxnets.train.task import TaskError

# (what the student computed, what the teacher says, the batch) → scalar.
TermLoss = Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], jax.Array]
# (shape of the student's layer, shape of the teacher's) → makes the module between them.
Project = Callable[[tuple[int, ...], tuple[int, ...]], Callable[..., nn.Module]]
Weight = float | Callable[[Any], Any]


class Term(NamedTuple):
    """One term of a distillation's loss.

    Attributes:
        name: what its value is logged as.
        weight: a number, or a schedule: updates made so far → number.
        loss: (student, teacher, batch) → scalar. Of the student "logits" and its layers by path;
            of the teacher what `Teacher` returns.
        layers: (the student's path, the teacher's path) of the layers that it looks at.
        project: makes the trained module that the student's layers pass first, or None.

    A term of one's own: let the largest logits agree.

    >>> def largest(student, teacher, batch):
    ...     return jnp.square(student["logits"].max(-1) - teacher["teacher/logits"].max(-1)).mean()
    >>> Term("largest", 0.1, largest).layers
    ()
    """

    name: str
    weight: Weight
    loss: TermLoss
    layers: tuple[tuple[str, str], ...] = ()
    project: Project | None = None


def soft_targets(*, temperature: float = 4.0, weight: Weight = 0.9) -> Term:
    """Hinton's distillation: the teacher's softened predictions.

    Args:
        temperature: T.
        weight: α; the labels then usually get 1 − α. FitNets let it fall from 4 to 1 at T = 3.

    Returns:
        The term, by `jaxnets.losses.soft_target_loss`.

    Raises:
        ValueError: a temperature that is not above 0.

    >>> soft_targets(temperature=0)
    Traceback (most recent call last):
    ValueError: temperature: got 0; expected a number above 0 (1 leaves the predictions as they are,
        2 to 20 soften them)
    """
    check_temperature(temperature)

    def loss(student, teacher, batch):
        return losses.soft_target_loss(student["logits"], teacher[LOGITS], temperature=temperature)

    return Term("soft_targets", weight, loss)


def hint(
    guided: str, teacher_layer: str, *, weight: Weight = 1.0, per_element: bool = True
) -> Term:
    """FitNets' hint: a regressor makes the teacher's layer out of the student's.

    The regressor is a convolution without padding whose kernel spans N_g − N_h + 1, so that a
    guided map of N_g positions a side gives one of the hint's N_h; a dense layer for vectors. Where
    the hint's map is the larger one, it is averaged down (the paper has no such case).

    Args:
        guided: path of the student's layer.
        teacher_layer: path of the hint, the teacher's layer.
        weight: of the term.
        per_element: see `jaxnets.losses.hint_loss`.

    Returns:
        The term.

    >>> hint("stage2", "stage2").layers
    (('stage2', 'stage2'),)
    """

    def loss(student, teacher, batch):
        regressed, target = student[guided], teacher[PREFIX + teacher_layer]
        if regressed.ndim == 4:
            target = shrink_map(target, regressed.shape[1:3])
        return losses.hint_loss(regressed, target, per_element=per_element)

    return Term("hint", weight, loss, ((guided, teacher_layer),), regressor)


def attention(*layers: tuple[str, str], weight: Weight = 1.0, power: float = 2.0) -> Term:
    """Attention transfer: the layers are active at the same places.

    Args:
        *layers: (the student's path, the teacher's path) of feature maps.
        weight: β/2.
        power: p of `jaxnets.losses.attention_map`.

    Returns:
        The term, a sum over the layers.

    >>> attention(("stage1", "stage2"), ("stage2", "stage3")).name
    'attention'
    """

    def loss(student, teacher, batch):
        return sum(
            losses.attention_transfer_loss(student[own], teacher[PREFIX + other], power=power)
            for own, other in layers
        )

    return Term("attention", weight, loss, layers)


def relational(
    layer: str,
    teacher_layer: str,
    *,
    weight: Weight = 1.0,
    distance: float = 25.0,
    angle: float = 50.0,
) -> Term:
    """Relational distillation: distances and angles between the examples of a batch.

    Args:
        layer: path of the student's layer; of maps the mean over the positions is taken.
        teacher_layer: path of the teacher's.
        weight: of the term.
        distance, angle: weights of the two parts.

    Returns:
        The term.

    >>> relational("stage3", "stage3", angle=0.0).name
    'relational'
    """

    def loss(student, teacher, batch):
        pair = pooled(student[layer]), pooled(teacher[PREFIX + teacher_layer])
        total = jnp.zeros(())
        if distance:
            total += distance * losses.relational_distance_loss(*pair)
        if angle:
            total += angle * losses.relational_angle_loss(*pair)
        return total

    return Term("relational", weight, loss, ((layer, teacher_layer),))


def contrastive(
    layer: str,
    teacher_layer: str,
    *,
    weight: Weight = 0.5,
    temperature: float = 0.1,
) -> Term:
    """Contrastive distillation: the student's embedding tells which of the teacher's is its own.

    A trained dense layer brings the student's features to the teacher's number. The teacher's are
    taken as they are, where the paper trains a layer for them too, so that they can be cached.

    Args:
        layer: path of the student's layer; of maps the mean over the positions is taken.
        teacher_layer: path of the teacher's.
        weight: of the term.
        temperature: see `jaxnets.losses.contrastive_distillation_loss`.

    Returns:
        The term; examples of the same class are no negatives of each other.

    >>> contrastive("stage3", "stage3").weight
    0.5
    """

    def loss(student, teacher, batch):
        labels = batch["label"]
        return losses.contrastive_distillation_loss(
            student[layer],
            pooled(teacher[PREFIX + teacher_layer]),
            temperature=temperature,
            labels=labels if labels.ndim == 1 else jnp.argmax(labels, -1),
        )

    return Term("contrastive", weight, loss, ((layer, teacher_layer),), embedding)


def pooled(features: jax.Array) -> jax.Array:
    """Vectors (B, C): the mean over the positions of maps (B, …, C).

    >>> pooled(jnp.ones((2, 3, 3, 5))).shape
    (2, 5)
    """
    return features.reshape(len(features), -1, features.shape[-1]).mean(1)


def regressor(own: tuple[int, ...], other: tuple[int, ...]) -> Callable[..., nn.Module]:
    """The module between a guided layer and a hint.

    Args:
        own: shape of the student's layer, (B, H, W, C) or (B, C).
        other: shape of the teacher's.

    Returns:
        ``make(name=…)``.

    Raises:
        TaskError: a map and a vector, or sizes that do not fit.

    >>> regressor((1, 8, 8, 16), (1, 6, 6, 32))(name="regressor").kernel_size
    (3, 3)
    """
    if len(own) != len(other) or len(own) not in (2, 4):
        raise TaskError(f"hint: layers of shapes {own[1:]} and {other[1:]} can't be compared")
    if len(own) == 2:
        return partial(Dense, other[-1])
    pairs = list(zip(own[1:3], other[1:3], strict=True))
    if any(n_h > n_g and n_h % n_g for n_g, n_h in pairs):
        raise TaskError(
            f"hint: the teacher's map of {other[1]}×{other[2]} is larger than the student's of "
            f"{own[1]}×{own[2]} and no multiple of it; guide an earlier layer, or give a later hint"
        )
    kernel = tuple(max(1, n_g - n_h + 1) for n_g, n_h in pairs)
    return partial(Conv, other[-1], kernel)


def embedding(own: tuple[int, ...], other: tuple[int, ...]) -> Callable[..., nn.Module]:
    """The module that brings the student's features to the teacher's number.

    Args:
        own: shape of the student's layer.
        other: shape of the teacher's.

    Returns:
        ``make(name=…)``.

    >>> embedding((1, 8, 8, 16), (1, 4, 4, 64))(name="e").features
    64
    """
    del own
    return partial(Embedding, other[-1])


class Embedding(nn.Module):
    """Mean over the positions, then a dense layer.

    Attributes:
        features: outputs.

    >>> jax.tree.map(jnp.shape, Embedding(3).init(jax.random.key(0), jnp.ones((1, 2, 2, 5))))
    {'params': {'dense': {'bias': (3,), 'kernel': (5, 3)}}}
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return Dense(self.features, name="dense")(pooled(x))
