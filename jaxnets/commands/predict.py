"""Classify image files with a trained network: the five most probable classes of each.

Command:  jaxnets predict photo.jpg --workdir runs/mine
          jaxnets predict photo.jpg --weights resnet50-0676ba61.pth --model resnet50
          jaxnets predict photo.jpg --weights compressed_SqueezeNet.net
          jaxnets predict *.png --workdir runs/train_classifier/digits-lenet5 --invert
Time:     a few seconds, most of it start-up and compilation.
Result:   a line for each of the five most probable classes, with its probability, and a picture of
          them beside the image in --target (predictions/ in the run's directory).

For a run, each image is scaled to cover the network's input and cropped around its center; for
published weights it is resized, cropped and normalized as their authors did.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from jaxnets.data import read_image
from jaxnets.errors import JaxnetsError
from jaxnets.study.figures import TRAIN, new_figure, save_figure
from jaxnets.tasks import Classifier, load_classifier
from jaxnets.tasks.published import load_published_classifier, require_model

RUN = Path("runs/train_classifier/digits-lenet5")


@dataclass(frozen=True)
class Config:
    """What to classify.

    Attributes:
        images: image files, any format that Pillow reads.
        workdir: the run's directory.
        step: a certain checkpoint (default: the newest whole one).
        weights: instead of a run, a file of weights (.safetensors, .pth, .th, .npz, .net, hf://…,
            https://…) …
        model: … of this network; a .net file says it itself.
        classes: a text file with a class name on each line (default: the run's; for weights
            ImageNet's 1,000, or CIFAR-10's).
        top: how many classes to show.
        invert: turn dark ink on white paper into the light strokes on black of digits and MNIST.
        pictures: draw each image with its most probable classes.
        target: where pictures go (default: predictions/ in the run's directory; for weights
            runs/predict/MODEL).
    """

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    workdir: Path | None = None
    step: int | None = None
    weights: str | None = None
    model: str | None = None
    classes: Path | None = None
    top: int = 5
    invert: bool = False
    pictures: bool = True
    target: Path | None = None


def main(config: Config) -> dict[str, Any]:
    """Classify and return ``{file: [(class name, probability), …]}``, most probable first."""
    if not config.images:
        raise JaxnetsError("no image given: jaxnets predict FILE [FILE …]")
    if config.top < 1:
        raise JaxnetsError(f"--top must be at least 1, got {config.top}")
    classifier, read, target = load_predictor(config)
    names = classifier.info.class_names
    # All files first: one that cannot be read is named before anything is computed.
    images = np.stack([read(path) for path in config.images])
    images = 255 - images if config.invert else images
    probabilities = np.asarray(jax.jit(classifier)(images))
    results = {}
    for path, row, image in zip(config.images, probabilities, images, strict=True):
        best = np.argsort(-row)[: config.top]
        found = [(names[i], float(row[i])) for i in best]
        results[str(path)] = found
        print(path)
        for name, probability in found:
            print(f"  {100 * probability:6.2f} %  {name}")
        if config.pictures:
            place = target / f"{path.stem}.png"
            save_prediction(image, found, place)
            print(f"  picture: {place}")
    return results


def load_predictor(config: Any) -> tuple[Classifier, Callable[[Path], np.ndarray], Path]:
    """The classifier that the options name, how it reads a file, and where pictures go.

    Args:
        config: has ``workdir``, ``step``, ``weights``, ``model``, ``classes`` and ``target``.

    Returns:
        (classifier, file → uint8 (H, W, C), folder).

    Raises:
        JaxnetsError: no such run, weights without a network, or a file that does not fit.

    >>> load_predictor(Config((), weights="w.pth"))
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --weights w.pth needs --model NAME: the file does not say ...
    """
    if config.weights is None and config.model is None:
        if config.classes is not None:
            raise JaxnetsError("--classes is for --weights; a run knows the names of its classes")
        workdir = config.workdir or RUN
        classifier, _ = load_classifier(workdir, step=config.step)
        height, width, channels = classifier.info.image_shape
        return (
            classifier,
            lambda path: read_image(path, (height, width), channels),
            config.target or workdir / "predictions",
        )
    model = require_model(config.model, config.weights)
    if config.step is not None or config.workdir is not None:
        raise JaxnetsError("--workdir and --step are of a run; --weights of a file: give one")
    classifier, prepare = load_published_classifier(model, config.weights, classes=config.classes)
    return classifier, prepare.read, config.target or Path("runs/predict") / model


def save_prediction(image: np.ndarray, found: Sequence[tuple[str, float]], path: Path) -> None:
    """A picture of the image with its most probable classes as bars beside it.

    Args:
        image: uint8 (H, W, C).
        found: (class name, probability), most probable first.
        path: the PNG to write.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp(), "cat.png")
    >>> save_prediction(np.zeros((8, 8, 3), np.uint8), [("cat", 0.9), ("dog", 0.1)], place)
    """
    figure, (left, right) = new_figure(2, width=4.2, height=3.4, frame=True)
    left.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
    left.set_axis_off()
    places = range(len(found))
    shares = [100 * probability for _, probability in found]
    right.barh(places, shares, color=TRAIN)
    for place, (name, _) in enumerate(found):
        # Inside a long bar, behind a short one: names are never cut.
        inside = shares[place] > 55
        right.text(
            1.5 if inside else shares[place] + 1.5,
            place,
            f"{name[:32]}  {shares[place]:.1f} %",
            va="center",
            color="white" if inside else "black",
        )
    right.set(xlim=(0, 100), yticks=[], xlabel="probability, %")
    right.invert_yaxis()
    right.spines[["top", "right", "left"]].set_visible(False)
    save_figure(figure, path, dpi=120)
