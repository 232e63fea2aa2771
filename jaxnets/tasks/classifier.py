"""A trained classifier as one thing: network, preprocessing, class names, variables."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import unflatten_dict

from jaxnets.data.preprocessing import Standardization
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.recipe import build_network
from jaxnets.train.arrays import named_leaves, require_same_arrays
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.run_directory import local_path, read_json, run_id


@dataclass(frozen=True)
class ClassifierInfo:
    """What must be known beside the arrays to use a trained classifier; kept in checkpoints.

    Attributes:
        model: the network's name.
        dtype: its compute dtype.
        class_names: one per class, in order.
        image_shape: (H, W, C) that it was trained on.
        mean, std: per channel, in gray levels 0 … 255, fitted on the training set.
        dataset: what it was trained on.
        auxiliary: whether it was trained with auxiliary heads, whose parameters it then has.

    >>> info = ClassifierInfo(
    ...     model="lenet5",
    ...     dtype="float32",
    ...     class_names=("cat", "dog"),
    ...     image_shape=(32, 32, 1),
    ...     mean=(128.0,),
    ...     std=(64.0,),
    ...     dataset="pets",
    ... )
    >>> info.num_classes, info.preprocess(jnp.full((1, 1, 1, 1), 192, jnp.uint8)).item()
    (2, 1.0)
    >>> ClassifierInfo.from_json(info.to_json()) == info
    True
    """

    model: str
    dtype: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    auxiliary: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ClassifierInfo":
        lists = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**lists)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def standardization(self) -> Standardization:
        return Standardization(np.asarray(self.mean), np.asarray(self.std))

    def preprocess(self, images: jax.Array) -> jax.Array:
        """Images as stored, uint8 (B, H, W, C), as the network wants them."""
        return self.standardization.apply(images)

    def network(self) -> nn.Module:
        return build_network(self.model, self.num_classes, self.dtype, auxiliary=self.auxiliary)


@dataclass(frozen=True, eq=False)  # compared by identity: it can be passed to jax.jit itself
class Classifier:
    """A network with its variables, ready to be called on images as they are stored.

    `load_classifier` makes it of a run.

    Attributes:
        info: preprocessing and class names.
        network: a module that takes (images, train=…) and returns logits (B, K).
        variables: ``{"params": …, "batch_stats": …}`` of the network.

    >>> info = ClassifierInfo("mlp", "float32", ("cat", "dog"), (2, 2, 1), (128,), (64,), "pets")
    >>> images = np.zeros((3, 2, 2, 1), np.uint8)
    >>> network = info.network()
    >>> variables = jax.jit(network.init)(jax.random.key(0), info.preprocess(images))
    >>> classifier = Classifier(info, network, variables)
    >>> probabilities = jax.jit(classifier)(images)
    >>> probabilities.shape, probabilities.sum(axis=1).round(5).tolist()
    ((3, 2), [1.0, 1.0, 1.0])
    """

    info: ClassifierInfo
    network: nn.Module
    variables: dict[str, Any]

    def __call__(self, images: jax.Array) -> jax.Array:
        """Class probabilities float32 (B, K) of uint8 images (B, H, W, C). Pure: jit it.

        Raises:
            JaxnetsError: images of another dtype, whose scale is unknown.
        """
        images = jnp.asarray(images)
        if images.dtype != jnp.uint8:
            raise JaxnetsError(
                f"a classifier takes images as they are stored, uint8 0 … 255, got {images.dtype}; "
                "jaxnets.data.pixels.gray_levels makes them so"
            )
        logits = self.network.apply(self.variables, self.info.preprocess(images), train=False)
        return jax.nn.softmax(logits)


def load_classifier(
    workdir: str | Path, *, step: int | None = None, notify=print
) -> tuple[Classifier, int]:
    """Read a run's newest whole checkpoint (or that of ``step``).

    Args:
        workdir: the run's directory.
        step: a certain checkpoint.
        notify: called with a sentence about a damaged checkpoint that is passed over.

    Returns:
        (the classifier, the step of its checkpoint).

    Raises:
        JaxnetsError: no run or no checkpoint there, or the checkpoint does not fit the network.

    Example: `train_classifier` has one that reads a run; where there is none, the error says so.

        >>> load_classifier("no/such/run")
        Traceback (most recent call last):
        jaxnets.errors.JaxnetsError: no/such/run holds no run (no config.json). Train one first:
          python -m experiments.train_classifier --workdir no/such/run
    """
    workdir = local_path(workdir)
    if read_json(workdir / "config.json") is None:
        raise JaxnetsError(
            f"{workdir} holds no run (no config.json). Train one first:\n"
            f"  python -m experiments.train_classifier --workdir {workdir}"
        )
    checkpoints = Checkpoints(workdir / "checkpoints", run=run_id(workdir), notify=notify)
    try:
        found = checkpoints.restore(step)
    finally:
        checkpoints.close()
    if found is None:
        raise JaxnetsError(f"{workdir} has no checkpoint yet; its run has not saved one")
    info = ClassifierInfo.from_json(found.meta["classifier"])
    network = info.network()
    return Classifier(info, network, _variables(network, info, found.arrays)), found.step


def _variables(network: nn.Module, info: ClassifierInfo, arrays: dict[str, np.ndarray]) -> Any:
    """The variables among a checkpoint's arrays, checked against what the network has."""
    images = jax.ShapeDtypeStruct((1, *info.image_shape), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    wanted = jax.eval_shape(lambda x: network.init(keys, x, train=False), images)
    found = {}
    for path, array in arrays.items():
        head, _, rest = path.partition("/")
        if head == "params":
            found[path] = array
        elif head == "model_state":
            found[rest] = array
    require_same_arrays(named_leaves(wanted), found)
    return unflatten_dict(found, sep="/")
