"""The analyses of "Visualizing and Understanding Convolutional Networks" as sections of a page."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.interpret.backward import deconvnet
from jaxnets.interpret.correspondence import correspondence, random_boxes
from jaxnets.interpret.evolution import feature_evolution
from jaxnets.interpret.figures import as_picture, curves, mosaic, overlay, sheet
from jaxnets.interpret.filters import filter_report, find_kernel
from jaxnets.interpret.occlusion import occlusion_map
from jaxnets.interpret.page import Section
from jaxnets.interpret.probes import feature_transfer, layer_probes
from jaxnets.interpret.sensitivity import linearity, transform_sensitivity
from jaxnets.interpret.targets import Unit
from jaxnets.interpret.top import crops, top_activations


class Material(NamedTuple):
    """A network that was trained here, and what it is looked at with.

    Attributes:
        model: of `jaxnets.interpret.small_zfnet.SmallZFNet`, or of any kind.
        snapshots: epoch → variables; the last is the trained network.
        train, test: images as the network takes them and labels, ``(N, H, W, C)`` and ``(N,)``.
        pictures: the test images as stored, uint8.
        layers: endpoints, the first one first.
        class_names: one a class.

    >>> Material._fields[0]
    'model'
    """

    model: Any
    snapshots: dict[int, Any]
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    pictures: np.ndarray
    layers: tuple[str, ...]
    class_names: tuple[str, ...]

    @property
    def variables(self) -> Any:
        """Of the trained network."""
        return self.snapshots[max(self.snapshots)]

    def accuracy(self) -> float:
        """On the test images."""
        logits = jax.jit(self.model.apply)(self.variables, self.test[0])
        return float((np.asarray(logits).argmax(1) == self.test[1]).mean())

    def right(self, count: int) -> np.ndarray:
        """Numbers of test images that are recognized, the surest first, one class after another."""
        logits = np.asarray(jax.jit(self.model.apply)(self.variables, self.test[0]))
        sure = np.asarray(jax.nn.softmax(logits))[np.arange(len(logits)), self.test[1]]
        order = [np.flatnonzero(self.test[1] == c) for c in range(logits.shape[1])]
        order = [rows[np.argsort(-sure[rows])] for rows in order if len(rows)]
        turn = [rows[i] for i in range(max(map(len, order))) for rows in order if i < len(rows)]
        return np.asarray(turn[:count])

    def recognized(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(numbers, images, labels) of test images that are recognized, as `right` orders them."""
        rows = self.right(count)
        return rows, self.test[0][rows], self.test[1][rows]


Result = tuple[Section, dict[str, Any]]


def filters(material: Material, others: dict[str, tuple[Any, int, float]]) -> Result:
    """First-layer filters, beside those of networks with another first layer (figure 6).

    Args:
        material: see `Material`.
        others: name → (variables, stride, test accuracy) of networks to compare.

    Returns:
        (section, numbers).
    """
    kernel = find_kernel(material.variables)
    everything = {"this network": (kernel, 1, material.accuracy())}
    everything |= {name: (find_kernel(v), s, a) for name, (v, s, a) in others.items()}
    rows: list[tuple[str, ...]] = [
        ("first layer", "dead", "mean frequency", "low", "middle", "high", "aliased", "accuracy")
    ]
    numbers, panels = {}, {}
    for name, (weights, stride, accuracy) in everything.items():
        report = filter_report(weights, stride=stride)
        shares = {
            part: float(getattr(report, part)[~report.dead].mean())
            for part in ("frequency", "low", "middle", "high", "aliased")
        }
        numbers[name] = {"dead": report.dead_count, "accuracy": accuracy, **shares}
        dead = f"{report.dead_count} of {len(report.rms)}"
        cells = [f"{share:.2f}" for share in shares.values()]
        rows.append((name, dead, *cells, f"{100 * accuracy:.1f} %"))
        panels[name] = mosaic(np.stack([as_picture(k) for k in report.kernels]))
    text = (
        "Weights of the first convolution; gray is zero. Dead filters have less than 5 % of the "
        "largest one's RMS. Frequencies are in cycles a pixel; aliased is the share of the energy "
        "that the layer's stride cannot carry on."
    )
    return Section("First-layer filters", text, sheet(panels), rows), numbers


