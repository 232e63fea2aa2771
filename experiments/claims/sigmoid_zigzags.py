"""Do all weights of a unit behind sigmoids move the same way?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    below,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP
from jaxnets.ops import sigmoid, tanh
from jaxnets.ops.activation_analysis import one_sided_share


@dataclass(frozen=True, kw_only=True)
class Watch(Settings):
    """Gradients of the second layer, watched while the network learns."""

    rate: float = 0.3
    steps: int = 1000
    evaluations: int = 20
    singles: int = 100


@dataclass(frozen=True)
class Probe:
    """Share of one-sided units of the second layer: for single examples, and for a batch."""

    singles: int

    def __call__(self, state, data):
        def share(images, labels):
            def loss(params):
                return cross_entropy(state.apply_fn({"params": params}, images), labels)

            return one_sided_share(jax.grad(loss)(state.params)["fc2"]["kernel"])

        one = jax.vmap(share)(
            data.train.images[: self.singles, None], data.train.labels[: self.singles, None]
        )
        return jnp.stack([one.mean(), share(data.train.images[:64], data.train.labels[:64])])


def measure(settings: Watch) -> Outcome:
    shares = {}
    for name, activation in (("sigmoid", sigmoid), ("tanh", tanh)):
        runs = train_many(
            MLP(10, (32, 32), activation),
            optim.sgd,
            settings.rate,
            settings.data(),
            make_keys(settings.keys),
            steps=settings.steps,
            evaluations=settings.evaluations,
            probe=Probe(settings.singles),
        )
        shares[name] = 100 * runs.probe
    figure, (ax,) = figures.new()
    for i, name in enumerate(shares):
        for j, (of, style) in enumerate((("one example", "-"), ("batch of 64", "--"))):
            figures.band(
                ax, runs.steps, shares[name][..., j], f"{name}, {of}", figures.COLORS[i], ls=style
            )
    ax.set(xlabel="step", ylabel="units with one-sided gradient, %", ylim=(-3, 108))
    ax.legend(fontsize=8, loc="center right")
    last = {name: share[:, -1] for name, share in shares.items()}
    mean = {name: share.mean(1) for name, share in shares.items()}
    return Outcome(
        effects=[
            effect(
                "sigmoid, one example: one-sided units", last["sigmoid"][:, 0], above(99), unit="%"
            ),
            effect(
                "sigmoid, batch of 64: one-sided units", mean["sigmoid"][:, 1], above(50), unit="%"
            ),
            effect("tanh, one example: one-sided units", mean["tanh"][:, 0], below(50), unit="%"),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Behind sigmoids all weights of a unit are pushed in the same direction (zig-zag)",
    notes="L13, L15",
    row="A01",
    experiment="Two hidden layers of 32 sigmoid or tanh units; counted while they learn: the units "
    "of the second layer whose weights all have gradients of one sign, for single examples and for "
    "a mini-batch. The claim wants them all for single examples, most for a batch, and not so "
    "behind tanh, whose outputs have both signs.",
    measure=measure,
    full=Watch(dataset="mnist", train=5000, test=500, keys=8),
    quick=Watch(keys=3, steps=100, evaluations=5, singles=20),
    tiny=Watch(keys=2, train=100, steps=2, evaluations=1, singles=4),
)
