"""1×1 convolutions that narrow before a 3×3 and widen after it: what they save, what they cost."""

from experiments.claims._small_convnets import Bodies, macs, train
from experiments.claims.framework import Claim, Outcome, above, at_least, effect, figures

PLAIN, NARROW = "3×3 twice", "bottleneck"


def measure(settings: Bodies) -> Outcome:
    runs, rows = {}, {}
    for body in (PLAIN, NARROW):
        runs[body], rows[body] = train(settings, body)
    accuracy = {body: runs[body].accuracy[rows[body]] for body in runs}
    work = {body: macs(settings, body) for body in runs}
    figure, (left, right) = figures.new(2)
    for color, body in zip(figures.COLORS, runs, strict=False):
        label = f"{body}, rate {settings.rates[rows[body]]:g}"
        curve = 100 * runs[body].test_accuracy[rows[body]]
        figures.band(left, runs[body].steps, curve, label, color)
    left.set(xlabel="step", ylabel="test accuracy, %", ylim=(0, None))
    left.legend(fontsize=9, loc="lower right")
    labels = [f"{body}\n{work[body] / 1e6:.2f} M MACs" for body in runs]
    figures.dots(right, labels, list(accuracy.values()))
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect(
                "multiply-accumulates, two 3×3 / bottleneck",
                work[PLAIN] / work[NARROW],
                above(1),
                unit="×",
                method="exact",
            ),
            effect(
                "test accuracy, bottleneck minus two 3×3",
                accuracy[NARROW] - accuracy[PLAIN],
                at_least(-0.5),
                unit="points",
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="1×1 bottlenecks save computation without costing accuracy",
    notes="L126, L276-L279",
    row="D02",
    experiment="A small network whose middle is two 3×3 convolutions, or a 1×1 to a quarter of "
    "the channels, a 3×3 there, and a 1×1 back; momentum, each at the better of the same rates. "
    "The claim allows half a point of test accuracy.",
    measure=measure,
    full=Bodies(dataset="cifar10", train=5000, test=2000, keys=4, channels=32, steps=120),
    quick=Bodies(keys=2, channels=8, rates=(0.1,), steps=40, evaluations=2),
    tiny=Bodies(keys=2, train=64, test=20, channels=4, rates=(0.1,), steps=1, evaluations=1),
)
