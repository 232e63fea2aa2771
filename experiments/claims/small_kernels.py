"""Three 3×3 convolutions instead of one 7×7: cheaper, and as good?"""

from experiments.claims._small_convnets import Bodies, kernel_weights, receptive_field, train
from experiments.claims.framework import Claim, Outcome, at_least, below, effect, figures, within

LARGE, STACK = "7×7", "3×3 three times"


def measure(settings: Bodies) -> Outcome:
    runs, rows = {}, {}
    for body in (LARGE, STACK):
        runs[body], rows[body] = train(settings, body)
    accuracy = {body: runs[body].accuracy[rows[body]] for body in runs}
    weights = {body: kernel_weights(runs[body]) for body in runs}
    figure, (left, right) = figures.new(2)
    for color, body in zip(figures.COLORS, runs, strict=False):
        label = f"{body}, rate {settings.rates[rows[body]]:g}"
        curve = 100 * runs[body].test_accuracy[rows[body]]
        figures.band(left, runs[body].steps, curve, label, color)
    left.set(xlabel="step", ylabel="test accuracy, %", ylim=(0, None))
    left.legend(fontsize=9, loc="lower right")
    labels = [f"{body}\n{weights[body]:,} weights" for body in runs]
    figures.dots(right, labels, list(accuracy.values()))
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect(
                "test accuracy, three 3×3 minus one 7×7",
                accuracy[STACK] - accuracy[LARGE],
                at_least(-0.5),
                unit="points",
            ),
            effect(
                "weights, three 3×3 / one 7×7",
                weights[STACK] / weights[LARGE],
                below(1),
                unit="×",
                method="exact",
            ),
            effect(
                "receptive field, three 3×3 / one 7×7",
                receptive_field(STACK) / receptive_field(LARGE),
                within(1, 1),
                unit="×",
                method="exact",
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="A stack of 3×3 convolutions replaces a 7×7: fewer weights, and no less accurate",
    notes="L125, L233, L303",
    row="D01",
    experiment="A small network whose middle is one 7×7 convolution, or three 3×3 ones (each with "
    "batch norm and ReLU) with the same receptive field and width; momentum, each at the better of "
    "the same rates. The claim allows half a point of test accuracy.",
    measure=measure,
    full=Bodies(dataset="cifar10", train=5000, test=2000, keys=4, steps=160),
    quick=Bodies(keys=2, channels=8, rates=(0.1,), steps=40, evaluations=2),
    tiny=Bodies(keys=2, train=64, test=20, channels=4, rates=(0.1,), steps=1, evaluations=1),
)
