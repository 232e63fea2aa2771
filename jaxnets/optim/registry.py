"""Optimizers and schedules by name, for configurations and command lines."""

import inspect
from collections.abc import Callable
from typing import Any

import optax

from jaxnets.errors import UnknownNameError, suggest
from jaxnets.optim import paper_schedules, schedules
from jaxnets.optim.adam import adam, adamw, amsgrad
from jaxnets.optim.adaptive import adadelta, adagrad, rmsprop
from jaxnets.optim.clipping import clip_by_global_norm
from jaxnets.optim.plateau import Plateau
from jaxnets.optim.regularize import Mask, l2
from jaxnets.optim.sgd import LearningRate, momentum, nesterov, sgd
from jaxnets.optim.trees import check_count, check_number

_OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformationExtraArgs]] = {
    "adadelta": adadelta,
    "adagrad": adagrad,
    "adam": adam,
    "adamw": adamw,
    "amsgrad": amsgrad,
    "momentum": momentum,
    "nesterov": nesterov,
    "rmsprop": rmsprop,
    "sgd": sgd,
}


def list_optimizers() -> list[str]:
    """The names that `create_optimizer` knows, sorted.

    Returns:
        Names for `create_optimizer`.

    >>> list_optimizers()[:3]
    ['adadelta', 'adagrad', 'adam']
    """
    return sorted(_OPTIMIZERS)


def _check_options(kind: str, name: str, factory: Callable, options: dict, hidden: tuple) -> None:
    known = [p for p in inspect.signature(factory).parameters if p not in hidden]
    for option in options:
        if option not in known:
            raise ValueError(f"{kind} {name!r} has no option {option!r}. {suggest(option, known)}")


