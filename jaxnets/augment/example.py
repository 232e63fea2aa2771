"""What a transform takes and gives: one example, as a dict or as its image alone.

An example is one row of a batch (`jaxnets.data`): ``image (H, W, C)``, or ``clip (T, H, W, C)``
whose frames are all changed alike, and what belongs to it: ``label``, ``boxes (M, 4)``, ``masks``,
``keypoints``. A bare image is accepted everywhere, and then an image is what comes back.
"""

from collections.abc import Callable, Mapping

import jax

Example = Mapping[str, jax.Array] | jax.Array

# (key, example) → example.
Transform = Callable[[jax.Array, Example], Example]


def image_of(example: Example) -> jax.Array:
    """The image of an example, or the image itself; of a clip alone, the first frame.

    Args:
        example: a dict with ``image`` or ``clip``, or a bare image.

    Returns:
        (H, W, C).

    Raises:
        ValueError: a dict with neither.

    >>> image_of({"image": 1, "label": 2}), image_of(3)
    (1, 3)
    """
    if not isinstance(example, Mapping):
        return example
    if "image" in example:
        return example["image"]
    if "clip" in example:
        return example["clip"][0]
    raise ValueError(f"example: got {sorted(example)}; expected image or clip among them")


def change_image(example: Example, change: Callable[[jax.Array], jax.Array]) -> Example:
    """Change the image, and every frame of a clip; all other entries of the example stay.

    Args:
        example: a dict with ``image`` or ``clip``, or a bare image.
        change: image (H, W, C) → image.

    Returns:
        The example with another image; an image for an image.

    Raises:
        ValueError: a dict with neither.

    >>> change_image({"image": 1, "label": 2}, lambda image: 10 * image)
    {'image': 10, 'label': 2}
    """
    if not isinstance(example, Mapping):
        return change(example)
    image_of(example)
    changed = dict(example)
    if "image" in example:
        changed["image"] = change(example["image"])
    if "clip" in example:
        changed["clip"] = jax.vmap(change)(example["clip"])
    return changed


def on_image(transform: Callable[[jax.Array, jax.Array], jax.Array]) -> Transform:
    """A transform of examples, made of a function (key, image) → image that moves nothing.

    Args:
        transform: (key, image (H, W, C)) → image of the same height and width. It must leave every
            object where it is, because boxes, masks and keypoints stay as they are.

    Returns:
        (key, example) → example.

    >>> darker = on_image(lambda key, image: image // 2)
    >>> darker(jax.random.key(0), {"image": 8, "label": 2})
    {'image': 4, 'label': 2}
    """
    return lambda key, example: change_image(example, lambda image: transform(key, image))