def strongest(material: Material, maps: int = 4) -> Result:
    """The nine strongest images of some maps, and their projection to the pixels (figure 2).

    Args:
        material: see `Material`.
        maps: of each layer, those with the largest activations.

    Returns:
        (section, numbers).
    """
    x = material.test[0]
    found = top_activations(material.model, material.variables, x, material.layers)
    panels, numbers = [], {}
    for layer in material.layers:
        top = found[layer]
        chosen = np.argsort(-top.values[:, 0])[:maps]
        row = {}
        for c in chosen:
            best = top.images[c]
            unit = Unit(layer, np.full(len(best), c), top.positions[c])
            pixels = np.asarray(deconvnet(material.model, material.variables, x[best], unit))
            picked = top._replace(**{k: v[c : c + 1] for k, v in top._asdict().items()})
            row[f"{layer}, map {c}"] = mosaic(crops(material.pictures, picked)[0])
            shown = crops(np.stack([as_picture(p) for p in pixels]), _renumbered(picked))[0]
            row[f"projected, map {c}"] = mosaic(shown)
        panels.append(row)
        labels = material.test[1][top.images[:, :9]]
        purity = (labels == labels[:, :1]).mean()
        numbers[layer] = {"strongest": float(top.values.max()), "same_class": float(purity)}
    text = (
        "Of each layer some maps: what their nine strongest units see, and these units projected "
        "to the pixels by a deconvolutional network. Deeper maps see larger parts, and their nine "
        "images are more often of one class: "
        + ", ".join(f"{k} {100 * v['same_class']:.0f} %" for k, v in numbers.items())
        + " are of the class of the strongest one."
    )
    return Section("Strongest activations", text, sheet(panels, width=1.5), ()), numbers


def _renumbered(top):
    return top._replace(images=np.arange(top.images.size).reshape(top.images.shape))


def evolution(material: Material) -> Result:
    """When layers become what they will be (figure 4).

    Args:
        material: see `Material`.

    Returns:
        (section, numbers).
    """
    found = feature_evolution(
        material.model, material.snapshots, material.test[0][:200], material.layers
    )
    arrivals = {layer: found.arrival(layer) for layer in material.layers}
    figure = curves(
        [str(e) for e in found.epochs],
        found.cosine,
        xlabel="epoch",
        ylabel="cosine with the last epoch's features",
    )
    text = "The cosine stays above 0.9 from epoch: " + ", ".join(
        f"{layer} {epoch}" for layer, epoch in arrivals.items()
    )
    numbers = {
        "arrival": arrivals,
        "cosine": {k: v.tolist() for k, v in found.cosine.items()},
        "cka": {k: v.tolist() for k, v in found.cka.items()},
    }
    return Section("Feature evolution during training", text + ".", figure), numbers


def sensitivity(material: Material, images: int = 5) -> Result:
    """Features of shifted, scaled and turned images (figure 5).

    Args:
        material: see `Material`.
        images: how many recognized test images.

    Returns:
        (section, numbers).
    """
    _, x, labels = material.recognized(images)
    side = x.shape[1]
    settings = {
        "translate": np.linspace(-side / 4, side / 4, 9),
        "scale": np.linspace(1, 1.8, 9),
        "rotate": np.arange(0, 360, 15),
    }
    first, last = material.layers[0], material.layers[-1]
    numbers, table = {}, [("transform", f"R² of a line, {first}", f"R² of a line, {last}")]
    lines = {}
    for kind, values in settings.items():
        found = transform_sensitivity(
            material.model, material.variables, x, labels, kind, values, (first, last)
        )
        fits = [linearity(found.values, found.distances[name]) for name in (first, last)]
        numbers[kind] = {"r2_first": fits[0], "r2_last": fits[1]}
        table.append((kind, f"{fits[0]:.2f}", f"{fits[1]:.2f}"))
        lines[kind] = found
    turned = lines["translate"]
    largest = {k: v.mean(1).max() for k, v in turned.distances.items()}
    figure = curves(
        turned.values,
        {k: v / max(largest[k], 1e-30) for k, v in turned.distances.items()},
        xlabel="pixels down",
        ylabel="distance, of the largest",
    )
    text = (
        "Distance between the features of an image and of the same image shifted; the table says "
        "how well a line through the origin explains the curves. The paper finds small changes "
        "dramatic in the first layer and nearly linear in the seventh, but for rotation."
    )
    return Section("Shift, scale and rotation", text, figure, table), numbers