def create_optimizer(
    name: str,
    learning_rate: LearningRate,
    *,
    weight_decay: float | None = None,
    clip_norm: float | None = None,
    mask: Mask = None,
    **options: Any,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer with clipping and decay around it, in PyTorch's order.

    Gradient → clipped to `clip_norm` → plus L2 → rule → (AdamW: plus decay) → × −learning rate.

    Args:
        name: one of `list_optimizers`.
        learning_rate: a number, a schedule, or `Plateau`.
        weight_decay: λ. L2 within the gradient, as ``weight_decay`` of ``torch.optim`` is, and for
            ``adamw`` the decoupled decay. None takes the rule's default: 0.01 for ``adamw``, none
            for the others.
        clip_norm: largest global norm of the gradient; None for no limit.
        mask: parameters that decay, a tree of booleans or a function to one, such as
            `mask_by_name`; None for all.
        **options: what the rule itself takes, such as ``momentum=0.9``.

    Returns:
        A transform for ``optax.apply_updates``; with a decay its ``update`` needs the parameters.

    Raises:
        UnknownNameError: for a name that is not in the list.
        ValueError: for an option that the rule does not have, or a value out of range.

    >>> import jax.numpy as jnp
    >>> rule = create_optimizer("momentum", 0.1, momentum=0.9, weight_decay=5e-4, clip_norm=1.0)
    >>> updates, _ = rule.update(jnp.ones(4), rule.init(jnp.zeros(4)), jnp.zeros(4))
    >>> print(updates.round(4))
    [-0.05 -0.05 -0.05 -0.05]
    """
    if name not in _OPTIMIZERS:
        raise UnknownNameError("optimizer", name, _OPTIMIZERS)
    factory = _OPTIMIZERS[name]
    _check_options("optimizer", name, factory, options, ("learning_rate", "weight_decay", "mask"))
    if weight_decay is not None:
        check_number("weight_decay", weight_decay, low=0)
    before = []
    if clip_norm is not None:
        check_number("clip_norm", clip_norm, above=0)
        before.append(clip_by_global_norm(clip_norm))
    if name == "adamw":
        options["mask"] = mask
        if weight_decay is not None:
            options["weight_decay"] = weight_decay
    elif weight_decay is not None and not (
        isinstance(weight_decay, float | int) and weight_decay == 0
    ):
        before.append(l2(weight_decay, mask))
    return optax.chain(*before, factory(learning_rate, **options))


def _step(init_value, total_steps, *, step_size=None, gamma=0.1):
    return schedules.step(init_value, step_size or -(-total_steps // 3), gamma)


def _multi_step(init_value, total_steps, *, milestones=None, gamma=0.1):
    if milestones is None:
        milestones = (total_steps // 2, 3 * total_steps // 4)
    return schedules.multi_step(init_value, milestones, gamma)


def _exponential(init_value, total_steps, *, gamma=None, every=1, end_factor=0.01):
    if gamma is None:
        gamma, every = end_factor, total_steps
    return schedules.exponential(init_value, gamma, every)


def _warm_restarts(init_value, total_steps, *, first_cycle=None, multiplier=1, end_value=0.0):
    return schedules.warm_restarts(init_value, first_cycle or total_steps, multiplier, end_value)


def _without_total(factory: Callable) -> Callable:
    """A schedule that needs no length, with the signature of those that do."""

    def build(init_value, total_steps, **options):
        del total_steps
        return factory(init_value, **options)

    build.__signature__ = inspect.signature(factory)  # type: ignore[attr-defined]
    return build


_SCHEDULES: dict[str, Callable[..., Any]] = {
    "bvlc_alexnet": _without_total(paper_schedules.bvlc_alexnet),
    "bvlc_googlenet": _without_total(paper_schedules.bvlc_googlenet),
    "bvlc_googlenet_quick": paper_schedules.bvlc_googlenet_quick,
    "constant": _without_total(schedules.constant),
    "cosine": schedules.cosine,
    "exponential": _exponential,
    "googlenet": _without_total(paper_schedules.googlenet),
    "inception": _without_total(paper_schedules.inception),
    "inverse": _without_total(schedules.inverse),
    "inverse_sqrt": _without_total(schedules.inverse_sqrt),
    "linear": schedules.linear,
    "multi_step": _multi_step,
    "plateau": _without_total(Plateau),
    "polynomial": schedules.polynomial,
    "resnet_cifar": paper_schedules.resnet_cifar,
    "snapshot": schedules.snapshot_cosine,
    "squeezenet": paper_schedules.squeezenet,
    "step": _step,
    "sutskever": _without_total(paper_schedules.sutskever),
    "warm_restarts": _warm_restarts,
}


def list_schedules() -> list[str]:
    """The names that `create_schedule` knows, sorted.

    Returns:
        Names for `create_schedule`.

    >>> "cosine" in list_schedules()
    True
    """
    return sorted(_SCHEDULES)


def create_schedule(
    name: str,
    init_value: float,
    total_steps: int,
    *,
    warmup_steps: int = 0,
    warmup_start: float = 0.0,
    **options: Any,
) -> schedules.Schedule | Plateau:
    """A learning rate over time.

    Args:
        name: one of `list_schedules`.
        init_value: the first rate after the warm-up, the highest of most schedules.
        total_steps: updates of the whole run; the schedule gets what the warm-up leaves.
        warmup_steps: length of a linear warm-up.
        warmup_start: share of `init_value` at count 0.
        **options: what the schedule takes: ``gamma``, ``milestones``, ``power``, ``end_value`` …;
            the papers' schedules that count epochs want ``steps_per_epoch``.

    Returns:
        A function of the number of updates done; for "plateau" a `Plateau`.

    Raises:
        UnknownNameError: for a name that is not in the list.
        ValueError: for an unknown or missing option, or a value out of range.

    >>> rate = create_schedule("cosine", 0.1, 1000, warmup_steps=100)
    >>> [round(float(rate(t)), 4) for t in (0, 50, 100, 550, 1000)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """
    if name not in _SCHEDULES:
        raise UnknownNameError("schedule", name, _SCHEDULES)
    check_count("total_steps", total_steps, low=1)
    check_count("warmup_steps", warmup_steps)
    if warmup_steps >= total_steps:
        raise ValueError(
            f"warmup_steps must be less than total_steps, got {warmup_steps} of {total_steps}"
        )
    factory = _SCHEDULES[name]
    hidden = ("init_value", "total_steps")
    _check_options("schedule", name, factory, options, hidden)
    parameters = inspect.signature(factory).parameters.values()
    for parameter in parameters:
        required = parameter.default is inspect.Parameter.empty and parameter.name not in hidden
        if required and parameter.name not in options:
            raise ValueError(f"schedule {name!r} needs the option {parameter.name!r}")
    schedule = factory(init_value, total_steps - warmup_steps, **options)
    if warmup_steps == 0:
        return schedule
    if isinstance(schedule, Plateau):
        raise ValueError(
            "warmup_steps must be 0 for 'plateau', whose rate depends on what it observes; "
            f"got {warmup_steps}"
        )
    return schedules.warm_up(schedule, warmup_steps, warmup_start)
