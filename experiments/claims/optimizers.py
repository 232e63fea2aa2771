"""First-order optimizers and their learning rates."""

from dataclasses import replace

from experiments.claims.measures import descent, learning_rates, optimizers
from jaxnets.study.claims import Claim

TUNING = {
    "full": learning_rates.Tuning(dataset="mnist", train=10_000, test=5000, keys=5),
    "quick": learning_rates.Tuning(
        keys=4, steps=100, evaluations=10, rates=(0.001, 0.01, 0.1, 0.3)
    ),
    "tiny": learning_rates.Tuning(keys=2, train=100, steps=4, evaluations=2, rates=(0.001, 0.1)),
}
VALLEYS = {
    "full": descent.Valley(keys=20),
    "quick": descent.Valley(keys=8),
    "tiny": descent.Valley(keys=2, steps=40),
}

CLAIMS = (
    Claim(
        name="sgd_oscillates",
        sentence="Gradient descent swings across steep directions and lingers at saddle points",
        source="Polyak (1964); Dauphin et al. (2014) on saddle points",
        experiment="Gradient descent from random points of valleys, one direction 20 to 100 times "
        "steeper, at its fastest constant rate: how many of the first 30 steps jump over the "
        "valley's bottom. And steps to leave the saddle x² − y² from within about 1e-6 of its "
        "ridge, against momentum at the same rate.",
        measure=descent.oscillation,
        **VALLEYS,
    ),
    Claim(
        name="momentum_overshoots",
        sentence="Momentum is faster but overshoots; Nesterov's look ahead overshoots less",
        source="Polyak (1964); Sutskever, Martens, Dahl and Hinton (2013)",
        experiment="From random points of valleys, one direction 20 to 100 times steeper: "
        "gradient descent at its fastest rate, momentum and Nesterov's momentum of 0.9 at the "
        "inverse of the steepest curvature. The claim wants momentum to run more than 10 % of its "
        "way beyond the minimum, Nesterov less far, and momentum to arrive first.",
        measure=descent.momentum,
        **VALLEYS,
    ),
    Claim(
        name="adagrad_slows_down",
        sentence="AdaGrad's steps get ever smaller, so that it falls behind RMSProp",
        source="Duchi, Hazan and Singer (2011); Tieleman and Hinton (2012)",
        experiment="One hidden layer trained with AdaGrad and RMSProp, each at the best of the "
        "same rates. Measured: the effective rate 1/√G of the median parameter from the first "
        "evaluation to the last, and the last training losses.",
        measure=optimizers.effective_rates,
        full=optimizers.Rules(dataset="mnist", train=5000, test=500, keys=6),
        quick=optimizers.Rules(keys=4, steps=120, evaluations=12, rates=(0.001, 0.01, 0.1)),
        tiny=optimizers.Rules(keys=2, train=100, steps=4, evaluations=2, rates=(0.01,)),
    ),
    Claim(
        name="decay_the_rate",
        sentence="Start with a large learning rate and let it decay: better than any constant rate",
        source="Robbins and Monro (1951); Loshchilov and Hutter, SGDR (2017)",
        experiment="SGD with momentum on two hidden layers over a grid of first rates, constant "
        "and decayed to zero as a cosine, for equally many steps. Each gets its best rate: by "
        "last training loss for the loss, by test accuracy for the accuracy.",
        measure=learning_rates.decay,
        **TUNING,
    ),
    Claim(
        name="adam_needs_no_tuning",
        sentence="Adam often works well even at its constant default rate",
        source="Kingma and Ba (2015)",
        experiment="A network of two hidden layers trained with Adam at 0.001 and at a grid of "
        "rates, each constant and decayed to zero as a cosine. The claim wants 0.001, constant, "
        "within 2 points of test accuracy of the best of both.",
        measure=learning_rates.adam_default,
        **TUNING,
    ),
    Claim(
        name="tuned_momentum_beats_adam",
        sentence="Well-tuned SGD with momentum beats Adam, but needs more tuning",
        source="Wilson et al., The marginal value of adaptive gradient methods (2017)",
        experiment="Two hidden layers; both methods over the same grid of rates, constant and "
        "with cosine decay, the best combination of each chosen on the test images. Tuning is "
        "counted as the width of the range of constant rates that come within 2 points of the "
        "best.",
        measure=learning_rates.momentum_against_adam,
        **TUNING,
    ),
    Claim(
        name="averaging_helps",
        sentence="Averaged parameters predict better than those of the last step",
        source="Polyak and Juditsky (1992)",
        experiment="SGD with momentum at a constant rate, and beside it an exponential average of "
        "its parameters (decay 0.98), both evaluated at the rate of the grid that is best for the "
        "last parameters.",
        measure=optimizers.averaging,
        full=learning_rates.Tuning(
            dataset="mnist", train=10_000, test=5000, keys=8, rates=(0.003, 0.01, 0.03, 0.1, 0.2)
        ),
        quick=replace(TUNING["quick"], rates=(0.01, 0.1, 0.3)),
        tiny=TUNING["tiny"],
    ),
    Claim(
        name="stale_gradients",
        sentence="Asynchronous SGD trains as well as serial SGD although its gradients are stale",
        source="Dean et al., Large scale distributed deep networks (2012)",
        experiment="One hidden layer; every gradient is applied τ updates after the parameters it "
        "was computed with, as by τ + 1 workers of equal speed. Equally many updates, each "
        "staleness at its best rate; the claim allows half a point of test accuracy.",
        measure=optimizers.staleness,
        full=optimizers.Stale(dataset="mnist", train=10_000, test=5000, keys=6),
        quick=optimizers.Stale(
            keys=3, steps=120, evaluations=4, staleness=(0, 15), rates=(0.03, 0.1, 0.3)
        ),
        tiny=optimizers.Stale(
            keys=2, train=100, steps=2, evaluations=1, staleness=(0, 1), rates=(0.1,), test=50
        ),
    ),
)
