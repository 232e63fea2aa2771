"""Ensembles."""

from experiments.claims.measures import ensembles
from jaxnets.study.claims import Claim

CIFAR = {"dataset": "cifar10", "train": 4000, "test": 2000}

CLAIMS = (
    Claim(
        name="ensemble_gives_two_percent",
        sentence="The mean softmax of several networks gains about two points of accuracy",
        source="the course on ensembles; Dietterich (2000)",
        experiment="Five fully connected networks from different keys on the same few thousand "
        "images; the accuracy of their mean softmax minus the mean of their own accuracies. It "
        "fails where the gain is not between one and three points; gains depend on how often one "
        "network is wrong.",
        measure=ensembles.several_networks,
        full=ensembles.Committee(**CIFAR, keys=6, steps=600, rate=0.01),
        quick=ensembles.Committee(keys=4, members=4, steps=100, train=400),
        tiny=ensembles.Committee(keys=2, members=2, steps=4, train=100, test=50),
    ),
    Claim(
        name="checkpoint_ensemble_helps",
        sentence="An ensemble of the last checkpoints of one run is better than the last one",
        source="Xie, Xu and Chuang, Horizontal and vertical ensemble (2013)",
        experiment="A fully connected network is trained with a constant rate and with one that "
        "falls to 0; the mean softmax of checkpoints a twentieth of the run apart is compared "
        "with the last checkpoint alone. It fails where the mean gains nothing.",
        measure=ensembles.last_checkpoints,
        full=ensembles.Checkpoints(**CIFAR, keys=10, rate=0.01),
        quick=ensembles.Checkpoints(keys=4, steps=160, evaluations=16, train=300),
        tiny=ensembles.Checkpoints(keys=2, steps=8, evaluations=8, last=3, train=100, test=50),
    ),
    Claim(
        name="snapshots_beat_the_best",
        sentence="A rate that rises again and again gives snapshots whose ensemble beats the best "
        "one",
        source="Huang et al., Snapshot ensembles (2017)",
        experiment="One run of five cosine cycles, a snapshot at the end of each; their mean "
        "softmax against the best single snapshot and against one run of the same length with a "
        "single half cosine, each schedule at the best of the same rates. It fails where the mean "
        "is no better.",
        measure=ensembles.snapshots,
        full=ensembles.Cycles(**CIFAR, keys=6, rates=(0.01, 0.03, 0.1)),
        quick=ensembles.Cycles(keys=4, steps=150, train=300, rates=(0.03, 0.1)),
        tiny=ensembles.Cycles(keys=2, steps=6, cycles=2, rates=(0.1,), train=100, test=50),
    ),
)
