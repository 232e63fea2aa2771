"""A trained classifier as one thing: network, preprocessing, class names, variables."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnets.data.preprocessing import Standardization
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.recipe import build_network
from jaxnets.train.arrays import named_leaves, require_same_arrays
from jaxnets.train.reopen import reopen
from jaxnets.train.state import network_functions

# The name of a network that is none of `jaxnets.list_models()`.
OWN = "(own)"


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
        apply_fn: the network's ``apply`` where that takes no ``train``; None: its own.
        own_preprocess: in place of ``info.preprocess``, or None.

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
    apply_fn: Callable[..., Any] | None = None
    own_preprocess: Callable[[jax.Array], jax.Array] | None = None

    def apply(self, variables: Any, images: jax.Array, **options: Any) -> Any:
        """The network's ``apply`` on images as they are stored."""
        preprocess = self.own_preprocess or self.info.preprocess
        return (self.apply_fn or self.network.apply)(variables, preprocess(images), **options)

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
        return jax.nn.softmax(self.apply(self.variables, images, train=False))


def load_classifier(
    workdir: str | Path,
    *,
    step: int | None = None,
    network: nn.Module | None = None,
    preprocess: Callable[[jax.Array], jax.Array] | None = None,
    notify: Callable[[str], None] = print,
) -> tuple[Classifier, int]:
    """Read a run's newest whole checkpoint (or that of ``step``).

    Of a run with a validation split, the newest checkpoint gives the parameters that were best on
    it, and ``step`` those of that step.

    Args:
        workdir: the run's directory.
        step: a certain checkpoint.
        network: the module that was trained, where it is none of `jaxnets.list_models()`.
        preprocess: images as stored → images as the network wants them, where the run does not
            know: `jaxnets.tasks.classification` was given a function of your own.
        notify: called with a sentence about a damaged checkpoint that is passed over.

    Returns:
        (the classifier, the step of its checkpoint).

    Raises:
        JaxnetsError: no run or no checkpoint there, the checkpoint does not fit the network, or
            the run was of a network of your own and ``network`` is not given.

    >>> load_classifier("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere holds no run (no config.json)...
    """
    found = reopen(workdir, step=step, notify=notify)
    info = _info(Path(workdir), found.meta, network, preprocess)
    network = info.network() if network is None else network
    if info.model == OWN and preprocess is None and not info.mean:
        raise JaxnetsError(
            f"{workdir}: the run was trained with a preprocessing of its own: hand it in, "
            "load_classifier(…, preprocess=…)"
        )
    init_fn, apply_fn = network_functions(network)
    images = jax.ShapeDtypeStruct((1, *info.image_shape), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    wanted = jax.eval_shape(lambda x: init_fn(keys, x, train=False), images)
    require_same_arrays(named_leaves(wanted), named_leaves(found.variables))
    return Classifier(info, network, found.variables, apply_fn, preprocess), found.step


def _info(
    workdir: Path, meta: dict[str, Any], network: nn.Module | None, preprocess: Any
) -> ClassifierInfo:
    if "classifier" in meta:
        return ClassifierInfo.from_json(meta["classifier"])
    dataset, task = meta.get("dataset"), meta.get("task", {})
    if network is None:
        raise JaxnetsError(
            f"{workdir} holds a run of a network of your own: hand the module in, "
            "load_classifier(…, network=MyNetwork())"
        )
    if dataset is None or "num_classes" not in task:
        raise JaxnetsError(
            f"{workdir}: the run does not know its classes and images: it was trained on a bare "
            "source, or for another task. jaxnets.train.reopen gives its variables"
        )
    return ClassifierInfo(
        model=OWN,
        dtype="float32",
        class_names=tuple(dataset["class_names"]),
        image_shape=tuple(dataset["image_shape"]),
        mean=tuple(task.get("mean", ())),
        std=tuple(task.get("std", ())),
        dataset=dataset["name"],
    )
