"""Does a penalty on confident predictions generalize better?"""

from experiments.claims._smoothing import QUICK, TINY, Smoothing, examined, penalized
from experiments.claims.framework import Claim, Outcome, above, below, effect, figures
from jaxnets.losses import cross_entropy


def measure(settings: Smoothing) -> Outcome:
    data = settings.data()
    found = {
        name: examined(settings, data, loss)
        for name, loss in (("with penalty", penalized), ("without", cross_entropy))
    }
    (runs, penalty), (_, plain) = found.values()
    figure, (left, right) = figures.new(2)
    for color, (name, (runs, _)) in zip(figures.COLORS, found.items(), strict=False):
        figures.band(left, runs.steps, runs.test_loss, name, color)
    left.set(xlabel="step", ylabel="cross entropy on test images", ylim=(0, None))
    left.legend(fontsize=9)
    figures.dots(right, list(found), [f["accuracy"] for _, f in found.values()])
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect(
                "test accuracy, with penalty minus without",
                penalty["accuracy"] - plain["accuracy"],
                above(0),
                unit="points",
            ),
            effect(
                "test cross entropy, with / without",
                penalty["loss"] / plain["loss"],
                below(1),
                unit="×",
                method="log",
            ),
        ],
        figure=figure,
        remarks=[
            f"{name}: calibration error {f['ece'].mean():.2f} %, accuracy "
            f"{f['accuracy'].mean():.2f} %."
            for name, (_, f) in found.items()
        ],
    )


CLAIM = Claim(
    sentence="A penalty on confident predictions improves a network that learns a small set",
    notes="L329",
    row="F28",
    experiment="The same networks with and without the confidence penalty of 0.3 learn few images "
    "by heart; accuracy and cross entropy on test images are compared. Same first weights and "
    "batches for both.",
    measure=measure,
    full=Smoothing(dataset="mnist", train=500, test=2000, keys=8),
    quick=Smoothing(**QUICK),
    tiny=Smoothing(**TINY),
)
