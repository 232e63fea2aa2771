"""Networks from darknet's cfg files, YOLO v3 and its relatives among them."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.errors import JaxnetsError, printable
from jaxnets.models.detection.darknet_layers import HEADS, SECTIONS, Layers
from jaxnets.ops import boxes


class Section(NamedTuple):
    """A section of a cfg file.

    Attributes:
        kind: what stands in brackets, such as "convolutional".
        line: where in the file, counted from 1.
        options: pairs of names and texts.

    >>> Section("maxpool", 1, (("size", "2"),)).get("size", 1)
    2
    """

    kind: str
    line: int
    options: tuple[tuple[str, str], ...] = ()

    def get(self, name: str, default: Any) -> Any:
        """An option as the type of its default: an int, a float, a text or a tuple of floats."""
        text = dict(self.options).get(name)
        if text is None:
            return default
        try:
            if isinstance(default, tuple):
                return tuple(float(part) for part in text.split(",") if part.strip())
            return type(default)(text)
        except ValueError:
            raise JaxnetsError(
                f"[{self.kind}] in line {self.line}: {name}={printable(text)}; expected "
                f"{type(default).__name__}"
            ) from None


def parse_cfg(text: str | Path) -> tuple[Section, ...]:
    """Read a cfg file of darknet.

    Args:
        text: the file's path, or what is in it.

    Returns:
        the sections, [net] first.

    Raises:
        JaxnetsError: no such file, a line that is neither a section nor name=value, a section that
            is not known, or no [net] in the beginning.

    Source: Redmon, "Darknet: Open Source Neural Networks in C", 2013 to 2016.

    >>> [section.kind for section in parse_cfg("[net]\\nwidth=32\\n[maxpool]\\nsize=2")]
    ['net', 'maxpool']
    >>> parse_cfg("[net]\\n[pooling]")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: line 2: unknown section [pooling]; expected one of [avgpool],
    [convolutional], ...
    """
    if isinstance(text, Path) or "[" not in text:
        try:
            text = Path(text).read_text(encoding="utf-8")
        except OSError as error:
            raise JaxnetsError(f"can't read {text}: {error.strerror}") from None
    found: list[tuple[str, int, list[tuple[str, str]]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line or line.startswith(";"):
            continue
        if line.startswith("["):
            kind = line.strip("[] ")
            kind = {"network": "net", "conv": "convolutional", "max": "maxpool"}.get(kind, kind)
            if kind not in SECTIONS:
                known = ", ".join(f"[{name}]" for name in sorted(SECTIONS))
                raise JaxnetsError(
                    f"line {number}: unknown section [{printable(kind)}]; expected one of {known}"
                )
            found.append((kind, number, []))
        elif "=" in line and found:
            name, value = line.split("=", 1)
            found[-1][2].append((name.strip(), value.strip()))
        else:
            raise JaxnetsError(
                f"line {number}: {printable(line)!r}; expected [section] or name=value"
            )
    if not found or found[0][0] != "net":
        raise JaxnetsError("the cfg does not begin with [net]")
    return tuple(Section(kind, number, tuple(options)) for kind, number, options in found)


class Darknet(Layers):
    """The network of a cfg file, its layers named "layer0", "layer1", … as darknet numbers them.

    Attributes:
        sections: of `parse_cfg`.
        maps: numbers of layers whose results are returned instead, by their names.
        dtype: compute dtype.

    Call: (N, H, W, C), red, green, blue from 0 to 1 → a tuple of the inputs of the [yolo] and
    [region] sections, each (N, H', W', A, 5 + K): t_x, t_y, t_w, t_h, objectness and classes, all
    before σ or softmax. A network without them gives the result of its last layer.

    Raises:
        JaxnetsError: sections whose sizes do not fit.

    Source: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018.

    >>> sections = parse_cfg("[net]\\n[convolutional]\\nfilters=4\\nsize=3\\nstride=2\\npad=1")
    >>> jax.eval_shape(Darknet(sections).init_with_output, jax.random.key(0),
    ...     jnp.zeros((1, 8, 8, 3)))[0].shape
    (1, 4, 4, 4)
    """

    sections: tuple[Section, ...] = ()
    maps: tuple[int, ...] = ()
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        results: list[jax.Array] = []
        heads: list[jax.Array] = []
        for number, section in enumerate(self.sections[1:]):
            if section.kind in HEADS:
                anchors, classes = len(anchors_of(section, 1.0)), section.get("classes", 20)
                wanted = anchors * (5 + classes)
                if x.shape[-1] != wanted:
                    raise JaxnetsError(
                        f"[{section.kind}] in line {section.line} gets {x.shape[-1]} channels; "
                        f"expected {wanted}: {anchors} anchors of 5 + {classes} numbers"
                    )
                heads.append(x.reshape(*x.shape[:3], anchors, -1))
            else:
                x = self.layer(section, number, x, results, train)
            results.append(x)
        if self.maps:
            return OrderedDict((f"layer{number}", results[number]) for number in self.maps)
        return tuple(heads) if heads else x


def stride_of(section: Section, width: int, columns: int) -> float:
    """Pixels to a cell of a head: what its section says, or those of a grid that fills the image.

    Args:
        section: [yolo] or [region]; those of `yolo_sections`, for images of any size, have a
            ``stride``.
        width: of the image.
        columns: of the head's grid.

    Returns:
        The stride.

    >>> stride_of(Section("yolo", 1), 96, 3)
    32.0
    >>> stride_of(Section("yolo", 1, (("stride", "32"),)), 72, 3)
    32.0
    """
    return section.get("stride", 0.0) or width / columns


def anchors_of(section: Section, stride: float) -> list[list[float]]:
    """Width and height in pixels of a head's anchors.

    Args:
        section: [yolo], some of whose anchors it names by ``mask``; or [region], whose anchors are
            in cells.
        stride: pixels to a cell.

    Returns:
        A pair for each.

    >>> anchors_of(Section("region", 1, (("anchors", "1,2, 3,4"),)), 32.0)
    [[32.0, 64.0], [96.0, 128.0]]
    >>> anchors_of(Section("yolo", 1, (("anchors", "1,2, 3,4"), ("mask", "1"))), 32.0)
    [[3.0, 4.0]]
    """
    numbers = section.get("anchors", (0.0, 0.0))
    pairs = [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    if section.kind == "region":
        return [[stride * width, stride * height] for width, height in pairs]
    chosen = [int(number) for number in section.get("mask", (0.0,))]
    if any(not 0 <= number < len(pairs) for number in chosen):
        raise JaxnetsError(
            f"[yolo] in line {section.line}: mask names anchor {max(chosen)}; there are "
            f"{len(pairs)}, counted from 0"
        )
    return [pairs[number] for number in chosen]


def yolo_detections(
    outputs: Sequence[jax.Array],
    sections: tuple[Section, ...],
    *,
    threshold: float = 0.45,
    min_score: float = 0.005,
    candidates: int = 200,
    max_outputs: int = 100,
) -> boxes.Detections:
    """What a network with [yolo] or [region] sections found.

    A score is σ(objectness)·σ(class), of [region] with softmax in place of the second σ.
    Coordinates are in pixels of the network's input.

    Args:
        outputs: of `Darknet`, for a batch of images.
        sections: of the same network; [net] says how large its input is meant to be.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each class enter the suppression.
        max_outputs: D, how many detections there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, D, …).

    Raises:
        JaxnetsError: another number of outputs than [yolo] sections, or ``new_coords``.

    Source: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018, section 2.1.

    >>> sections = parse_cfg("[net]\\nwidth=32\\n[yolo]\\nmask=0\\nanchors=8,8\\nclasses=2")
    >>> found = yolo_detections([jnp.zeros((1, 4, 4, 1, 7))], sections, min_score=0.2)
    >>> found.boxes[0, 0].tolist(), float(found.scores[0, 0])
    ([0.0, 0.0, 8.0, 8.0], 0.25)
    """
    heads = [section for section in sections if section.kind in HEADS]
    if len(heads) != len(outputs) or not heads:
        raise JaxnetsError(
            f"outputs: got {len(outputs)}; expected one for each of {len(heads)} [yolo]"
        )
    width = sections[0].get("width", 416)
    corners, scores = [], []
    for raw, section in zip(outputs, heads, strict=True):
        stride = stride_of(section, width, raw.shape[2])
        sizes = jnp.asarray(anchors_of(section, stride))
        raw = raw.astype(jnp.float32)
        if section.get("new_coords", 0):
            raise JaxnetsError(
                f"[yolo] in line {section.line}: new_coords=1 isn't supported; expected outputs "
                "before σ, as those of YOLO v2 to v4 are"
            )
        spread = section.get("scale_x_y", 1.0)
        decoded = boxes.decode_grid(raw[..., :4], sizes, stride, spread=spread)
        corners.append(decoded.reshape(raw.shape[0], -1, 4))
        softmax = section.kind == "region" and section.get("softmax", 0)
        classes = (jax.nn.softmax if softmax else jax.nn.sigmoid)(raw[..., 5:])
        score = jax.nn.sigmoid(raw[..., 4:5]) * classes
        scores.append(score.reshape(raw.shape[0], -1, score.shape[-1]))

    def select(corners, scores):
        return boxes.select_detections(
            corners,
            scores,
            threshold=threshold,
            min_score=min_score,
            candidates=candidates,
            max_outputs=max_outputs,
        )

    return boxes.each_image(select, jnp.concatenate(corners, 1), jnp.concatenate(scores, 1))
