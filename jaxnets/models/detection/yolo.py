"""YOLO v2 and v3 by name: the layers of their published cfg files, for any number of classes.

Source: Redmon, Farhadi, "YOLO9000: Better, Faster, Stronger", 2017; "YOLOv3: An Incremental
Improvement", 2018; and the cfg files that were published with them.
"""

from typing import Any

from jaxnets.models import papers
from jaxnets.models.detection.darknet import Darknet, Section
from jaxnets.models.registry import register

# Width and height: in cells of stride 32 for v2, in pixels for v3.
ANCHORS_V2 = (
    *(0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434),
    *(7.88282, 3.52778, 9.77052, 9.16828),
)
ANCHORS_V3 = (
    *(10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119),
    *(116, 90, 156, 198, 373, 326),
)
ANCHORS_TINY = (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319)


class YOLO(Darknet):
    """A darknet network that was made for a number of classes.

    Attributes:
        sections: its layers.
        maps: numbers of the layers that are returned where there are no classes.
        dtype: compute dtype.
        num_classes: K, without background; None returns maps of the backbone.

    Call: see `Darknet`.

    >>> from jaxnets.models import create_model
    >>> len(create_model("yolov3", num_classes=3).sections)
    108
    """

    num_classes: int | None = 80


class _Layers:
    """Sections in the making."""

    def __init__(self, size: int):
        self.sections = [self._section("net", width=size, height=size)]

    def _section(self, kind: str, **options: Any) -> Section:
        pairs = tuple((name.rstrip("_"), str(value)) for name, value in options.items())
        return Section(kind, 0, pairs)

    def add(self, kind: str, **options: Any) -> None:
        self.sections.append(self._section(kind, **options))

    def conv(self, filters: int, size: int, stride: int = 1) -> None:
        self.add(
            *("convolutional",),
            **{"batch_normalize": 1, "filters": filters, "size": size, "stride": stride},
            **{"pad": 1, "activation": "leaky"},
        )

    def head(self, filters: int) -> None:
        self.add("convolutional", filters=filters, size=1, stride=1, pad=1, activation="linear")

    def convs(self, *layers: tuple[int, int]) -> None:
        for filters, size in layers:
            self.conv(filters, size)

    def pool(self, stride: int = 2) -> None:
        self.add("maxpool", size=2, stride=stride)

    def route(self, *layers: int) -> None:
        self.add("route", layers=",".join(map(str, layers)))

    def yolo(self, classes: int, anchors: tuple[float, ...], mask: tuple[int, ...]) -> None:
        self.head(len(mask) * (5 + classes))
        text = ",".join(map(str, anchors))
        self.add("yolo", mask=",".join(map(str, mask)), anchors=text, classes=classes)

    def upsampled(self, filters: int, other: int) -> None:
        self.route(-4)
        self.conv(filters, 1)
        self.add("upsample", stride=2)
        self.route(-1, other)


def _network(
    layers: _Layers, num_classes: int | None, backbone: int, maps: tuple[int, ...], **more: Any
) -> YOLO:
    sections = tuple(layers.sections)
    if num_classes is None:
        return YOLO(sections[: backbone + 1], maps=maps, num_classes=None, **more)
    return YOLO(sections, num_classes=num_classes, **more)


@register(
    paper=papers.YOLO_V2,
    parameters=50_962_889,
    macs=31_469_126_656,
    input_size=608,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    task="detection",
    published="COCO AP50 48.1 % (608×608)",
)
def yolov2(*, num_classes: int | None = 80, name: str | None = None, **fields: Any) -> YOLO:
    """YOLO v2: Darknet-19, a passthrough from the finer map, five anchors.

    Args:
        num_classes: K, without background.
        name: Flax's.
        **fields: of `YOLO`.

    Returns:
        A `YOLO` for images whose sides are multiples of 32.

    >>> yolov2(num_classes=20).num_classes
    20
    """
    layers = _Layers(608)
    layers.conv(32, 3)
    layers.pool()
    layers.conv(64, 3)
    for narrow, wide, pairs in ((64, 128, 1), (128, 256, 1), (256, 512, 2), (512, 1024, 2)):
        layers.pool()
        layers.conv(wide, 3)
        layers.convs(*[(narrow, 1), (wide, 3)] * pairs)
    layers.convs((1024, 3), (1024, 3))
    layers.route(-9)
    layers.conv(64, 1)
    layers.add("reorg", stride=2)
    layers.route(-1, -4)
    layers.conv(1024, 3)
    layers.head(5 * (5 + (num_classes or 0)))
    anchors = ",".join(map(str, ANCHORS_V2))
    layers.add("region", anchors=anchors, num=5, classes=num_classes or 0, softmax=1)
    return _network(layers, num_classes, 23, (16, 22), name=name, **fields)


@register(
    paper=papers.YOLO_V3,
    parameters=61_949_149,
    macs=70_345_950_208,
    input_size=608,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    task="detection",
    published="COCO AP50 57.9 % (608×608)",
)
def yolov3(*, num_classes: int | None = 80, name: str | None = None, **fields: Any) -> YOLO:
    """YOLO v3: Darknet-53 and heads at strides 32, 16 and 8, three anchors each.

    Args:
        num_classes: K, without background.
        name: Flax's.
        **fields: of `YOLO`.

    Returns:
        A `YOLO` for images whose sides are multiples of 32.

    >>> [section.kind for section in yolov3().sections].count("shortcut")
    23
    """
    layers = _Layers(608)
    layers.conv(32, 3)
    for width, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        layers.conv(width, 3, stride=2)
        for _ in range(blocks):
            layers.convs((width // 2, 1), (width, 3))
            layers.add("shortcut", from_=-3, activation="linear")
    for number, (width, other) in enumerate(((512, 0), (256, 61), (128, 36))):
        if number:
            layers.upsampled(width, other)
        layers.convs(*[(width, 1), (2 * width, 3)] * 3)
        first = 6 - 3 * number
        layers.yolo(num_classes or 0, ANCHORS_V3, (first, first + 1, first + 2))
    return _network(layers, num_classes, 75, (36, 61, 74), name=name, **fields)


@register(
    paper=papers.YOLO_V3,
    parameters=8_852_366,
    macs=2_782_480_896,
    input_size=416,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    task="detection",
    published="COCO AP50 33.1 %",
)
def yolov3_tiny(*, num_classes: int | None = 80, name: str | None = None, **fields: Any) -> YOLO:
    """YOLO v3 tiny: seven convolutions, heads at strides 32 and 16, three anchors each.

    Args:
        num_classes: K, without background.
        name: Flax's.
        **fields: of `YOLO`.

    Returns:
        A `YOLO` for images whose sides are multiples of 32.

    >>> yolov3_tiny(num_classes=2).sections[-1].get("mask", (0.0,))
    (0.0, 1.0, 2.0)
    """
    layers = _Layers(416)
    for width in (16, 32, 64, 128, 256):
        layers.conv(width, 3)
        layers.pool()
    layers.conv(512, 3)
    layers.pool(stride=1)
    layers.convs((1024, 3), (256, 1), (512, 3))
    layers.yolo(num_classes or 0, ANCHORS_TINY, (3, 4, 5))
    layers.upsampled(128, 8)
    layers.conv(256, 3)
    layers.yolo(num_classes or 0, ANCHORS_TINY, (0, 1, 2))
    return _network(layers, num_classes, 14, (8, 13), name=name, **fields)
