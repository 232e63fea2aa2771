"""Other learning rates for other layers, and layers that join the training one after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.optim.partial import keep
from jaxnets.optim.trees import check_number
from jaxnets.transfer.layers import check_layers


def layerwise_factors(
    groups: Mapping[str, Sequence[str]] | Sequence[str], decay: float
) -> dict[str, float]:
    """Factors of the learning rate: 1 for the last group, ``decay`` times less for each before it.

    .. math:: η_l = η · d^{L−l}

    Args:
        groups: from `layer_groups` (the layers of a group share their factor), or names of layers
            in order.
        decay: d in (0, 1]; ULMFiT takes 1/2.6.

    Returns:
        Layer → factor.

    Raises:
        ValueError: a decay outside (0, 1].

    Source: Howard and Ruder, "Universal language model fine-tuning", 2018, section 3.2.

    >>> layerwise_factors(["a", "b", "c"], 0.5)
    {'a': 0.25, 'b': 0.5, 'c': 1.0}
    """
    check_number("decay", decay, above=0, high=1)
    members = list(groups.values()) if isinstance(groups, Mapping) else [(g,) for g in groups]
    members = [m for m in members if m]
    last = len(members) - 1
    return {name: decay ** (last - i) for i, group in enumerate(members) for name in group}


def scale_layers(
    rule: optax.GradientTransformation, factors: Mapping[str, float]
) -> optax.GradientTransformation:
    """The optimizer with its updates multiplied by each layer's factor: layer-wise learning rates.

    Layers of equal factors share one instance of ``rule``: a clipping norm is that of their
    gradients. Factor 0 freezes the parameters bit for bit (use `transfer_state`'s ``frozen`` where
    statistics shall be frozen too). A layer without a factor has 1.

    Args:
        rule: its updates must be proportional to its learning rate, as those of all first-order
            rules in `jaxnets.optim` are.
        factors: layer, or deeper path, → factor ≥ 0.

    Returns:
        The transformation.

    Raises:
        ValueError: a factor below 0 or not finite.
        UnknownNameError: a layer that the parameters do not have (when the state is made).

    >>> import jax.numpy as jnp
    >>> rule = scale_layers(optax.sgd(1.0), {"a": 0.1})
    >>> params = {"a": jnp.ones(1), "b": jnp.ones(1)}
    >>> updates, _ = rule.update(params, rule.init(params), params)
    >>> [round(updates[name].item(), 3) for name in "ab"]
    [-0.1, -1.0]
    """
    for name, factor in factors.items():
        check_number(f"factors[{name!r}]", factor, low=0)
    labels = {name: repr(float(factor)) for name, factor in factors.items()}
    rules = {
        label: keep() if float(label) == 0 else optax.chain(rule, optax.scale(float(label)))
        for label in {*labels.values(), "1.0"}
    }

    def of_path(path: tuple[str, ...]) -> str:
        # The deepest layer that is named decides.
        for depth in range(len(path), 0, -1):
            if (name := "/".join(path[:depth])) in labels:
                return labels[name]
        return "1.0"

    def label(params: Any) -> Any:
        check_layers(labels, {"params": params})
        return unflatten_dict({path: of_path(path) for path in flatten_dict(params)})

    return optax.multi_transform(rules, label)


def unfreezing_phases(
    groups: Mapping[str, Sequence[str]] | Sequence[str], *, first: int = 1
) -> list[tuple[str, ...]]:
    """Gradual unfreezing: the frozen layers of each phase, from all but the last group to none.

    Each phase is trained with a new `transfer_state` that goes on from the variables of the one
    before; the optimizer's memory begins anew.

    Args:
        groups: from `layer_groups`, or names of layers in order.
        first: how many groups are trained in the first phase.

    Returns:
        Names of the frozen layers, one tuple a phase.

    Raises:
        ValueError: ``first`` below 1 or above the number of groups.

    Source: Howard and Ruder, "Universal language model fine-tuning", 2018, section 3.3.

    >>> unfreezing_phases(["a", "b", "c"])
    [('a', 'b'), ('a',), ()]
    """
    members = list(groups.values()) if isinstance(groups, Mapping) else [(g,) for g in groups]
    members = [tuple(m) for m in members if m]
    if not 1 <= first <= len(members):
        raise ValueError(f"first must lie in 1 … {len(members)}, the number of groups, got {first}")
    phases = []
    for frozen in range(len(members) - first, -1, -1):
        phases.append(tuple(name for group in members[:frozen] for name in group))
    return phases
