"""DeepPose: joints as numbers from the whole image, then corrected from what is around each."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.backbone import backbone
from jaxnets.nn import Dense
from jaxnets.ops.roi import roi_align


class DeepPose(nn.Module):
    """A regressor of all joints, and stages that each look closely around every joint.

    .. math:: p^1 = ψ_1(x), \\qquad p_j^s = p_j^{s-1} + σ \\, ψ_s(x \\text{ around } p_j^{s-1})_j

    Attributes:
        stages: S networks, images → mapping of maps, the last of which is used.
        joints: J.
        window: σ, side of what a later stage sees around a joint, as a share of the image.
        crop: pixels a side of what it sees.
        spread: in training a later stage sees places around the true joints, displaced by a normal
            deviate of this share of the image, as the errors of the stage before are.
        dropout: rate before the last layer of the first stage.
        dtype: compute dtype.

    Call: images (B, H, W, C), and in training ``centers (B, J, 2)``, the true joints as shares of
    the image's sides → {"points": (B, S, J, 2), of every stage}; in training those of later stages
    are corrections of displaced true joints. Random names: "dropout".

    Source: Toshev, Szegedy, "DeepPose: Human Pose Estimation via Deep Neural Networks", 2014,
    sections 3.1 and 3.2. There every stage has an AlexNet of its own and a joint's surroundings are
    as large as the predicted body; here they are of one size.

    >>> network = deep_pose(14, stages=2, width=4, crop=32)
    >>> x = jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0]["points"].shape
    (2, 2, 14, 2)
    """

    stages: tuple[nn.Module, ...]
    joints: int
    window: float = 0.35
    crop: int = 40
    spread: float = 0.06
    dropout: float = 0.3
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: jax.Array, *, train: bool = False, centers: jax.Array | None = None
    ) -> dict[str, jax.Array]:
        maps = list(self.stages[0](x, train=train).values())
        features = maps[-1].mean((1, 2))
        features = nn.Dropout(self.dropout, deterministic=not train)(features)
        first = Dense(2 * self.joints, dtype=self.dtype, name="joints1")(features)
        points = [0.5 + first.astype(jnp.float32).reshape(-1, self.joints, 2)]
        for number, network in enumerate(self.stages[1:], start=2):
            start = jax.lax.stop_gradient(points[-1])
            if train and centers is not None:
                noise = jax.random.normal(self.make_rng("dropout"), centers.shape)
                start = centers + self.spread * noise
            points.append(start + self._correct(x, start, network, number, train))
        return {"points": jnp.stack(points, 1)}

    def _correct(self, x, start, network, number, train):
        """(B, J, 2): of each joint by what is around it, all joints through one network."""
        sides = jnp.array(x.shape[2:0:-1], jnp.float32)
        corners = [(start + sign * self.window / 2) * sides for sign in (-1, 1)]
        boxes = jnp.concatenate(corners, -1)
        seen = roi_align(x, boxes, self.crop, strides=1.0, samples=1, aligned=True)
        seen = jax.lax.stop_gradient(seen).reshape(-1, self.crop, self.crop, x.shape[-1])
        maps = list(network(seen, train=train).values())
        features = maps[-1].mean((1, 2))
        each = Dense(2 * self.joints, dtype=self.dtype, name=f"joints{number}")(features)
        each = each.astype(jnp.float32).reshape(-1, self.joints, self.joints, 2)
        own = jnp.arange(self.joints)
        return self.window * each[:, own, own]


def deep_pose(
    joints: int, *, stages: int = 2, width: int = 32, crop: int = 40, dtype: Any = None
) -> DeepPose:
    """DeepPose on residual networks of ten layers; those of later stages are half as wide.

    Args:
        joints: J.
        stages: S.
        width: channels of the first network's stem.
        crop: pixels a side of what later stages see.
        dtype: compute dtype.

    Returns:
        A network for images of at least 32×32.

    >>> len(deep_pose(14, stages=3).stages)
    3
    """
    options = {"stages": (1, 1, 1, 1), "dtype": dtype}
    first = backbone("resnet18", (32,), width=width, **options)
    later = [
        backbone("resnet18", (32,), width=max(width // 2, 1), **options) for _ in range(1, stages)
    ]
    return DeepPose((first, *later), joints, crop=crop, dtype=dtype)
