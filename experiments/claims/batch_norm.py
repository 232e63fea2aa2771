"""Batch normalization."""

from experiments.claims.measures import batch_norm
from jaxnets.study.claims import Claim

CIFAR = {
    **{"dataset": "cifar10", "train": 5000, "test": 1000},
    **{"kind": "convolutional", "widths": (32, 32, 64), "keys": 4},
}
QUICK = {"keys": 3, "train": 500, "steps": 120, "evaluations": 20}
LADDER = (0.05, 0.2, 0.8, 3.2, 12.8)
TINY = {"keys": 2, "train": 100, "steps": 4, "evaluations": 2}

CLAIMS = (
    Claim(
        name="bn_speeds_training",
        sentence="Batch normalization speeds up convergence",
        source="Ioffe and Szegedy (2015), section 4.2",
        experiment="Three convolutions with stride 2 on CIFAR-10, with and without batch "
        "normalization, plain SGD, each at the fastest of the same ladder of rates: 80 steps of "
        "one key leave two of them, which run with all keys. Counted are the steps to a training "
        "loss of 1, measured in evaluation mode.",
        measure=batch_norm.speed,
        full=batch_norm.Race(
            **{**CIFAR, "test": 100}, rates=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8), target=1.0
        ),
        minutes=3,
        quick=batch_norm.Race(rates=LADDER, **QUICK),
        tiny=batch_norm.Race(rates=(0.1, 1.0), **TINY),
    ),
    Claim(
        name="bn_allows_high_rates",
        sentence="Batch normalization allows learning rates at least five times larger",
        source="Ioffe and Szegedy (2015), section 3.3",
        experiment="The same three convolutions with and without batch normalization, plain SGD "
        "up a ladder of rates, until one of them trains with no key; a rate trains if the training "
        "loss after 200 steps is below that of guessing (ln 10), as it must be for all smaller "
        "rates.",
        measure=batch_norm.largest_rates,
        full=batch_norm.Sweep(**{**CIFAR, "test": 100}, steps=200, evaluations=4),
        minutes=3,
        quick=batch_norm.Sweep(rates=LADDER, **QUICK),
        tiny=batch_norm.Sweep(rates=(0.1, 1.0), **TINY),
    ),
    Claim(
        name="bn_forgives_initialization",
        sentence="With batch normalization the scale of the initial weights hardly matters",
        source="Ioffe and Szegedy (2015), section 3.3",
        experiment="He's initial weights of all hidden layers times 0.1 to 10, one learning rate, "
        "with and without batch normalization. The claim wants the last training loss to change "
        "by less than 10 % with it, and by more without, and with it no loss of a point of test "
        "accuracy.",
        measure=batch_norm.initial_scales,
        full=batch_norm.Sweep(
            **CIFAR,
            rates=(0.1,),
            scales=(0.1, 0.3, 1.0, 3.0, 10.0),
            steps=500,
            evaluations=2,
        ),
        minutes=5,
        quick=batch_norm.Sweep(rates=(0.1,), scales=(0.1, 0.3, 1.0, 3.0, 10.0), **QUICK),
        tiny=batch_norm.Sweep(rates=(0.1,), scales=(0.5, 1.0), **TINY),
    ),
    Claim(
        name="bn_regularizes",
        sentence="Batch normalization regularizes: it generalizes better from few images",
        source="Ioffe and Szegedy (2015), section 3.4",
        experiment="Few training images, so that both networks fit them almost perfectly; with "
        "and without batch normalization, each at the rate of the same ladder that is best on the "
        "test images.",
        measure=batch_norm.generalization,
        full=batch_norm.Sweep(
            dataset="mnist",
            train=500,
            test=5000,
            keys=10,
            rates=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
            steps=400,
            evaluations=20,
        ),
        quick=batch_norm.Sweep(rates=LADDER, **QUICK),
        tiny=batch_norm.Sweep(rates=(0.1, 1.0), **TINY),
    ),
)