def occlusion(material: Material, images: int = 3) -> Result:
    """Three maps of a sliding square (figure 7).

    Args:
        material: see `Material`.
        images: how many recognized test images.

    Returns:
        (section, numbers).
    """
    rows, x, labels = material.recognized(images)
    size = max(3, x.shape[1] // 4)
    found = occlusion_map(
        material.model,
        material.variables,
        x,
        labels,
        size=size,
        stride=max(1, size // 4),
        layer=material.layers[-1],
        batch_size=128,
    )
    panels = []
    for i, row in enumerate(rows):
        picture = material.pictures[row]
        panels.append(
            {
                material.class_names[labels[i]]: picture,
                "probability falls": overlay(picture, np.maximum(found.drop[i], 0)),
                "activation of its map": np.asarray(found.activation[i])
                / max(float(found.activation[i].max()), 1e-30),
                "most probable class": np.asarray(found.label[i]) / len(material.class_names),
            }
        )
    changed = float((np.asarray(found.label) != labels[:, None, None]).mean())
    text = (
        f"A gray square of {size}×{size} pixels slides over the image. At "
        f"{100 * changed:.0f} % of its places the network names another class."
    )
    numbers = {"size": size, "other_class": changed}
    return Section("Occlusion", text, sheet(panels, width=1.8)), numbers


def correspondences(material: Material, images: int = 40) -> Result:
    """Whether hiding the middle does the same to all images of a class (table 1).

    Args:
        material: see `Material`.
        images: test images of one class.

    Returns:
        (section, numbers).
    """
    label = int(np.bincount(material.test[1]).argmax())
    x = material.test[0][material.test[1] == label][:images]
    side = x.shape[1]
    size, middle = side // 3, side // 3
    parts = {
        "middle": np.array([middle, middle, middle + size, middle + size]),
        "upper left corner": np.array([0, 0, size, size]),
        "random": random_boxes(jax.random.key(0), len(x), (size, size), (side, side)),
    }
    layers = material.layers[2], material.layers[-1]
    found = correspondence(material.model, material.variables, x, parts, layers)
    rows = [("hidden", *layers)]
    for part in parts:
        cells = (f"{found[k][part].mean:.3f} ± {found[k][part].std:.3f}" for k in layers)
        rows.append((part, *cells))
    text = (
        f"Mean share of units whose change has another sign, over pairs of {len(x)} images of the "
        f"class {material.class_names[label]}. Smaller for a fixed part than for random places "
        "means that the layer establishes a correspondence between images."
    )
    numbers = {k: {p: c.mean for p, c in v.items()} for k, v in found.items()}
    return Section("Correspondence", text, None, rows), numbers


def probes(material: Material) -> Result:
    """A linear SVM on each layer's features (table 7).

    Args:
        material: see `Material`.

    Returns:
        (section, numbers).
    """
    count = min(2000, len(material.train[1]))
    train = tuple(part[:count] for part in material.train)
    found = layer_probes(material.model, material.variables, train, material.test, material.layers)
    rows = [("layer", "features", "train", "test")]
    for layer, probe in found.items():
        shares = (f"{100 * probe.train:.1f} %", f"{100 * probe.test:.1f} %")
        rows.append((layer, str(probe.dimension), *shares))
    text = f"A linear support vector machine on the features of {count} training images."
    numbers = {layer: {"train": p.train, "test": p.test} for layer, p in found.items()}
    return Section("Linear classifiers on every layer", text, None, rows), numbers


def transfer(
    key: jax.Array,
    sources: dict[str, tuple[Any, Any, str]],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    learner: Callable | None = None,
) -> Result:
    """What features of a network are worth for classes that it has not seen (figure 9).

    Args:
        key: draws the training images.
        sources: of `feature_transfer`.
        train, test: images and labels of the new classes.
        learner: trains from scratch, see `feature_transfer`.

    Returns:
        (section, numbers).
    """
    rarest = int(np.bincount(train[1]).min())
    shots = [k for k in (1, 2, 5, 10, 20, 50) if k <= rarest]
    learners = None if learner is None else {"from scratch": learner}
    found = feature_transfer(key, sources, train, test, shots, learners=learners)
    figure = curves(
        [str(k) for k in shots],
        {name: 100 * curve.accuracy.T for name, curve in found.items()},
        xlabel="training images of each class",
        ylabel="test accuracy (%)",
    )
    text = "Classes that the network has not seen, from a few images each; means of three draws."
    numbers = {
        name: dict(zip(map(str, shots), curve.mean.tolist(), strict=True))
        for name, curve in found.items()
    }
    return Section("Features for other classes", text, figure), numbers
