"""The list of networks: what each one is, who published it, how to make it.

A builder is a plain function; `register` enters it under its own name, in the family of the file
that it lives in:

    @register(paper=RESNET, parameters=25_557_032, macs=4_089_184_256)
    def resnet50(*, num_classes: int | None = 1000, name: str | None = None, **fields) -> ResNet:
        ...
"""

import dataclasses
import functools
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxnets.errors import JaxnetsError, UnknownNameError, suggest
from jaxnets.models.addresses import addresses_of
from jaxnets.models.papers import Paper

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Images from −1 to 1: mean and standard deviation of TensorFlow's networks.
HALF = (0.5, 0.5, 0.5)

Builder = Callable[..., nn.Module]


class InputSpec(NamedTuple):
    """What a published network takes: x = (image − mean) / std, image in ``value_range``.

    Attributes:
        shape: (H, W, C) of one image, (T, H, W, C) of one clip.
        dtype: of the normalized image.
        value_range: of the image before it is normalized.
        mean, std: one number a channel; empty where no weights are published: take those of your
            own training set.

    >>> spec = model_info("resnet50").input_spec
    >>> spec.shape, spec.value_range
    ((224, 224, 3), (0.0, 1.0))
    >>> gray = 0.5  # as the network wants it:
    >>> [round((gray - m) / s, 2) for m, s in zip(spec.mean, spec.std, strict=True)]
    [0.07, 0.2, 0.42]
    """

    shape: tuple[int, ...]
    dtype: Any
    value_range: tuple[float, float]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of a registered network; counts are those of its default fields.

    Attributes:
        name: what `create_model` takes.
        family: the file that it lives in: "lenet", "resnet", …
        paper: authors, title, year.
        input_size: height and width (equal) that ``macs`` is counted at.
        channels: channels of the images that the published network takes.
        parameters: learnable parameters (running statistics are not among them).
        macs: multiply-accumulates of all convolutions and matrix products for one image or clip.
        mean, std: per-channel statistics that published weights were trained with, images in
            [0, 1]; empty where there are none: take those of your own training set.
        weights: whose published weights fit, as "library name".
        task: "classification", "video classification", ….
        feature_strides: endpoint → how many input pixels one step on that feature map spans.
        auxiliary: for networks with classifiers in the middle, the published weight in the loss of
            each: {name in the collection "aux_logits": weight}. The network's field ``auxiliary``
            adds these heads; in training it then sows their logits.
        published: figures of the paper or of the weights' authors, as text with its source.
        frames: of the clip that ``macs`` is counted at; None: the network takes single images.

    >>> info = model_info("resnet18")
    >>> print(f"{info.paper} ({info.year}): {info.parameters:,} parameters")
    He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition (2015): 11,689,512 parameters
    >>> info.weights, info.feature_strides["stage4"]
    (('torchvision resnet18', 'timm resnet18'), 32)
    """

    name: str
    family: str
    paper: Paper
    parameters: int
    macs: int
    input_size: int = 224
    channels: int = 3
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    weights: tuple[str, ...] = ()
    task: str = "classification"
    feature_strides: Mapping[str, int] = dataclasses.field(default_factory=dict)
    auxiliary: Mapping[str, float] = dataclasses.field(default_factory=dict)
    published: str = ""
    frames: int | None = None

    @property
    def addresses(self) -> dict[str, str]:
        """Library → address of its weights, for `jaxnets.pretrained.load`; empty: none known."""
        return addresses_of(self.name)

    @property
    def year(self) -> int:
        """Of the paper."""
        return self.paper.year

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(height, width, channels) of one image, (time, height, width, channels) of one clip."""
        clip = () if self.frames is None else (self.frames,)
        return (*clip, self.input_size, self.input_size, self.channels)

    @property
    def input_spec(self) -> InputSpec:
        """Shape, dtype, range and normalization of one image."""
        return InputSpec(self.input_shape, jnp.float32, (0.0, 1.0), self.mean, self.std)


@dataclasses.dataclass(frozen=True)
class _Entry:
    info: ModelInfo
    network: type[nn.Module]
    build: Builder


_REGISTRY: dict[str, _Entry] = {}


