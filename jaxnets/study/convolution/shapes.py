"""Convolutions of published networks, as (input, kernel, arguments, how often).

Images come eight at a time, clips of video one.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Case:
    """One convolution.

    Attributes:
        family: which line of the table it belongs to.
        x: shape of the input, (B, H, W, C), or (B, T, H, W, C) of clips.
        kernel: shape of the kernel, (K, K, C / groups, O), or with a side along time in front.
        arguments: of `jaxnets.ops.conv`.
        count: how often the network has it.
    """

    family: str
    x: tuple[int, ...]
    kernel: tuple[int, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    count: int = 1

    @property
    def name(self) -> str:
        """Short, for tables: input, window, output channels, stride, groups."""
        window = "x".join(map(str, self.kernel[:-2]))
        side = "x".join(map(str, self.x[1:-2]))
        text = f"{side}²x{self.x[-1]} {window} →{self.kernel[-1]}"
        strides = self.arguments.get("strides", 1)
        if strides != 1:
            text += f" /{strides if isinstance(strides, int) else 'x'.join(map(str, strides))}"
        groups = self.arguments.get("groups", 1)
        return text + (f" {groups} groups" if groups > 1 else "")


def _case(family: str, side: int, fan_in: int, out: int, k: int, count: int = 1, **arguments):
    groups = arguments.get("groups", 1)
    arguments = {"padding": k // 2, **arguments}
    return Case(family, (8, side, side, fan_in), (k, k, fan_in // groups, out), arguments, count)


def depthwise() -> list[Case]:
    """MobileNet's 3×3, and the larger windows of later networks.

    Returns:
        A list of `Case`.
    """
    cases = [
        _case("depthwise 3x3", side, c, c, 3, groups=c)
        for side, c in ((56, 144), (28, 256), (14, 512))
    ]
    strided = [
        _case("depthwise strided", side, c, c, 3, strides=2, groups=c)
        for side, c in ((112, 64), (28, 256))
    ]
    return [*cases, *strided, _case("depthwise 7x7", 56, 64, 64, 7, groups=64)]


def grouped() -> list[Case]:
    """ResNeXt-50 32×4d's 3×3, with their number.

    Returns:
        A list of `Case`.
    """
    plain = [
        _case("grouped 3x3", side, c, c, 3, count, groups=32)
        for side, c, count in ((56, 128, 3), (28, 256, 3), (14, 512, 5), (7, 1024, 2))
    ]
    strided = [
        _case("grouped strided", side, c, c, 3, strides=2, groups=32)
        for side, c in ((56, 256), (28, 512), (14, 1024))
    ]
    return plain + strided


def pointwise() -> list[Case]:
    """ResNet-50's 1×1 (version 1.5), with their number.

    Returns:
        A list of `Case`.
    """
    shapes = [(56, 64, 64, 1), (56, 64, 256, 4), (56, 256, 64, 2), (56, 256, 128, 1)]
    shapes += [(28, 128, 512, 4), (28, 512, 128, 3), (28, 512, 256, 1), (14, 256, 1024, 6)]
    shapes += [(14, 1024, 256, 5), (14, 1024, 512, 1), (7, 512, 2048, 3), (7, 2048, 512, 2)]
    cases = [_case("pointwise", side, c, d, 1, count) for side, c, d, count in shapes]
    downsampling = ((56, 256, 512), (28, 512, 1024), (14, 1024, 2048))
    return cases + [_case("pointwise", side, c, d, 1, strides=2) for side, c, d in downsampling]


def resnet() -> list[Case]:
    """ResNet-50's other convolutions.

    Returns:
        A list of `Case`.
    """
    cases = [_case("ResNet-50", 224, 3, 64, 7, strides=2)]
    for side, c, count in ((56, 64, 3), (28, 128, 3), (14, 256, 5), (7, 512, 2)):
        cases.append(_case("ResNet-50", side, c, c, 3, count))
    for side, c in ((56, 128), (28, 256), (14, 512)):
        cases.append(_case("ResNet-50", side, c, c, 3, strides=2))
    return cases


def vgg() -> list[Case]:
    """VGG-16's thirteen convolutions.

    Returns:
        A list of `Case`.
    """
    shapes = [(224, 3, 64, 1), (224, 64, 64, 1), (112, 64, 128, 1), (112, 128, 128, 1)]
    shapes += [(56, 128, 256, 1), (56, 256, 256, 2), (28, 256, 512, 1), (28, 512, 512, 2)]
    shapes += [(14, 512, 512, 3)]
    return [_case("VGG-16", side, c, d, 3, count) for side, c, d, count in shapes]


def _clip_case(
    family: str,
    frames: int,
    side: int,
    channels: tuple[int, int],
    window: tuple[int, int, int],
    count: int = 1,
    **arguments,
):
    padding = [(k // 2, k // 2) for k in window]
    fan_in, out = channels
    arguments = {"padding": padding, **arguments}
    return Case(family, (1, frames, side, side, fan_in), (*window, fan_in, out), arguments, count)


def c3d() -> list[Case]:
    """C3D's eight convolutions of 16 frames.

    Returns:
        A list of `Case`.
    """
    shapes = [(16, 112, 3, 64, 1), (16, 56, 64, 128, 1), (8, 28, 128, 256, 1)]
    shapes += [(8, 28, 256, 256, 1), (4, 14, 256, 512, 1), (4, 14, 512, 512, 1)]
    shapes += [(2, 7, 512, 512, 2)]
    return [
        _clip_case("C3D", frames, side, (c, d), (3, 3, 3), count)
        for frames, side, c, d, count in shapes
    ]


def slowfast() -> list[Case]:
    """The kinds of convolutions of SlowFast-50 with 4 and 32 frames, with their number.

    Returns:
        A list of `Case`.
    """
    halved = {"strides": (1, 2, 2)}
    cases = [
        _clip_case("SlowFast", 4, 224, (3, 64), (1, 7, 7), **halved),
        _clip_case("SlowFast", 32, 224, (3, 8), (5, 7, 7), **halved),
    ]
    for side, width in ((56, 8), (56, 32), (28, 64), (14, 128)):
        lateral = _clip_case("SlowFast", 32, side, (width, 2 * width), (5, 1, 1), strides=(8, 1, 1))
        cases.append(lateral)
    for side, inner, rest in ((56, 64, 3), (28, 128, 3), (14, 256, 5), (7, 512, 2)):
        cases.append(_clip_case("SlowFast", 4, side, (inner, inner), (1, 3, 3), rest))
        cases.append(_clip_case("SlowFast", 4, side, (inner, 4 * inner), (1, 1, 1), rest + 1))
        along = (1, 1, 1) if side > 14 else (3, 1, 1)
        cases.append(_clip_case("SlowFast", 4, side, (4 * inner, inner), along, rest))
        fast = inner // 8
        cases.append(_clip_case("SlowFast", 32, side, (fast, fast), (1, 3, 3), rest))
        cases.append(_clip_case("SlowFast", 32, side, (fast, 4 * fast), (1, 1, 1), rest + 1))
        cases.append(_clip_case("SlowFast", 32, side, (4 * fast, fast), (3, 1, 1), rest))
    return cases


def large() -> list[Case]:
    """Windows for which spectra pay.

    Returns:
        A list of `Case`.
    """
    return [
        _case("large dense 31x31", 64, 32, 32, 31),
        _case("large depthwise 31x31", 64, 64, 64, 31, groups=64),
        _case("large depthwise 15x15", 64, 64, 64, 15, groups=64),
    ]


def all_cases() -> list[Case]:
    """Every shape of this file, family by family.

    Returns:
        A list of `Case`.
    """
    return [
        *depthwise(),
        *grouped(),
        *pointwise(),
        *resnet(),
        *vgg(),
        *large(),
        *c3d(),
        *slowfast(),
    ]
