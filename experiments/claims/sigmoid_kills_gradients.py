"""How much of the gradient is left after ten saturating layers?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    below,
    effect,
    figures,
    make_keys,
)
from jaxnets.losses import cross_entropy
from jaxnets.ops import he_normal, relu, sigmoid, tanh, xavier_normal

CASES = {
    "sigmoid": (sigmoid, xavier_normal),
    "tanh": (tanh, xavier_normal),
    "ReLU": (relu, he_normal),
}


@dataclass(frozen=True, kw_only=True)
class Deep(Settings):
    """A plain network of square layers at its start."""

    width: int = 128
    depth: int = 10
    examples: int = 256


def gradient_norms(settings: Deep, name: str) -> np.ndarray:
    """Norm of each layer's weight gradient at the start, (keys, depth)."""
    activation, initializer = CASES[name]
    data = settings.data().train
    images = data.images[: settings.examples].reshape(-1, np.prod(data.images.shape[1:]))
    labels = data.labels[: len(images)]

    def one(key):
        first, rest, last = jax.random.split(key, 3)
        hidden = jax.vmap(lambda k: initializer(k, (settings.width, settings.width)))(
            jax.random.split(rest, settings.depth)
        )
        x = activation(images @ initializer(first, (images.shape[1], settings.width)))
        classifier = initializer(last, (settings.width, 10))

        def loss(kernels):
            h, _ = jax.lax.scan(lambda h, w: (activation(h @ w), None), x, kernels)
            return cross_entropy(h @ classifier, labels)

        return jnp.sqrt((jax.grad(loss)(hidden) ** 2).sum((1, 2)))

    # One key after the other: the generator that compiles fast is not made for vmap.
    run = jax.jit(one)
    seeds = make_keys(settings.keys)
    return np.stack([run(jax.random.key(int(seed), impl="rbg")) for seed in seeds])


def measure(settings: Deep) -> Outcome:
    norms = {name: gradient_norms(settings, name) for name in CASES}
    layers = np.arange(1, settings.depth + 1)
    figure, (ax,) = figures.new()
    for color, (name, values) in zip(figures.COLORS, norms.items(), strict=False):
        ax.semilogy(layers, values.T, color=color, lw=0.7, alpha=0.4)
        ax.semilogy(layers, np.exp(np.log(values).mean(0)), color=color, lw=2, label=name)
    ax.set(xlabel="layer", ylabel="norm of the weight gradient", xticks=layers)
    ax.legend(loc="lower right")
    left = {name: values[:, 0] / values[:, -1] for name, values in norms.items()}
    return Outcome(
        effects=[
            effect(
                "sigmoid: gradient norm, first / last layer",
                left["sigmoid"],
                below(0.01),
                unit="×",
                method="log",
            ),
            effect(
                "ReLU: gradient norm, first / last layer",
                left["ReLU"],
                above(0.1),
                unit="×",
                method="log",
            ),
            effect("tanh: gradient norm, first / last layer", left["tanh"], unit="×", method="log"),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Sigmoids make the gradient vanish in a deep network, ReLUs do not",
    notes="L12, L16, L23",
    row="A01",
    experiment="The gradient of the loss at the start, by layer, in a plain network of ten hidden "
    "layers (Xavier's weights for sigmoid and tanh, He's for ReLU). The claim wants less than a "
    "hundredth of the last layer's gradient to reach the first behind sigmoids, and more than a "
    "tenth behind ReLUs.",
    measure=measure,
    full=Deep(dataset="mnist", train=1000, test=10, keys=20),
    quick=Deep(keys=5),
    tiny=Deep(keys=2, width=16, depth=3, examples=20),
)
