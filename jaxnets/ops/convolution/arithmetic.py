"""What a stack of convolutions sees and costs: receptive field, parameters, multiply-adds.

Three ways to make a convolution cheaper, in numbers: several small windows for one large (Simonyan
& Zisserman 2014, §2.3), 1×1 projections around an expensive one (Szegedy et al. 2014, §4; He et al.
2016, §4.1), and 1×n followed by n×1 (Szegedy et al. 2016, §3.2).
"""

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Layer:
    """One convolution (or pooling: ``features=None`` keeps the channels and has no parameters).

    Attributes:
        window, strides, padding, dilation: ints or (height, width) pairs, in pixels.
        features: output channels, or None.
        groups: channel groups.
        use_bias: whether there is a bias.

    >>> stack_cost([Layer(3, 8)], (5, 5, 1))[0].parameters
    72
    """

    window: int | tuple[int, int]
    features: int | None = None
    strides: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    dilation: int | tuple[int, int] = 1
    groups: int = 1
    use_bias: bool = False


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one layer, or a stack, comes to.

    Attributes:
        parameters: weights and biases.
        macs: multiply-adds for one image, padding counted.
        shape: (height, width, channels) of the output.
        field: receptive field of one output pixel on the input, (height, width).
        jump: input pixels between neighboring outputs, (height, width).
        start: input coordinate of the first output's center, (height, width); 0 is the first
            pixel's center.

    >>> stack_cost([Layer(3, 8)], (5, 5, 1))[0].shape
    (3, 3, 8)
    """

    parameters: int
    macs: int
    shape: tuple[int, int, int]
    field: tuple[int, int]
    jump: tuple[int, int]
    start: tuple[float, float]


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _check_odd(window: int, least: int = 1) -> None:
    if window < least or window % 2 == 0:
        raise ValueError(f"window must be odd and at least {least}, got {window}")


def stack_cost(layers: Sequence[Layer], shape: tuple[int, int, int]) -> list[Cost]:
    """Cost of every layer's output, its own parameters and MACs, and what it sees of the input.

    With e = (K − 1)·dilation: field ← field + e·jump, start ← start + (e/2 − padding)·jump, and
    then jump ← jump·stride.

    Args:
        layers: in order.
        shape: (height, width, channels) of one input image.

    Returns:
        one `Cost` for each layer.

    Raises:
        ValueError: a window larger than its padded input, or groups that do not divide.

    Source: Araujo et al., "Computing receptive fields", Distill 2019.

    >>> [cost.field for cost in stack_cost([Layer(3, 8, padding=1)] * 3, (32, 32, 8))]
    [(3, 3), (5, 5), (7, 7)]
    """
    field, jump, start = (1, 1), (1, 1), (0.0, 0.0)
    size, channels = tuple(shape[:2]), shape[2]
    costs = []
    for i, layer in enumerate(layers):
        window, strides = _pair(layer.window), _pair(layer.strides)
        padding, dilation = _pair(layer.padding), _pair(layer.dilation)
        reach = tuple((k - 1) * d for k, d in zip(window, dilation, strict=True))
        features = channels if layer.features is None else layer.features
        if channels % layer.groups or features % layer.groups:
            raise ValueError(
                f"layers[{i}]: groups={layer.groups} must divide {channels} input and {features} "
                "output channels"
            )
        size = tuple(
            (s + 2 * p - r - 1) // t + 1
            for s, p, r, t in zip(size, padding, reach, strides, strict=True)
        )
        if min(size) < 1:
            raise ValueError(f"layers[{i}]: the window {window} is larger than its padded input")
        field = tuple(f + r * j for f, r, j in zip(field, reach, jump, strict=True))
        start = tuple(
            s + (r / 2 - p) * j for s, r, p, j in zip(start, reach, padding, jump, strict=True)
        )
        jump = tuple(j * t for j, t in zip(jump, strides, strict=True))
        weights = 0
        if layer.features is not None:
            weights = math.prod(window) * channels // layer.groups * features
        parameters = weights + (features if layer.use_bias and layer.features else 0)
        costs.append(
            Cost(parameters, weights * math.prod(size), (*size, features), field, jump, start)
        )
        channels = features
    return costs


def total(costs: Sequence[Cost]) -> Cost:
    """The whole stack: parameters and MACs added, the rest of the last layer.

    Args:
        costs: of `stack_cost`.

    Returns:
        their `Cost` as one.

    >>> large = total(stack_cost([Layer(7, 64, padding=3)], (56, 56, 64)))
    >>> small = total(stack_cost([Layer(3, 64, padding=1)] * 3, (56, 56, 64)))
    >>> large.field == small.field, round(small.parameters / large.parameters, 3)
    (True, 0.551)
    """
    return dataclasses.replace(
        costs[-1],
        parameters=sum(c.parameters for c in costs),
        macs=sum(c.macs for c in costs),
    )


def small_windows(window: int, features: int, shape: tuple[int, int, int]) -> tuple[Cost, Cost]:
    """One ``window``² convolution against 3×3 ones that see as much.

    Args:
        window: side of the large window, odd and at least 3.
        features: output channels of every layer.
        shape: (height, width, channels) of the input.

    Returns:
        the `Cost` of the one, and that of the several.

    Raises:
        ValueError: an even window, or one below 3.

    Source: Simonyan & Zisserman 2014 (Very Deep Convolutional Networks), §2.3.

    >>> one, several = small_windows(5, 64, (28, 28, 64))
    >>> round(1 - several.macs / one.macs, 2)
    0.28
    """
    _check_odd(window, least=3)
    one = [Layer(window, features, padding=window // 2)]
    several = [Layer(3, features, padding=1)] * (window // 2)
    return total(stack_cost(one, shape)), total(stack_cost(several, shape))


def bottleneck(
    window: int, features: int, squeeze: int, shape: tuple[int, int, int], expand: bool = False
) -> tuple[Cost, Cost]:
    """A ``window``² convolution against the same behind a 1×1 projection to ``squeeze`` channels.

    Args:
        window: side of the window, odd.
        features: output channels.
        squeeze: channels of the projection.
        shape: (height, width, channels) of the input.
        expand: run the window at ``squeeze`` channels and project up again (ResNet's bottleneck);
            otherwise the window itself goes from ``squeeze`` to ``features`` (Inception's).

    Returns:
        the `Cost` of the plain convolution, and that of the cheap one.

    Source: Szegedy et al. 2014 (Going Deeper with Convolutions), §4; He et al. 2016 (Deep Residual
    Learning), §4.1.

    >>> plain, cheap = bottleneck(5, 96, 64, (28, 28, 256))
    >>> plain.macs, cheap.macs
    (481689600, 133267456)
    """
    _check_odd(window)
    plain = [Layer(window, features, padding=window // 2)]
    if expand:
        cheap = [Layer(1, squeeze), Layer(window, squeeze, padding=window // 2), Layer(1, features)]
    else:
        cheap = [Layer(1, squeeze), Layer(window, features, padding=window // 2)]
    return total(stack_cost(plain, shape)), total(stack_cost(cheap, shape))


def rectangular(window: int, features: int, shape: tuple[int, int, int]) -> tuple[Cost, Cost]:
    """An n×n convolution against 1×n followed by n×1.

    Equal to it exactly where every n×n slice of the kernel is of rank one; otherwise cheaper and
    different.

    Args:
        window: n, odd.
        features: output channels of every layer.
        shape: (height, width, channels) of the input.

    Returns:
        the `Cost` of the n×n convolution, and that of the pair.

    Raises:
        ValueError: an even window.

    Source: Szegedy et al. 2016 (Rethinking the Inception Architecture), §3.2.

    >>> for n in (3, 7):
    ...     square, thin = rectangular(n, 192, (17, 17, 192))
    ...     print(round(1 - thin.parameters / square.parameters, 3))
    0.333
    0.714
    """
    _check_odd(window)
    half = window // 2
    thin = [
        Layer((1, window), features, padding=(0, half)),
        Layer((window, 1), features, padding=(half, 0)),
    ]
    square = [Layer(window, features, padding=half)]
    return total(stack_cost(square, shape)), total(stack_cost(thin, shape))


def grid_reductions(
    window: int, features: int, shape: tuple[int, int, int]
) -> tuple[Cost, Cost, Cost]:
    """Three ways to halve a map of C channels and end with ``features`` of them.

    pool first:   pool/2, then a convolution C → features         (cheap; a bottleneck: C·H·W/4)
    pool last:    a convolution C → features, then pool/2         (no bottleneck; four times that)
    in parallel:  a convolution/2 C → features − C beside pool/2  (neither)

    Args:
        window: side of the convolution's window, odd; pooling is 2×2.
        features: output channels, more than the input has.
        shape: (height, width, channels) of the input, of even height and width.

    Returns:
        the `Cost` of each.

    Raises:
        ValueError: an even window, an odd map, or no more channels than before.

    Source: Szegedy et al. 2016 (Rethinking the Inception Architecture), §5, figures 9 and 10.

    >>> first, last, beside = grid_reductions(1, 640, (34, 34, 320))
    >>> last.macs / first.macs, beside.macs / first.macs
    (4.0, 0.5)
    >>> {cost.shape for cost in (first, last, beside)}
    {(17, 17, 640)}
    """
    _check_odd(window)
    height, width, channels = shape
    if height % 2 or width % 2:
        raise ValueError(f"the map must have an even height and width, got {height}×{width}")
    if features <= channels:
        raise ValueError(f"features must be more than the input's {channels}, got {features}")
    pad = window // 2
    pool, conv = Layer(2, strides=2), Layer(window, features, padding=pad)
    first, last = (total(stack_cost(order, shape)) for order in ([pool, conv], [conv, pool]))
    strided = total(stack_cost([Layer(window, features - channels, strides=2, padding=pad)], shape))
    joined = (*strided.shape[:2], strided.shape[2] + channels)
    return first, last, dataclasses.replace(strided, shape=joined)
