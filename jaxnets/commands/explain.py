"""Show which parts of a picture a prediction rests on: class map, occlusion, gradients.

Command:  jaxnets explain photo.jpg --workdir runs/mine
          jaxnets explain photo.jpg --weights resnet50-0676ba61.pth --model resnet50
          jaxnets explain photo.jpg --workdir runs/mine --class-name dog
          jaxnets explain photo.jpg --weights compressed_SqueezeNet.net
Time:     half a minute on two CPU cores for SqueezeNet at 227×227 pixels, most of it compilation.
Result:   the five most probable classes, and one sheet with all maps: explain.png, beside
          summary.json, in --target (explanations/ in the run's directory; for weights
          runs/explain/MODEL).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxnets.commands.predict import load_predictor
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.interpret.explain import explain_picture
from jaxnets.interpret.subject import subject_of
from jaxnets.study.figures import save_figure
from jaxnets.train.run_directory import to_json, write_json


@dataclass(frozen=True)
class Config:
    """What to explain.

    Attributes:
        image: an image file, any format that Pillow reads.
        workdir: the run's directory.
        step: a certain checkpoint (default: the newest whole one).
        weights: instead of a run, a file of weights (.safetensors, .pth, .th, .npz, .net, hf://…,
            https://…) …
        model: … of this network; a .net file says it itself.
        classes: with weights, a text file with a class name on each line.
        class_name: explain this class (default: the most probable one).
        layer: for Grad-CAM, the deconvnet and the activation under occlusion (default: the last
            map).
        occluder: side of the occluding square, in pixels (default: a quarter of the image).
        stride: pixels between its places (default: a fourteenth of the image).
        samples: noisy images of SmoothGrad.
        target: where the results go.
    """

    image: Annotated[Path, tyro.conf.Positional]
    workdir: Path | None = None
    step: int | None = None
    weights: str | None = None
    model: str | None = None
    classes: Path | None = None
    class_name: str | None = None
    layer: str | None = None
    occluder: int | None = None
    stride: int | None = None
    samples: int = 8
    target: Path | None = None


def main(config: Config) -> dict[str, Any]:
    """Explain, draw, and return the predictions, the explained class and its box."""
    for name in ("occluder", "stride", "samples"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise JaxnetsError(f"--{name} must be at least 1, got {value}")
    classifier, read, target = load_predictor(config)
    info = classifier.info
    number = None
    if config.class_name is not None:
        if config.class_name not in info.class_names:
            raise UnknownNameError("class", config.class_name, info.class_names)
        number = info.class_names.index(config.class_name)
    image = read(config.image)
    if config.occluder is not None and config.occluder > min(image.shape[:2]):
        raise JaxnetsError(
            f"--occluder {config.occluder} is larger than the image, {image.shape[:2]}"
        )
    if config.target is None:
        target = target.with_name("explanations" if config.weights is None else target.name)
        target = Path("runs/explain") / target.name if config.weights is not None else target

    subject = subject_of(classifier)
    try:
        found = explain_picture(
            subject,
            image,
            target=number,
            layer=config.layer,
            size=config.occluder,
            stride=config.stride,
            samples=config.samples,
        )
    except ValueError as error:  # a layer that is no map, a network without maps
        raise JaxnetsError(str(error)) from error
    summary = {
        "image": config.image,
        "predictions": [list(row) for row in found.predictions],
        "explained": info.class_names[found.target],
        "map": found.heat_name,
        "box": found.box,
    }
    target.mkdir(parents=True, exist_ok=True)
    save_figure(found.figure, target / "explain.png")
    write_json(target / "summary.json", summary)
    for name, probability in found.predictions:
        print(f"  {100 * probability:6.2f} %  {name}")
    print(f"{target}: explain.png, summary.json")
    return to_json(summary)
