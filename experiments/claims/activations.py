"""Activations: how fast networks learn with them, and what they do to gradients and units."""

from experiments.claims.measures import activations
from jaxnets.study.claims import Claim

CLAIMS = (
    Claim(
        name="relu_is_fast",
        sentence="ReLU trains faster than tanh, and sigmoid is the slowest of all",
        source="Krizhevsky, Sutskever and Hinton (2012), section 3.1 and figure 1",
        experiment="Three convolutions with stride 2 and each of seven activations, momentum 0.9, "
        "each at the fastest of the same rates: 240 steps of one key leave two of them, which run "
        "with all keys. Counted are the steps until the training error on 5,000 images of CIFAR-10 "
        "falls to 25 %, where a run ends. AlexNet's figure 1 found ReLU six times faster than tanh "
        "in a network of four convolutions. Same batches for all.",
        measure=activations.race,
        full=activations.Race(
            dataset="cifar10",
            train=5000,
            test=100,
            keys=4,
            kind="convolutional",
            widths=(32, 32, 64),
            rates=(0.003, 0.01, 0.03, 0.1),
            steps=1200,
            evaluations=40,
        ),
        minutes=14,
        quick=activations.Race(
            activations=("ReLU", "tanh", "sigmoid"), keys=3, steps=80, evaluations=16
        ),
        tiny=activations.Race(
            activations=("ReLU", "tanh", "sigmoid"),
            keys=2,
            train=100,
            steps=2,
            rates=(0.1,),
            evaluations=1,
        ),
    ),
    Claim(
        name="sigmoid_kills_gradients",
        sentence="Sigmoids make the gradient vanish in a deep network, ReLUs do not",
        source="Glorot and Bengio (2010)",
        experiment="The gradient of the loss at the start, by layer, in a plain network of ten "
        "hidden layers (Xavier's weights for sigmoid and tanh, He's for ReLU). The claim wants "
        "less than a hundredth of the last layer's gradient to reach the first behind sigmoids, "
        "and more than a tenth behind ReLUs.",
        measure=activations.vanishing,
        full=activations.Depth(dataset="mnist", train=1000, test=10, keys=20),
        quick=activations.Depth(keys=5),
        tiny=activations.Depth(keys=2, width=16, depth=3, examples=20),
    ),
    Claim(
        name="sigmoid_zigzags",
        sentence="Behind sigmoids all weights of a unit are pushed in the same direction (zig-zag)",
        source="LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), section 4.3",
        experiment="Two hidden layers of 32 sigmoid or tanh units; counted while they learn: the "
        "units of the second layer whose weights all have gradients of one sign, for single "
        "examples and for a mini-batch. The claim wants them all for single examples, most for a "
        "batch, and not so behind tanh, whose outputs have both signs.",
        measure=activations.zigzag,
        full=activations.Watch(dataset="mnist", train=5000, test=500, keys=8),
        quick=activations.Watch(keys=3, steps=100, evaluations=5, singles=20),
        tiny=activations.Watch(keys=2, train=100, steps=2, evaluations=1, singles=4),
    ),
    Claim(
        name="high_rates_kill_relus",
        sentence="Too large a learning rate kills ReLU units, so mind the rate",
        source="Lu, Shin, Su and Karniadakis, Dying ReLU and initialization (2019)",
        experiment="Two hidden layers of 64 ReLUs trained with SGD over a ladder of rates; a unit "
        "is dead if no training image brings it above zero (all are in a run that diverged to "
        "NaN). The claim wants the share to rise with the rate, by more than 10 points over the "
        "ladder.",
        measure=activations.dead_units,
        full=activations.Ladder(dataset="mnist", train=5000, test=1000, keys=8),
        quick=activations.Ladder(keys=4, steps=100, evaluations=1, rates=(0.01, 0.1, 0.5, 2.0)),
        tiny=activations.Ladder(keys=2, train=100, steps=2, evaluations=1, rates=(0.1, 1.0)),
    ),
)
