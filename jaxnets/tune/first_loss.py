"""Step 1: is the loss of the untrained network that of guessing?"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.traverse_util
import jax
import numpy as np
from flax import linen as nn

from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.ops.activations import identity
from jaxnets.tune.training_loss import training_logits

# A loss this far above ln C is still a usual start: He-initialized networks give logits of standard
# deviation 1 to 1.7 (LeNet-5 on digits), and each unit of their variance costs half a nat.
USUAL_EXCESS = 1.5


class FirstLoss(NamedTuple):
    """What `check_first_loss` found.

    Attributes:
        loss: of the untrained network, without penalty.
        expected: ln C.
        penalized: loss + penalty; equal to ``loss`` when no penalty was given.
        logit_std: standard deviation of the logits.
        ok: nothing needs to be mended.
        findings: sentences, the most serious first.

    >>> FirstLoss(2.3, math.log(10), 2.3, 0.1, True, ()).ok
    True
    """

    loss: float
    expected: float
    penalized: float
    logit_std: float
    ok: bool
    findings: tuple[str, ...]


def check_first_loss(
    model: nn.Module,
    variables: dict[str, Any],
    images: Any,
    labels: Any,
    *,
    num_classes: int,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array] = cross_entropy,
    penalty: Callable[[Any], jax.Array] | None = None,
    key: jax.Array | None = None,
) -> FirstLoss:
    """Compare the untrained network's loss with ln C, and say why it differs.

    A network that knows nothing gives every class 1/C, so cross entropy starts at ln C: 2.302585
    for ten classes, 6.907755 for a thousand. Independent logits of variance s² cost about s²/2
    more. A penalty on the weights has to raise the loss.

    Args:
        model: a network that returns logits.
        variables: from ``model.init``.
        images: (N, H, W, C) as stored; a few hundred are enough.
        labels: (N,) class numbers.
        num_classes: C of the dataset.
        preprocess: images as stored → images as the network wants them.
        loss_fn: (logits, labels) → mean loss.
        penalty: params → scalar.
        key: for dropout.

    Returns:
        The `FirstLoss`.

    Raises:
        JaxnetsError: no images, or as many labels as images are not given.

    >>> import jax, jax.numpy as jnp, jaxnets
    >>> model = jaxnets.create_model("mlp", num_classes=10)
    >>> images, labels = jnp.zeros((20, 8, 8, 1)), jnp.arange(20) % 10
    >>> found = check_first_loss(
    ...     model, model.init(jax.random.key(0), images), images, labels, num_classes=10)
    >>> found.ok, round(found.loss, 4), round(found.expected, 6)
    (True, 2.3026, 2.302585)
    """
    labels = np.asarray(labels)
    if not len(labels) or len(images) != len(labels):
        raise JaxnetsError(f"got {len(images)} images and {len(labels)} labels; expected as many")
    key = jax.random.key(0) if key is None else key

    # Compiled as one: eager, a deep network would compile each of its layers by itself.
    @jax.jit
    def measure(variables, images):
        inputs = preprocess(images)
        logits = training_logits(key, model, variables, inputs)
        loss = loss_fn(logits, labels)
        added = 0.0 if penalty is None else penalty(variables["params"])
        # The classes' common offset does not change the softmax.
        centered = logits - logits.mean(-1, keepdims=True)
        return loss, added, centered.std(), inputs.mean(), inputs.std(), logits

    values = measure(variables, images)
    loss, added, std, input_mean, input_std = map(float, values[:5])
    outputs = values[5].shape[-1]
    expected = math.log(num_classes)
    findings = _label_findings(labels, num_classes, outputs)
    excess = loss - expected
    large_inputs = abs(input_mean) > 10 or input_std > 10
    if not math.isfinite(loss):
        findings.append(
            f"the loss is {loss}: "
            + ("see the labels" if findings else "the network overflows, or the inputs hold NaN")
        )
    elif excess > USUAL_EXCESS:
        ratio = loss / expected
        if abs(ratio - len(labels)) < 0.2 * len(labels) and len(labels) > 1 and std < 2:
            findings.append(
                f"the loss is {ratio:.0f} times ln C, the number of images: it is a sum, not a mean"
            )
        elif std > 1.5:
            findings.append(
                f"the logits are too large: their standard deviation is {std:.3g}, which costs "
                f"about {min(std**2 / 2, excess):.3g} nats. Draw the last layer with a smaller "
                "standard deviation (1e-3 starts within 0.01 of ln C)"
            )
        else:
            findings.append(
                f"the loss is {excess:.3g} above ln C though the logits are small: look at the loss"
            )
        if large_inputs:
            findings.append(_preprocessing_finding(input_mean, input_std))
    elif excess < -0.25 and not findings:
        findings.append(
            f"the loss is {-excess:.3g} below ln C: an untrained network cannot know that much. Is "
            "it trained already, are the labels among its inputs, or is the mean taken over too "
            "many entries?"
        )
    elif large_inputs:
        findings.append(_preprocessing_finding(input_mean, input_std))
    if penalty is not None and not added > 0 and math.isfinite(loss):
        findings.append(f"the penalty adds {added:g} to the loss: regularization must raise it")
    ok = not findings
    if ok:
        near = "as it should be" if abs(excess) < 0.1 else f"usual: the logits' spread is {std:.2g}"
        findings = [f"the loss starts at {loss:.4f}, ln {num_classes} = {expected:.4f}: {near}"]
    return FirstLoss(loss, expected, loss + added, std, ok, tuple(findings))


def _preprocessing_finding(mean: float, std: float) -> str:
    return (
        f"the inputs have mean {mean:.3g} and standard deviation {std:.3g}: preprocessing is "
        "missing (subtract the mean, divide by the standard deviation)"
    )


def _label_findings(labels: np.ndarray, num_classes: int, outputs: int) -> list[str]:
    found = []
    low, high = int(labels.min()), int(labels.max())
    if outputs != num_classes:
        found.append(
            f"the network has {outputs} outputs for {num_classes} classes: its loss starts at "
            f"ln {outputs} = {math.log(outputs):.4f} instead of {math.log(num_classes):.4f}"
        )
    if low >= 1 and high == num_classes:
        found.append(
            f"labels run from {low} to {high}: they are off by one, expected 0 to {high - 1}"
        )
    elif low < 0 or high >= num_classes:
        found.append(f"labels run from {low} to {high}, expected 0 to {num_classes - 1}")
    elif len(labels) >= 10 * num_classes and len(np.unique(labels)) < num_classes:
        found.append(
            f"only {len(np.unique(labels))} of {num_classes} classes occur in {len(labels)} labels"
        )
    return found


def with_small_last_layer(
    key: jax.Array, variables: dict[str, Any], *, num_classes: int, std: float = 1e-3
) -> dict[str, Any]:
    """The same variables with the classifiers drawn from N(0, std²) and their biases 0.

    The classifier is the only kernel with ``num_classes`` output features, beside those of
    auxiliary heads: modules whose name begins with "aux".

    Args:
        key: draws the classifier.
        variables: from ``model.init``.
        num_classes: of the classifier.
        std: standard deviation of its weights.

    Returns:
        New variables.

    Raises:
        JaxnetsError: there is no such kernel, or more than one that is not of an auxiliary head.

    >>> import jax, jax.numpy as jnp, jaxnets
    >>> model = jaxnets.create_model("lenet5", num_classes=10)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    >>> small = with_small_last_layer(jax.random.key(1), variables, num_classes=10)
    >>> bool(small["params"]["output"]["kernel"].std() < 2e-3)
    True
    """
    flat = flax.traverse_util.flatten_dict(variables["params"])
    found = [
        path
        for path, leaf in flat.items()
        if path[-1] == "kernel" and leaf.shape[-1] == num_classes
    ]
    auxiliary = [path for path in found if any(name.startswith("aux") for name in path)]
    if len(found) - len(auxiliary) != 1:
        names = ", ".join("/".join(path) for path in found) or "none"
        raise JaxnetsError(
            f"expected one kernel with {num_classes} output features, the classifier; found {names}"
        )
    main = [path for path in found if path not in auxiliary]
    for number, path in enumerate(main + auxiliary):
        kernel = flat[path]
        # The classifier gets the same numbers whether there are auxiliary heads or not.
        drawn = jax.random.normal(jax.random.fold_in(key, number) if number else key, kernel.shape)
        flat[path] = (std * drawn).astype(kernel.dtype)
        bias = (*path[:-1], "bias")
        if bias in flat:
            flat[bias] = 0 * flat[bias]
    return {**variables, "params": flax.traverse_util.unflatten_dict(flat)}
