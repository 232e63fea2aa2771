"""Train a network for poses on people of one's own, and use it again."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import read_image
from jaxnets.data.object_source import resize
from jaxnets.data.poses import COCO_PERSON, LEEDS, PoseSplits, Skeleton
from jaxnets.data.preprocessing import Standardization
from jaxnets.errors import JaxnetsError
from jaxnets.models.pose import deep_pose, heat_map_pose
from jaxnets.tasks.pose import pose, staged_pose
from jaxnets.tasks.small_training import (
    begin_on_trunk,
    check_recipe,
    color_statistics,
    random_changes,
    warm_adamw,
    workdir_of,
)
from jaxnets.train import Fitted, RunOptions, fit
from jaxnets.train.reopen import reopen
from jaxnets.train.state import network_functions


@dataclass(frozen=True)
class PoseRecipe:
    """What decides how good a network for poses becomes.

    Attributes:
        network: "heat_maps", see `jaxnets.models.pose.heat_map_pose`, or "deep_pose".
        width: of the network.
        stages: of "deep_pose".
        trunk: a file of a ShuffleNetV2's weights that "heat_maps" begins with; see
            `jaxnets.pretrained.read_trunk`.
        epochs: passes over the training images.
        batch_size: images an update.
        learning_rate: the highest, of AdamW; it rises over the first twentieth of the updates and
            falls along a cosine.
        weight_decay: of kernels.
        scales: range of the random factor of the image's size.
        degrees: images are turned by up to this angle either way.
        jitter: how far brightness, contrast and saturation vary.
        seed: of everything random.

    >>> PoseRecipe(epochs=0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """

    network: Literal["heat_maps", "deep_pose"] = "heat_maps"
    width: int = 24
    stages: int = 2
    trunk: Path | None = None
    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 3e-2
    scales: tuple[float, float] = (0.75, 1.25)
    degrees: float = 0.0
    jitter: float = 0.3
    seed: int = 0

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no training can have."""
        check_recipe(self, ("width", "stages", "epochs", "batch_size"))
        if self.trunk is not None and self.network != "heat_maps":
            raise JaxnetsError(f"trunk: {self.network} has none; expected heat_maps")


def build_pose(
    network: str, joints: int, width: int, stages: int, trunk: bool = False
) -> nn.Module:
    """The network of a recipe.

    Args:
        network: "heat_maps" or "deep_pose".
        joints: J.
        width: of the network.
        stages: of "deep_pose".
        trunk: whether "heat_maps" stands on a ShuffleNetV2.

    Returns:
        The network.

    >>> build_pose("deep_pose", 14, 8, 3).joints
    14
    """
    if network == "heat_maps":
        return heat_map_pose(joints, width=width, trunk=trunk)
    return deep_pose(joints, stages=stages, width=width)


def train_pose(recipe: PoseRecipe, options: RunOptions, splits: PoseSplits) -> Fitted:
    """Train (or resume) a network for poses and leave a run that `load_pose` reads.

    Args:
        recipe: what decides the result.
        options: how the run is carried out; it names ``workdir``.
        splits: the people, of `jaxnets.data.poses`.

    Returns:
        `jaxnets.train.Fitted`; its summary has the PCK on the test, and beside it that of the
        training poses' median, which sees no image.

    Raises:
        JaxnetsError: whatever a user can mend.

    See ``experiments/pose/train_pose.py`` for the command.

    >>> train_pose(PoseRecipe(epochs=0), RunOptions(), None)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """
    recipe.check()
    workdir, (source, test, skeleton) = workdir_of(options), splits
    images = source.arrays["image"]
    mean, std = color_statistics(images[:: max(1, len(source) // 64)])
    make = staged_pose if recipe.network == "deep_pose" else pose
    task = make(skeleton.names, torso=skeleton.torso, preprocess=Standardization(mean, std).apply)
    steps = max(1, recipe.epochs * (len(source) // recipe.batch_size))
    info = {
        "joints": list(skeleton.names),
        "size": list(images.shape[1:3]),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "network": recipe.network,
        "width": recipe.width,
        "stages": recipe.stages,
        "trunk": recipe.trunk is not None,
    }
    model = build_pose(
        recipe.network, len(skeleton.names), recipe.width, recipe.stages, info["trunk"]
    )
    decisive = asdict(recipe)
    # These were not there at first: runs without them go on.
    newer = {"trunk": decisive.pop("trunk"), "degrees": decisive.pop("degrees")}
    newer["trunk"] = newer["trunk"] and str(newer["trunk"])
    control = median_pose(task, source, test)
    return fit(
        model,
        source,
        task=task,
        optimizer=warm_adamw(recipe, steps),
        variables=begin_on_trunk(
            model, images.shape[1:3], recipe.trunk, at="maps/network", seed=recipe.seed
        ),
        workdir=workdir,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        test=test,
        prepare=random_changes(recipe, mean, degrees=recipe.degrees, pairs=skeleton.pairs),
        seed=recipe.seed,
        meta={"pose": info},
        settings={"recipe": decisive, **newer, "joints": list(skeleton.names)},
        settings_before={"trunk": None, "degrees": 0.0},
        summarize=lambda fitted: {**fitted.measured, "PCK of the median pose": control},
        title="pose",
        options=options,
    )


def median_pose(task: Any, source: Any, test: Any) -> float:
    """PCK on the test of the training poses' median, the control that sees no image.

    Args:
        task: of `jaxnets.tasks.pose.pose`.
        source: training examples in memory.
        test: test examples in memory.

    Returns:
        PCK.

    >>> from jaxnets.data import ArraySource
    >>> points = np.array([[[[1.0, 1.0, 1.0], [6.0, 6.0, 1.0]]]] * 3, np.float32)
    >>> people = ArraySource({"image": np.zeros((3, 8, 8, 3), np.uint8), "keypoints": points})
    >>> median_pose(pose(["a", "b"], torso=(0, 1)), people, people)
    1.0
    """
    images = test.arrays["image"]
    sides = np.array(images.shape[2:0:-1], np.float32)
    known = np.asarray(source.arrays["keypoints"])[:, 0]
    middle = np.stack(
        [
            np.median(joint[joint[:, 2] > 0, :2], axis=0) if (joint[:, 2] > 0).any() else sides / 2
            for joint in known.swapaxes(0, 1)
        ]
    )
    points = np.broadcast_to(middle / sides, (len(images), 1, *middle.shape))
    batch = {"image": images, "keypoints": test.arrays["keypoints"]}
    batch["example_mask"] = np.ones(len(images), np.float32)
    sums = task.measure({"points": jnp.asarray(points)}, batch)
    return task.summarize(jax.tree.map(np.asarray, sums))["PCK"]


@dataclass(frozen=True, eq=False)
class PoseFinder:
    """A trained network for poses: images of a person to the person's joints.

    Attributes:
        skeleton: what the joints are.
        size: (H, W) that images are brought to.
        points: images uint8 (B, H, W, 3) → (B, J, 2), as shares of the sides.

    >>> finder = PoseFinder(LEEDS, (8, 8), lambda x: np.full((len(x), 14, 2), 0.5))
    >>> finder.find(np.zeros((10, 20, 3), np.uint8))[0].tolist()
    [10.0, 5.0]
    """

    skeleton: Skeleton
    size: tuple[int, int]
    points: Any

    def find(self, image: np.ndarray | Path | str) -> np.ndarray:
        """The joints of the person whom an image shows as a whole.

        Args:
            image: a file, or uint8 (H, W, 3); cut around the person.

        Returns:
            (J, 2), x and y in pixels of the image.
        """
        if not isinstance(image, np.ndarray):
            image = read_image(image)
        shares = np.asarray(self.points(resize(image, self.size)[None])[0])
        return shares * np.array(image.shape[1::-1], np.float32)


def load_pose(workdir: Path | str) -> PoseFinder:
    """The network of a run of `train_pose`.

    Args:
        workdir: the run's directory.

    Returns:
        `PoseFinder`.

    Raises:
        JaxnetsError: no run or no checkpoint there, or a run of something else.

    >>> load_pose("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere holds no run (no config.json)...
    """
    found = reopen(workdir)
    if "pose" not in found.meta:
        raise JaxnetsError(f"{workdir} holds a run, but not of a network for poses")
    info = found.meta["pose"]
    skeleton = {s.names: s for s in (LEEDS, COCO_PERSON)}.get(tuple(info["joints"]))
    if skeleton is None:
        raise JaxnetsError(f"{workdir}: a run with joints that are neither Leeds' nor COCO's")
    trunk = info.get("trunk", False)  # Runs from before there were trunks do not say.
    network = build_pose(info["network"], len(info["joints"]), info["width"], info["stages"], trunk)
    apply_fn = network_functions(network)[1]
    standardization = Standardization(np.asarray(info["mean"]), np.asarray(info["std"]))

    @jax.jit
    def points(images):
        x = standardization.apply(images)
        return apply_fn(found.variables, x, train=False)["points"][:, -1]

    return PoseFinder(skeleton, tuple(info["size"]), points)
