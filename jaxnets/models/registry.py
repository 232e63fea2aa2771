"""The list of networks: what each one is, who published it, how to make it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn

from jaxnets.errors import JaxnetsError, UnknownNameError, suggest

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Images from −1 to 1: mean and standard deviation of TensorFlow's networks.
HALF = (0.5, 0.5, 0.5)


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    """What is known of a registered network; counts are those of its default fields.

    Args (fields):
        name: what `create_model` takes.
        family: the file that it lives in: "lenet", "resnet", …
        paper: authors, title, year; `year` is also a number of its own, for sorting.
        input_size: height and width (equal) that `macs` is counted at.
        channels: channels of the images that the published network takes.
        mean, std: per-channel statistics that published weights were trained with, images in
            [0, 1]; empty where there are none: take those of your own training set.
        parameters: learnable parameters (running statistics are not among them).
        macs: multiply-accumulates of all convolutions and matrix products for one image.
        weights: whose published weights fit, as "library name".
        task: "classification", ….
        feature_strides: endpoint → how many input pixels one step on that feature map spans.
        auxiliary: for networks with classifiers in the middle, the published weight in the loss of
            each: {name in the collection "aux_logits": weight}. The network's field ``auxiliary``
            adds these heads; in training it then sows their logits.
        published: figures of the paper or of the weights' authors, as text with its source.
    """

    name: str
    family: str
    paper: str
    year: int
    input_size: int
    channels: int
    parameters: int
    macs: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    weights: tuple[str, ...] = ()
    task: str = "classification"
    feature_strides: Mapping[str, int] = dataclasses.field(default_factory=dict)
    auxiliary: Mapping[str, float] = dataclasses.field(default_factory=dict)
    published: str = ""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return (self.input_size, self.input_size, self.channels)


@dataclasses.dataclass(frozen=True)
class _Entry:
    info: ModelInfo
    network: type[nn.Module]
    fields: Mapping[str, Any]


_REGISTRY: dict[str, _Entry] = {}


def register(
    info: ModelInfo, network: type[nn.Module], fields: Mapping[str, Any] | None = None
) -> Callable[..., nn.Module]:
    """Enter a network into the list and return its builder.

    Args:
        info: what is known of it.
        network: its class.
        fields: the fields that make the published network of the class's defaults.

    Returns:
        The builder: a function ``(**fields) -> network`` whose arguments override the fields.
    """
    if info.name in _REGISTRY:
        raise ValueError(f"register: the name {info.name!r} is taken")
    entry = _Entry(info, network, dict(fields or {}))
    unknown = set(entry.fields) - set(_field_names(network))
    if unknown:
        raise ValueError(f"register: {network.__name__} has no field {sorted(unknown)}")
    _REGISTRY[info.name] = entry

    def builder(**overrides: Any) -> nn.Module:
        return _build(entry, overrides)

    builder.__name__ = builder.__qualname__ = info.name
    builder.__doc__ = f"{info.name}: {info.paper}. Takes the fields of `{network.__name__}`."
    return builder


def create_model(name: str, **fields: Any) -> nn.Module:
    """Make a network by its name.

    Args:
        name: one of `list_models()`.
        **fields: fields of the network's class that override those of the published network;
            all have ``num_classes`` (None: a backbone that returns its endpoints) and ``dtype``.

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
    return _build(_lookup(name), fields)


def list_models(family: str | None = None, task: str | None = None) -> list[str]:
    """The names of all registered networks, or of one family or task, sorted.

    Raises:
        UnknownNameError: no network has this family or task.

    >>> list_models(family="lenet")
    ['lenet5', 'lenet5_1998']
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

    Raises:
        UnknownNameError: no such network; the message offers the nearest names.

    >>> info = model_info("lenet5_1998")
    >>> info.year, info.parameters
    (1998, 60000)
    """
    return _lookup(name).info


def _lookup(name: str) -> _Entry:
    if name not in _REGISTRY:
        raise UnknownNameError("network", name, _REGISTRY)
    return _REGISTRY[name]


def _field_names(network: type[nn.Module]) -> list[str]:
    return [f.name for f in dataclasses.fields(network) if f.name not in ("parent", "name")]


def _build(entry: _Entry, overrides: Mapping[str, Any]) -> nn.Module:
    known = _field_names(entry.network)
    for field in overrides:
        if field not in known:
            raise JaxnetsError(f"{entry.info.name} has no field {field!r}. {suggest(field, known)}")
    return entry.network(**{**entry.fields, **overrides})


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts resnet20 before resnet110.

    >>> sorted(["resnet110", "resnet20"], key=_natural)
    ['resnet20', 'resnet110']
    """
    import re

    return [(0, int(p)) if p.isdigit() else (1, p) for p in re.findall(r"\d+|\D+", name)]
