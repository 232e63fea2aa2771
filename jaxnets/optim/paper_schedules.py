"""Learning rates of papers, with the numbers that the papers or their published solvers give."""

from jaxnets.optim.schedules import Schedule, multi_step, polynomial, step
from jaxnets.optim.trees import check_count


def googlenet(init_value: float, steps_per_epoch: int) -> Schedule:
    """GoogLeNet: 4 % less every 8 epochs (Szegedy et al. 2014, section 6).

    Args:
        init_value: the first rate.
        steps_per_epoch: updates in an epoch.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: the rate below 0, or ``steps_per_epoch`` not a whole number of at least 1.

    >>> [round(float(googlenet(0.01, 100)(t)), 6) for t in (799, 800)]
    [0.01, 0.0096]
    """
    check_count("steps_per_epoch", steps_per_epoch, low=1)
    return step(init_value, 8 * steps_per_epoch, 0.96)


def bvlc_googlenet(init_value: float = 0.01) -> Schedule:
    """The BVLC model zoo's GoogLeNet, batch 32: × 0.96 every 320,000 iterations.

    Args:
        init_value: the first rate.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: the rate below 0.

    >>> float(bvlc_googlenet()(319_999)), round(float(bvlc_googlenet()(320_000)), 6)
    (0.009999999776482582, 0.0096)
    """
    return step(init_value, 320_000, 0.96)


def bvlc_googlenet_quick(init_value: float = 0.01, total_steps: int = 2_400_000) -> Schedule:
    """The BVLC model zoo's quick solver of GoogLeNet: poly with power one half.

    Args:
        init_value: the first rate.
        total_steps: updates of the whole run.

    Returns:
        count → rate, a float array of the count's shape; 0 from ``total_steps`` on.

    Raises:
        ValueError: the rate below 0, or ``total_steps`` not a whole number of at least 1.

    >>> round(float(bvlc_googlenet_quick()(1_800_000)), 6)
    0.005
    """
    return polynomial(init_value, total_steps, 0.5)


def inception(init_value: float, steps_per_epoch: int) -> Schedule:
    """Inception-v3: 0.045, × 0.94 every two epochs (Szegedy et al. 2015, section 8).

    Args:
        init_value: the first rate.
        steps_per_epoch: updates in an epoch.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: the rate below 0, or ``steps_per_epoch`` not a whole number of at least 1.

    >>> [round(float(inception(0.045, 100)(t)), 6) for t in (199, 200)]
    [0.045, 0.0423]
    """
    check_count("steps_per_epoch", steps_per_epoch, low=1)
    return step(init_value, 2 * steps_per_epoch, 0.94)


def squeezenet(init_value: float = 0.04, total_steps: int = 170_000) -> Schedule:
    """SqueezeNet's published solver, batch 512: linearly to nothing, poly(1).

    Args:
        init_value: the first rate.
        total_steps: updates of the whole run.

    Returns:
        count → rate, a float array of the count's shape; 0 from ``total_steps`` on.

    Raises:
        ValueError: the rate below 0, or ``total_steps`` not a whole number of at least 1.

    >>> round(float(squeezenet()(85_000)), 6)
    0.02
    """
    return polynomial(init_value, total_steps, 1.0)


def bvlc_alexnet(init_value: float = 0.01) -> Schedule:
    """The BVLC model zoo's AlexNet, batch 256: ÷ 10 every 100,000 of 450,000 iterations.

    The paper itself divides by 10, three times, when the validation error stalls:
    that is `jaxnets.optim.Plateau`.

    Args:
        init_value: the first rate.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: the rate below 0.

    >>> round(float(bvlc_alexnet()(100_000)), 6)
    0.001
    """
    return step(init_value, 100_000, 0.1)


def resnet_cifar(init_value: float = 0.1, total_steps: int = 64_000) -> Schedule:
    """ResNet on CIFAR-10: ÷ 10 at 32,000 and at 48,000 of 64,000 (He et al. 2015, section 4.2).

    Args:
        init_value: the first rate.
        total_steps: updates of the whole run; the drops are after a half and three quarters of it.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: the rate below 0, or ``total_steps`` not a whole number of at least 4.

    >>> [round(float(resnet_cifar()(t)), 6) for t in (31_999, 32_000, 48_000)]
    [0.1, 0.01, 0.001]
    """
    check_count("total_steps", total_steps, low=4)
    return multi_step(init_value, (total_steps // 2, 3 * total_steps // 4), 0.1)


def sutskever(init_value: float, steps_per_epoch: int) -> Schedule:
    """Sequence to sequence: halved every half epoch after five (Sutskever et al. 2014, §3.4).

    Of the paper's 7.5 epochs the last half has 1/32 of the first rate, 0.7 there.

    Args:
        init_value: the first rate.
        steps_per_epoch: updates in an epoch.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: the rate below 0, or ``steps_per_epoch`` not a whole number of at least 2.

    >>> [round(float(sutskever(0.7, 100)(t)), 6) for t in (499, 500, 550, 749)]
    [0.7, 0.35, 0.175, 0.021875]
    """
    check_count("steps_per_epoch", steps_per_epoch, low=2)
    return multi_step(init_value, [n * steps_per_epoch // 2 for n in range(10, 15)], 0.5)