def register(
    *, paper: Paper, parameters: int, macs: int, family: str | None = None, **more: Any
) -> Callable[[Builder], Builder]:
    """Enter a builder into the list of networks; a decorator with what is known of the network.

    The builder takes keywords only: ``num_classes``, ``name`` and, as ``**fields``, what the class
    of its return annotation has besides; those that make the published network have defaults.

    Args:
        paper: who published it.
        parameters, macs: of the published network, see `ModelInfo`.
        family: default: the last part of the module's name.
        **more: further attributes of `ModelInfo` but ``name``, which is the function's.

    Returns:
        A decorator. The builder that it gives refuses unknown fields with the nearest ones.

    Raises:
        ValueError: the name is taken, or no class of a network is annotated.

    >>> class Linear(nn.Module):
    ...     num_classes: int = 10
    ...     @nn.compact
    ...     def __call__(self, x, *, train=False):
    ...         return nn.Dense(self.num_classes, name="head")(x.mean((1, 2)))
    >>> @register(paper=Paper("Fisher", "Multiple measurements", 1936), parameters=40, macs=30)
    ... def linear(*, num_classes: int = 10, name: str | None = None) -> Linear:
    ...     return Linear(num_classes=num_classes, name=name)
    >>> create_model("linear", num_classes=3)
    Linear(
        # attributes
        num_classes = 3
    )
    >>> del _REGISTRY["linear"]
    """

    def enter(build: Builder) -> Builder:
        name = build.__name__
        network = typing.get_type_hints(build).get("return")
        if not (isinstance(network, type) and issubclass(network, nn.Module)):
            raise ValueError(
                f"register: {name} needs the class of its network as return annotation, got "
                f"{network!r}"
            )
        # A cell of a notebook that is run once more may enter its own network again.
        if name in _REGISTRY and _REGISTRY[name].build.__module__ != build.__module__:
            raise ValueError(f"register: the name {name!r} is taken")
        fields = [f.name for f in dataclasses.fields(network) if f.name != "parent"]

        @functools.wraps(build)
        def checked(**given: Any) -> nn.Module:
            for field in given:
                if field in ("pretrained", "weights"):
                    raise JaxnetsError(
                        "create_model makes networks without weights; with them: network, variables"
                        f" = jaxnets.pretrained.load({name!r}, FILE)"
                    )
                if field not in fields:
                    raise JaxnetsError(f"{name} has no field {field!r}. {suggest(field, fields)}")
            return build(**given)

        group = family or build.__module__.rpartition(".")[2]
        info = ModelInfo(name, group, paper, parameters, macs, **more)
        _REGISTRY[name] = _Entry(info, network, checked)
        return checked

    return enter


def create_model(name: str, /, **fields: Any) -> nn.Module:
    """Make a network by its name.

    Args:
        name: one of `list_models()`.
        **fields: fields of the network's class that override those of the published network;
            all have ``num_classes`` (None: a backbone that returns its endpoints), ``dtype`` and
            Flax's ``name``.

    Returns:
        A Flax module, not yet initialized.

    Raises:
        UnknownNameError: no such network; the message offers the nearest names.
        JaxnetsError: no such field; the message offers the nearest fields.

    >>> create_model("lenet5", num_classes=7).num_classes
    7
    >>> create_model("lenet5", num_clases=7)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: lenet5 has no field 'num_clases'. Did you mean 'num_classes'?
    """
    return _lookup(name).build(**fields)


def list_models(family: str | None = None, task: str | None = None) -> list[str]:
    """The names of all registered networks, or of one family or task, sorted.

    Args:
        family: such as "resnet", most often a file of `jaxnets.models`; None for all.
        task: such as "classification"; None for all.

    Returns:
        Names for `create_model`; numbers in them count as numbers, resnet20 before resnet110.

    Raises:
        UnknownNameError: no network has this family or task.

    >>> list_models(family="lenet")
    ['lenet5', 'lenet5_1998', 'lenet5_caffe']
    """
    infos = [entry.info for entry in _REGISTRY.values()]
    for kind, wanted in (("family", family), ("task", task)):
        if wanted is None:
            continue
        known = {getattr(info, kind) for info in infos}
        if wanted not in known:
            raise UnknownNameError(f"model {kind}", wanted, known)
        infos = [info for info in infos if getattr(info, kind) == wanted]
    return sorted((info.name for info in infos), key=_natural)


def model_info(name: str) -> ModelInfo:
    """What is known of a registered network.

    Args:
        name: one of `list_models()`.

    Returns:
        The paper, the counts, what it takes, where its feature maps are; see `ModelInfo`.

    Raises:
        UnknownNameError: no such network; the message offers the nearest names.

    >>> info = model_info("lenet5_1998")
    >>> info.year, info.parameters, info.input_spec.shape
    (1998, 60000, (32, 32, 1))
    """
    return _lookup(name).info


def _lookup(name: str) -> _Entry:
    if name not in _REGISTRY:
        raise UnknownNameError("network", name, _REGISTRY)
    return _REGISTRY[name]


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts resnet20 before resnet110.

    >>> sorted(["resnet110", "resnet20"], key=_natural)
    ['resnet20', 'resnet110']
    """
    return [(0, int(p)) if p.isdigit() else (1, p) for p in re.findall(r"\d+|\D+", name)]
