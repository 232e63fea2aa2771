"""One picture explained: what the network says, and by what in the picture."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxnets.interpret.backward import deconvnet, guided_backprop, pixel_map, saliency, smooth_grad
from jaxnets.interpret.cam import class_activation_map, grad_cam, last_map
from jaxnets.interpret.figures import overlay, sheet
from jaxnets.interpret.maps import boxes_from_maps, resize_maps
from jaxnets.interpret.occlusion import OcclusionMaps, occlusion_map
from jaxnets.interpret.program import compiled, run_network
from jaxnets.interpret.subject import Subject
from jaxnets.interpret.targets import Unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Explanation(NamedTuple):
    """What was found of one picture.

    Attributes:
        predictions: (class name, probability), most probable first.
        target: number of the class that is explained.
        heat: its map, (H, W): a class activation map where the network has one.
        heat_name: "CAM" or "Grad-CAM".
        box: around the map's largest part, x and y of two corners.
        occlusion: see `OcclusionMaps`.
        figure: all of it as one sheet.

    >>> Explanation._fields[0]
    'predictions'
    """

    predictions: tuple[tuple[str, float], ...]
    target: int
    heat: np.ndarray
    heat_name: str
    box: np.ndarray
    occlusion: OcclusionMaps
    figure: "Figure"


def explain_picture(
    subject: Subject,
    image: np.ndarray,
    *,
    target: int | None = None,
    layer: str | None = None,
    size: int | None = None,
    stride: int | None = None,
    samples: int = 8,
) -> Explanation:
    """Prediction, class activation map, occlusion, deconvnet and gradients of one picture.

    Args:
        subject: the network.
        image: uint8 (H, W, C), of the size that the network takes.
        target: the class to explain (default: the predicted one).
        layer: for Grad-CAM and the deconvnet (default: the last map).
        size, stride: of the occluding square, in pixels (default: a quarter and a fourteenth of the
            image).
        samples: of `smooth_grad`.

    Returns:
        See `Explanation`.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: no such class.

    >>> from jaxnets.interpret.subject import load_subject
    >>> explain_picture(load_subject(None, "lenet5"), np.zeros((32, 32, 1), np.uint8), target=10)
    Traceback (most recent call last):
    ValueError: target: got 10; expected a class from 0 to 9
    """
    model, variables = subject.model, subject.variables
    x = subject.prepare(image[None])
    probabilities = np.asarray(compiled(_probabilities, model)(variables, x))[0]
    best = np.argsort(-probabilities)[:5]
    predictions = tuple((subject.class_names[i], float(probabilities[i])) for i in best)
    chosen = int(best[0]) if target is None else target
    if not 0 <= chosen < len(probabilities):
        last = len(probabilities) - 1
        raise ValueError(f"target: got {target}; expected a class from 0 to {last}")
    layer = layer or last_map(model, variables, x)
    try:
        heat, name = class_activation_map(model, variables, x, chosen).maps, "CAM"
    except ValueError as error:
        if "grad_cam" not in str(error):
            raise
        heat, name = grad_cam(model, variables, x, chosen, layer=layer), "Grad-CAM"
    sides = image.shape[:2]
    size = size or max(2, min(sides) // 4)
    stride = min(size, stride or max(1, min(sides) // 14))
    occlusion = occlusion_map(
        model, variables, x, chosen, size=size, stride=stride, layer=layer, batch_size=49
    )
    heat = np.asarray(resize_maps(heat, sides))[0]
    box = boxes_from_maps(heat[None])[0]
    strongest = Unit(layer, None, "strongest")
    smooth = smooth_grad(jax.random.key(0), model, variables, x, chosen, samples=samples)
    title = f"{subject.class_names[best[0]]}, {100 * probabilities[best[0]]:.0f} %"
    rows: list[dict[str, Any]] = [
        {
            title: image,
            f"{name}, box at 20 %": (overlay(image, np.maximum(heat, 0)), box),
            "occlusion: probability falls": overlay(image, np.maximum(occlusion.drop[0], 0)),
            f"occlusion: {layer}": overlay(image, -_full(occlusion.activation[0], sides)),
        },
        {
            f"deconvnet, {layer}'s strongest unit": deconvnet(model, variables, x, strongest)[0],
            "guided backpropagation": guided_backprop(model, variables, x, chosen)[0],
            "saliency": _bright(pixel_map(saliency(model, variables, x, chosen))[0]),
            f"SmoothGrad, {samples} samples": _bright(pixel_map(smooth)[0]),
        },
    ]
    return Explanation(predictions, chosen, heat, name, box, occlusion, sheet(rows))


def _probabilities(model, variables, x):
    return jax.nn.softmax(run_network(model, variables, x)[0])


def _full(grid, sides) -> np.ndarray:
    """A map of places of the square, at the image's size."""
    return np.asarray(resize_maps(np.asarray(grid, np.float32)[None], sides))[0]


def _bright(values) -> np.ndarray:
    """Scaled so that all but the strongest per cent can be told apart."""
    values = np.asarray(values)
    return np.clip(values / max(float(np.percentile(values, 99)), 1e-30), 0, 1)
