"""All networks of a convolutional space as one program with masks, so that many train side by side.

Each layer has the largest kernel of the space, over the image and all layers before it; a mask cuts
it down to what an architecture says. What is masked gets no gradient, so that a child computes and
learns what the small network of `ConvChild` would. A mask is a sum of products of the choices'
one-hot rows: rows of probabilities in their place give DARTS' mixture.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.nas.space import Architecture, SearchSpace

MEASURED = 100  # images that are measured on at once


class Masks(NamedTuple):
    """What an architecture leaves of the largest network.

    Attributes:
        kernels: of each layer (H, W, C_in, F): 1 where there is a weight.
        filters: of each layer (F,).
        outputs: (layers,): which the classifier sees.
        fan_in: of each layer: its inputs, for the scale of the first weights.

    >>> Masks((), (), jnp.ones(2), ()).outputs.shape
    (2,)
    """

    kernels: tuple[jax.Array, ...]
    filters: tuple[jax.Array, ...]
    outputs: jax.Array
    fan_in: tuple[jax.Array, ...]


class MaskedChildren:
    """The children of a space of convolutions of stride 1.

    Args:
        space: of `conv_space`, without strides.
        channels: of the images.
        num_classes: width of the classifier.

    Raises:
        JaxnetsError: a space with strides.

    >>> from jaxnets.nas.space import conv_space
    >>> children = MaskedChildren(conv_space(2, filters=(2, 4)), channels=1, num_classes=10)
    >>> masks = children.masks(children.one_hot((1, 0, 0, 1, 1, 1, 1)))
    >>> int(masks.kernels[0].sum()), masks.outputs.tolist()  # 3 × 1, 2 filters; the last one
    (6, [0.0, 1.0])
    """

    def __init__(self, space: SearchSpace, *, channels: int, num_classes: int):
        if any(token.slot.startswith("stride") for token in space.tokens):
            raise JaxnetsError(
                f"masked children have stride 1; {space.name} has tokens for strides"
            )
        self.space, self.channels, self.num_classes = space, channels, num_classes
        self.layers = max(token.layer for token in space.tokens) + 1
        self._values = {t.slot: np.array(t.values) for t in space.tokens if t.source < 0}
        self._side = {name: int(self._values[name].max()) for name in ("height", "width")}
        self._most = int(self._values["filters"].max())
        self._place = {(t.layer, t.slot, t.source): i for i, t in enumerate(space.tokens)}
        self._skips = any(token.source >= 0 for token in space.tokens)

    def one_hot(self, architecture: Sequence[int]) -> jax.Array:
        """(T, K): a row for each token, 1 at its value."""
        rows = np.eye(max(self.space.sizes), dtype=np.float32)
        return jnp.asarray(rows[list(self.space.check(architecture))])

    def masks(self, choices: jax.Array) -> Masks:
        """The masks of one-hot rows, or the mixture of rows of probabilities."""
        taken = jnp.zeros((self.layers, self.layers))  # [layer, source]
        for layer in range(self.layers):
            for source in range(layer):
                if self._skips:
                    value = choices[self._place[layer, "skip", source], 1]
                else:
                    value = jnp.float32(source == layer - 1)
                taken = taken.at[layer, source].set(value)
        kernels, filters, fans = [], [], []
        for layer in range(self.layers):
            height, width = (self._span(choices, layer, name) for name in ("height", "width"))
            row = choices[self._place[layer, "filters", -1]]
            steps = np.arange(self._most) < self._values["filters"][:, None]
            own = row[: len(steps)] @ steps.astype(np.float32)
            image = jnp.prod(1 - taken[layer, :layer])
            inputs = [jnp.broadcast_to(image, (self.channels,))]
            inputs += [taken[layer, source] * filters[source] for source in range(layer)]
            entry = jnp.concatenate(inputs)
            kernels.append(jnp.einsum("h,w,i,o->hwio", height, width, entry, own))
            fans.append(height.sum() * width.sum() * entry.sum())
            filters.append(own)
        outputs = jnp.stack([jnp.prod(1 - taken[n + 1 :, n]) for n in range(self.layers)])
        return Masks(tuple(kernels), tuple(filters), outputs, tuple(fans))

    def _span(self, choices: jax.Array, layer: int, name: str) -> jax.Array:
        """(side,): 1 on the middle of the largest side, as wide as the chosen one."""
        side, values = self._side[name], self._values[name]
        begin = (side - 1) // 2 - (values - 1) // 2
        place = np.arange(side)
        inside = (place >= begin[:, None]) & (place < (begin + values)[:, None])
        row = choices[self._place[layer, name, -1]]
        return row[: len(values)] @ inside.astype(np.float32)

    def init(self, key: jax.Array, masks: Masks) -> dict[str, Any]:
        """First parameters, He-normal for the child's own number of inputs."""
        params: dict[str, Any] = {}
        for number, (mask, fan) in enumerate(zip(masks.kernels, masks.fan_in, strict=True)):
            own = jax.random.fold_in(key, number)
            scale = jnp.sqrt(2 / jnp.maximum(fan, 1))
            kernel = scale * jax.random.normal(own, mask.shape)
            params[f"layer{number}"] = {"kernel": kernel, "bias": jnp.zeros(self._most)}
        size = (self.layers * self._most, self.num_classes)
        seen = (masks.outputs[:, None] * jnp.stack(masks.filters)).sum()
        own = jax.random.fold_in(key, self.layers)
        kernel = jnp.sqrt(1 / jnp.maximum(seen, 1)) * jax.random.normal(own, size)
        return {**params, "head": {"kernel": kernel, "bias": jnp.zeros(self.num_classes)}}

    def apply(self, params: Any, masks: Masks, x: jax.Array) -> jax.Array:
        """Logits (B, num_classes) of images (B, H, W, C)."""
        maps = [x]
        padding = [((k - 1) // 2, k // 2) for k in self._side.values()]
        for number in range(self.layers):
            layer = params[f"layer{number}"]
            kernel = layer["kernel"] * masks.kernels[number]
            y = _convolve(jnp.concatenate(maps, -1), kernel, padding)
            maps.append(jax.nn.relu(y + layer["bias"]) * masks.filters[number])
        seen = [y * masks.outputs[number] for number, y in enumerate(maps[1:])]
        features = jnp.concatenate(seen, -1).mean((1, 2))
        return features @ params["head"]["kernel"] + params["head"]["bias"]

    def train(
        self,
        keys: jax.Array,
        architectures: Sequence[Architecture],
        images: jax.Array,
        labels: jax.Array,
        test_images: jax.Array,
        test_labels: jax.Array,
        *,
        steps: int,
        batch_size: int = 32,
        learning_rate: float = 3e-3,
    ) -> np.ndarray:
        """Train children side by side in one program and measure them.

        Args:
            keys: one for each child: of its first parameters and its batches.
            architectures: one for each child.
            images: (N, H, W, C), standardized.
            labels: (N,).
            test_images: what is measured on.
            test_labels: of these.
            steps: updates by Adam, the rate falling to 0 by a cosine.
            batch_size: examples of a step.
            learning_rate: the first one.

        Returns:
            (children,): shares of right answers on the test images.
        """
        choices = jnp.stack([self.one_hot(architecture) for architecture in architectures])
        data = (jnp.asarray(images), jnp.asarray(labels))
        test = (jnp.asarray(test_images), jnp.asarray(test_labels))
        rate = float(learning_rate)
        found = _train(keys, choices, data, test, self, int(steps), int(batch_size), rate)
        return np.asarray(found)


def _convolve(x: jax.Array, kernel: jax.Array, padding: Any) -> jax.Array:
    """A convolution as one product of matrices, which stays one under vmap and inside a scan."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    places = np.ndindex(kernel.shape[:2])
    seen = [padded[:, i : i + height, j : j + width] for i, j in places]
    return jnp.concatenate(seen, -1) @ kernel.reshape(-1, kernel.shape[-1])


@partial(jax.jit, static_argnums=(4, 5, 6, 7))
def _train(keys, choices, data, test, children, steps, batch_size, learning_rate):
    images, labels = data
    rule = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def one(key, choice):
        masks = children.masks(choice)
        params = children.init(jax.random.fold_in(key, 0), masks)
        order = jax.random.randint(jax.random.fold_in(key, 1), (steps, batch_size), 0, len(labels))

        def loss(params, rows):
            return cross_entropy(children.apply(params, masks, images[rows]), labels[rows])

        def step(carry, rows):
            params, state = carry
            updates, state = rule.update(jax.grad(loss)(params, rows), state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = lax.scan(step, (params, rule.init(params)), order)

        # A few at a time: what the products of matrices lay out of all images is gigabytes a child.
        predicted = lax.map(
            lambda image: children.apply(params, masks, image[None])[0].argmax(-1),
            test[0],
            batch_size=min(MEASURED, len(test[0])),
        )
        return (predicted == test[1]).mean()

    return jax.vmap(one)(keys, choices)
