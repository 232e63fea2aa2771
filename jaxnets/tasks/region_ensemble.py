"""GoogLeNet's detection pipeline: more proposals than R-CNN's, several classifiers, no regression.

Source: Szegedy et al., "Going Deeper with Convolutions", 2014, section 8.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import numpy as np

from jaxnets.data.proposals import selective_search
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.region_detector import RegionDetector, crops_of

# Proposals of selective search with segments twice as large, and as many more by a network.
SCALE, MORE = 2.0, 200


def propose_more(
    image: np.ndarray,
    more: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    mode: str = "fast",
    count: int = MORE,
    min_side: float = 1.0,
) -> np.ndarray:
    """Selective search with segments twice as large, which halves its boxes, and a network's boxes.

    Args:
        image: uint8 (H, W, 3).
        more: image → boxes (n, 4) by falling confidence, corners in pixels, such as MultiBox's;
            None: no such network.
        mode: of `jaxnets.data.proposals.selective_search`.
        count: of the network's boxes, so many.
        min_side: boxes are at least so wide and high, in pixels.

    Returns:
        float32 (R, 4), the network's boxes first.

    Source: Szegedy et al. 2014, section 8: 200 boxes of MultiBox are added back.

    >>> image = np.zeros((24, 24, 3), np.uint8)
    >>> propose_more(image, lambda image: np.array([[1.0, 1, 9, 9]]), mode="single").tolist()
    [[1.0, 1.0, 9.0, 9.0], [0.0, 0.0, 24.0, 24.0]]
    """
    found = selective_search(image, mode=mode, scale=SCALE, min_side=min_side)
    given = np.zeros((0, 4)) if more is None else np.asarray(more(image)).reshape(-1, 4)[:count]
    height, width = image.shape[:2]
    given = np.clip(given, 0, [width, height, width, height])
    given = given[((given[:, 2:] - given[:, :2]) >= min_side).all(1)]
    return np.concatenate([given.astype(np.float32), found])


def region_ensemble(
    classifiers: Sequence[Callable[[jax.Array], jax.Array]],
    class_names: Sequence[str],
    size: tuple[int, int],
    *,
    crop: int,
    context: int = 0,
    fill: Sequence[float] | float = 0.0,
    more: Callable[[np.ndarray], np.ndarray] | None = None,
    mode: str = "fast",
    min_side: float = 1.0,
    threshold: float = 0.3,
) -> RegionDetector:
    """A detector whose regions several networks classify; their probabilities are averaged.

    Boxes stay as they were proposed: there is no regression.

    Args:
        classifiers: crops (N, crop, crop, 3), gray levels 0 … 255, floating → logits (N, K + 1),
            background first.
        class_names: K of them.
        size: (H, W) of the canvas that images are fitted into.
        crop: side of the crops in pixels; 224 for GoogLeNet.
        context, fill: of `jaxnets.ops.warp_regions`.
        more: further proposals, see `propose_more`.
        mode, min_side: of selective search.
        threshold: of the suppression.

    Returns:
        `RegionDetector`.

    Raises:
        JaxnetsError: no classifiers.

    Source: Szegedy et al. 2014, section 8: an ensemble of six networks.

    >>> def sure(crops):
    ...     return jax.numpy.tile(jax.numpy.array([0.0, 9.0]), (len(crops), 1))
    >>> detector = region_ensemble([sure], ["thing"], (24, 24), crop=8, mode="single")
    >>> detector.find_in([np.zeros((24, 24, 3), np.uint8)])[0].labels
    ('thing',)
    """
    if not classifiers:
        raise JaxnetsError("classifiers: got none; expected at least one")

    @jax.jit
    def chances(crops):
        found = [jax.nn.softmax(classify(crops), -1) for classify in classifiers]
        return sum(found)[:, 1:] / len(found)

    def look(canvas, regions):
        scores = crops_of(chances, canvas, regions, size=crop, context=context, fill=fill)
        return scores, regions

    propose = partial(propose_more, more=more, mode=mode, min_side=min_side)
    return RegionDetector(tuple(class_names), size, propose, look, threshold=threshold)
