"""R-CNN on images of one's own: a network fine-tuned on crops, linear machines, ridge boxes.

Source: Girshick, Donahue, Darrell, Malik, "Rich feature hierarchies for accurate object detection
and semantic segmentation", 2014, sections 2 and 3, appendices A to C.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnets.data import ArraySource, ObjectSource
from jaxnets.data.object_source import fitted_size
from jaxnets.data.preprocessing import Standardization
from jaxnets.data.proposals import selective_search
from jaxnets.errors import JaxnetsError
from jaxnets.metrics.collected import overlaps
from jaxnets.models import create_model
from jaxnets.ops import boxes
from jaxnets.tasks.box_ridge import BoxRidge, fit_box_ridge
from jaxnets.tasks.classification import classification
from jaxnets.tasks.region_detector import RegionDetector, crops_of
from jaxnets.tasks.region_svm import RegionSVMs, fit_region_svms
from jaxnets.tasks.small_training import check_recipe, color_statistics, warm_adamw, workdir_of
from jaxnets.train import Fitted, RunOptions, fit
from jaxnets.train.reopen import reopen
from jaxnets.train.state import network_functions

# What a run keeps beside the network.
MACHINES = "regions.npz"
# Labels of regions while the network is fine-tuned, and of those that boxes are learned from.
FINE_TUNING, REGRESSION = 0.5, 0.6


@dataclass(frozen=True)
class RCNNRecipe:
    """What decides how good an R-CNN becomes.

    Attributes:
        width: channels of the first layer of a small AlexNet; 0: the published one, on crops of
            227×227.
        mode: of selective search.
        min_side: regions are at least so wide and high, in pixels of the canvas.
        regions: of an image at most, to learn from.
        epochs: of fine-tuning.
        batch_size: crops an update.
        learning_rate: the highest, of AdamW.
        weight_decay: of kernels.
        penalty: C of the linear machines.
        rounds: of adding hard negatives.
        ridge: λ of the boxes' regression.
        seed: of everything random.

    >>> RCNNRecipe(epochs=0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """

    width: int = 24
    mode: Literal["single", "fast", "quality"] = "fast"
    min_side: float = 8.0
    regions: int = 64
    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    penalty: float = 1e-3
    rounds: int = 3
    ridge: float = 1000.0
    seed: int = 0

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no training can have."""
        check_recipe(self, ("regions", "epochs", "batch_size"))


def region_network(width: int, num_classes: int | None) -> tuple[nn.Module, int]:
    """The network that looks at crops, and their side in pixels: an AlexNet.

    Args:
        width: of the first layer; 0: the published network.
        num_classes: K, background among them; None: a backbone with "fc7" and "pool5".

    Returns:
        (network, side).

    >>> region_network(0, 201)[1], region_network(8, 3)[1]
    (227, 99)
    """
    fields: dict[str, Any] = {"fc_endpoints": num_classes is None}
    if width:
        channels = (width, 2 * width, 3 * width, 3 * width, 2 * width)
        fields |= {"channels": channels, "fc_width": 10 * width, "fc_window": 2}
        fields |= {"paper_init": False, "lrn": None}
    return create_model("alexnet", num_classes=num_classes, **fields), 99 if width else 227


def train_rcnn(recipe: RCNNRecipe, options: RunOptions, source: ObjectSource) -> Fitted:
    """Fine-tune the network, fit machines and boxes, and leave a run that `load_rcnn` reads.

    Args:
        recipe: what decides the result.
        options: how the run is carried out; it names ``workdir``.
        source: the training images, see `jaxnets.data.load_objects`; they must fit into memory.

    Returns:
        `jaxnets.train.Fitted`, of the network.

    Raises:
        JaxnetsError: whatever a user can mend, such as images without objects.

    See ``experiments/detection/train_rcnn.py`` for the command.

    >>> train_rcnn(RCNNRecipe(epochs=0), RunOptions(), None)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """
    recipe.check()
    workdir = workdir_of(options)
    names, batch = source.class_names, source.take(np.arange(len(source)))
    mean, std = color_statistics(batch["image"][:: max(1, len(source) // 64)])
    info = {
        "class_names": list(names),
        "size": list(source.size),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "width": recipe.width,
        "mode": recipe.mode,
        "min_side": recipe.min_side,
    }
    options.say("proposals of selective search")
    examples = [_examples(batch, i, source, recipe) for i in range(len(source))]
    side = region_network(recipe.width, 1)[1]
    crops = partial(crops_of, jax.jit(jnp.round), size=side, fill=mean)
    chosen = [_for_fine_tuning(one, recipe, i) for i, one in enumerate(examples)]
    images = [
        crops(batch["image"][i], one.regions[rows]).astype(np.uint8)
        for i, (one, (rows, _)) in enumerate(zip(examples, chosen, strict=True))
        if len(rows)
    ]
    labels = np.concatenate([labels for _, labels in chosen]).astype(np.int32)
    if not (labels > 0).any():
        raise JaxnetsError("the training images have no objects; expected some to learn from")
    crop_source = ArraySource({"image": np.concatenate(images), "label": labels})
    steps = max(1, recipe.epochs * (len(labels) // recipe.batch_size))
    network, _ = region_network(recipe.width, len(names) + 1)
    fitted = fit(
        network,
        crop_source,
        task=classification(len(names) + 1, preprocess=Standardization(mean, std).apply),
        optimizer=warm_adamw(recipe, steps),
        workdir=workdir,
        epochs=recipe.epochs,
        batch_size=min(recipe.batch_size, len(labels)),
        seed=recipe.seed,
        meta={"rcnn": info},
        settings={"recipe": asdict(recipe), "class_names": list(names), "size": list(source.size)},
        title="R-CNN: fine-tuning",
        options=options,
    )
    if fitted.interrupted:
        return fitted
    options.say("linear machines and boxes")
    # A run that was finished before gives no variables out.
    see = _features(info, fitted.variables or reopen(workdir).variables)
    machines, ridge = _fit_machines(see, batch["image"], examples, len(names), recipe)
    np.savez(Path(workdir) / MACHINES, **_arrays(machines, ridge))
    return fitted


def load_rcnn(workdir: Path | str) -> RegionDetector:
    """The detector of a run of `train_rcnn`.

    Args:
        workdir: the run's directory.

    Returns:
        `jaxnets.tasks.RegionDetector`; its scores are the machines' margins z as 1/(1 + e^−2z).

    Raises:
        JaxnetsError: no run there, a run of something else, or one that is not finished.

    >>> load_rcnn("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere holds no run (no config.json)...
    """
    found = reopen(workdir)
    file = Path(workdir) / MACHINES
    if "rcnn" not in found.meta:
        raise JaxnetsError(f"{workdir} holds a run, but not of an R-CNN")
    if not file.is_file():
        raise JaxnetsError(f"{file} isn't there: the run is not finished; start it once more")
    info = found.meta["rcnn"]
    with np.load(file) as arrays:
        machines = RegionSVMs(
            arrays["svm_kernel"],
            arrays["svm_bias"],
            float(arrays["svm_scale"]),
            arrays["svm_negatives"],
        )
        ridge = BoxRidge(arrays["box_kernel"], arrays["box_bias"])
    see = _features(info, found.variables)

    def look(canvas, regions):
        deep, shallow = see(canvas, regions)
        scores = 1 / (1 + np.exp(-2 * np.clip(machines(deep), -15, 15)))
        offsets = jnp.asarray(ridge(shallow), jnp.float32)
        return scores, boxes.decode(offsets, jnp.asarray(regions, jnp.float32)[:, None])

    propose = partial(selective_search, mode=info["mode"], min_side=info["min_side"])
    return RegionDetector(tuple(info["class_names"]), tuple(info["size"]), propose, look)


@dataclass(frozen=True)
class _Examples:
    """Of an image: regions, their overlap with each object, and the objects."""

    regions: np.ndarray
    overlap: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def _examples(batch: Mapping[str, Any], i: int, source: ObjectSource, recipe: RCNNRecipe):
    height, width = fitted_size(tuple(batch["image_size"][i]), source.size)
    regions = selective_search(
        batch["image"][i, :height, :width], mode=recipe.mode, min_side=recipe.min_side
    )
    there = batch["box_mask"][i] > 0
    true, labels = batch["boxes"][i][there], batch["box_label"][i][there]
    return _Examples(regions, overlaps(regions, true), true, labels)


def _for_fine_tuning(one: _Examples, recipe: RCNNRecipe, number: int):
    """Rows of regions, a quarter of them positive at most, and their classes, 0 for background."""
    rng = np.random.default_rng((recipe.seed, number))
    best = one.overlap.max(1, initial=0.0)
    label = np.zeros(len(best), int)
    if len(one.boxes):
        label = np.where(best >= FINE_TUNING, one.labels[one.overlap.argmax(1)] + 1, 0)
    positive, negative = (rng.permutation(np.flatnonzero(p)) for p in (label > 0, label == 0))
    positive = positive[: max(1, recipe.regions // 4)]
    rows = np.concatenate([positive, negative[: recipe.regions - len(positive)]])
    return rows, label[rows]


def _features(
    info: Mapping[str, Any], variables: Mapping[str, Any]
) -> Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(canvas, regions) → features fc7 and pool5 of their crops."""
    network, side = region_network(info["width"], None)
    apply_fn = network_functions(network)[1]
    standardization = Standardization(np.asarray(info["mean"]), np.asarray(info["std"]))

    @jax.jit
    def see(variables, crops):
        found = apply_fn(variables, standardization.apply(jnp.round(crops)), train=False)
        return tuple(found[name].reshape(len(crops), -1) for name in ("fc7", "pool5"))

    params = {k: v for k, v in variables["params"].items() if k != "head"}
    return lambda canvas, regions: crops_of(
        partial(see, {"params": params}), canvas, regions, size=side, fill=info["mean"]
    )


def _fit_machines(
    see: Callable[..., Any],
    images: np.ndarray,
    examples: Sequence[_Examples],
    num_classes: int,
    recipe: RCNNRecipe,
) -> tuple[RegionSVMs, BoxRidge]:
    objects, labels, features, worst, near, offsets, kinds = [], [], [], [], [], [], []
    for image, one in zip(images, examples, strict=True):
        deep, shallow = see(image, np.concatenate([one.boxes, one.regions]).astype(np.float32))
        count = len(one.boxes)
        objects.append(deep[:count])
        labels.append(one.labels)
        features.append(deep[count:])
        own = one.labels[None] == np.arange(num_classes)[:, None]
        worst.append(np.stack([one.overlap[:, m].max(1, initial=0.0) for m in own], 1))
        if not count:
            continue
        best, rows = one.overlap.argmax(1), one.overlap.max(1) > REGRESSION
        near.append(shallow[count:][rows])
        kinds.append(one.labels[best[rows]])
        pair = (jnp.asarray(a[rows], jnp.float32) for a in (one.boxes[best], one.regions))
        offsets.append(np.asarray(boxes.encode(*pair)))
    machines = fit_region_svms(
        *(np.concatenate(each) for each in (objects, labels, features, worst)),
        penalty=recipe.penalty,
        rounds=recipe.rounds,
        seed=recipe.seed,
    )
    parts = (np.concatenate(each) for each in (near, offsets, kinds))
    return machines, fit_box_ridge(*parts, num_classes, penalty=recipe.ridge)


def _arrays(machines: RegionSVMs, ridge: BoxRidge) -> dict[str, np.ndarray]:
    named = {f"svm_{name}": np.asarray(v) for name, v in machines._asdict().items()}
    return named | {"box_kernel": ridge.kernel, "box_bias": ridge.bias}
