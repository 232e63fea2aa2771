"""How features come about in training: the strongest image of each map, and the drift of layers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnets.interpret.backward import deconvnet
from jaxnets.interpret.program import check_images, compiled, names
from jaxnets.interpret.targets import Unit, as_map
from jaxnets.models import features


class Evolution(NamedTuple):
    """What E snapshots of a network have become, against the last of them.

    Attributes:
        epochs: of the snapshots, in order, (E,).
        cosine: layer → cosine of the angle between its features and the last snapshot's, mean over
            images, (E,).
        cka: layer → centered kernel alignment with the last snapshot's features, (E,).
        strongest: layer → number of the image that activates each map most, (E, C).
        projections: layer → that activation projected to the pixels by `deconvnet`, for the maps
            asked for, (E, maps, H, W, channels); empty without maps.

    >>> Evolution._fields[0]
    'epochs'
    """

    epochs: tuple[Any, ...]
    cosine: dict[str, np.ndarray]
    cka: dict[str, np.ndarray]
    strongest: dict[str, np.ndarray]
    projections: dict[str, np.ndarray]

    def arrival(self, layer: str, level: float = 0.9, measure: str = "cosine") -> Any:
        """The first epoch from which on a layer stays at least that close to its end, or None."""
        below = np.flatnonzero(getattr(self, measure)[layer] < level)
        first = below[-1] + 1 if len(below) else 0
        return self.epochs[first] if first < len(self.epochs) else None


def linear_cka(a: np.ndarray, b: np.ndarray) -> float:
    """Centered kernel alignment of two sets of features of the same images.

    .. math:: \\frac{‖A^T B‖_F^2}{‖A^T A‖_F ‖B^T B‖_F}

    of centered features; 1 where one is a rotation and scaling of the other.

    Args:
        a, b: (N, D) and (N, E).

    Returns:
        From 0 to 1; 0 where one of them is constant.

    Source: Kornblith et al. 2019 (Similarity of Neural Network Representations Revisited), §3.

    >>> a = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]])
    >>> round(linear_cka(a, 5 * a @ np.array([[0.0, 1.0], [-1.0, 0.0]])), 6)
    1.0
    """
    a, b = (np.asarray(x, np.float64) - np.mean(x, 0, dtype=np.float64) for x in (a, b))
    # By N × N kernels, which are small: features may be long.
    ka, kb = a @ a.T, b @ b.T
    below = np.linalg.norm(ka) * np.linalg.norm(kb)
    return float((ka * kb).sum() / below) if below > 0 else 0.0


def feature_evolution(
    model: nn.Module,
    snapshots: Mapping[Any, Mapping[str, Any]],
    images: jax.Array,
    layers: str | Sequence[str],
    *,
    maps: Sequence[int] = (),
) -> Evolution:
    """Follow layers through training: when does each become what it will be?

    Args:
        model: any Flax module that takes images first.
        snapshots: epoch → variables, in order, at least two; the paper's are at epochs 1, 2, 5, 10,
            20, 30, 40, 64.
        images: (N, H, W, C), at least two, as the network takes them.
        layers: endpoints or paths of submodules.
        maps: channels whose strongest activation is projected to the pixels, in every snapshot.

    Returns:
        See `Evolution`.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: fewer than two snapshots or images.

    Source: Zeiler & Fergus 2014, §4.1, figure 4.

    >>> model, x = nn.Sequential([nn.Conv(4, (3, 3))]), jax.random.normal(jax.random.key(0),
    ...     (3, 8, 8, 1))
    >>> first, last = (model.init(jax.random.key(k), x) for k in (1, 2))
    >>> found = feature_evolution(model, {1: first, 2: last}, x, "layers_0")
    >>> float(found.cosine["layers_0"][1].round(5)), found.arrival("layers_0")
    (1.0, 2)
    """
    images, layers = check_images(images), names(layers)
    if len(snapshots) < 2 or len(images) < 2:
        raise ValueError(
            f"snapshots, images: got {len(snapshots)} and {len(images)}; expected at least two"
        )
    run = compiled(_maps, model, layers)
    epochs, values = tuple(snapshots), []
    for variables in snapshots.values():
        values.append({k: np.asarray(v) for k, v in run(variables, images).items()})
    cosine, cka, strongest, projections = {}, {}, {}, {}
    for layer in layers:
        flat = [v[layer].reshape(len(images), -1) for v in values]
        cosine[layer] = np.array([_cosine(f, flat[-1]) for f in flat])
        cka[layer] = np.array([linear_cka(f, flat[-1]) for f in flat])
        strongest[layer] = np.stack([v[layer].max((1, 2)).argmax(0) for v in values])
        if len(maps):
            chosen = np.asarray(maps)
            unit = Unit(layer, chosen, "strongest")
            projections[layer] = np.stack(
                [
                    np.asarray(deconvnet(model, variables, images[strong[chosen]], unit))
                    for variables, strong in zip(snapshots.values(), strongest[layer], strict=True)
                ]
            )
    return Evolution(epochs, cosine, cka, strongest, projections)


def _maps(model, layers, variables, images):
    found = features(model, variables, images, taps=layers)
    return {layer: as_map(value) for layer, value in found.items()}


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    below = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(1) / np.maximum(below, 1e-300)))
