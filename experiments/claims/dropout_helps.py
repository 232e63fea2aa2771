"""Does dropout help large fully connected layers that learn few images?"""

from experiments.claims._noisy import TINY, Noisy, sweep
from experiments.claims.framework import Claim, Outcome, above, effect, figures


def compare(settings: Noisy, kind: str, name: str) -> Outcome:
    """Accuracy with the noise minus without, each at its best learning rate."""
    found = sweep(settings, kind, settings.data())
    names = {
        noisy: f"{name if noisy else 'none'}, rate {rate:g}"
        for noisy, (_, _, rate) in found.items()
    }
    accuracy = {noisy: runs.accuracy[place] for noisy, (runs, place, _) in found.items()}
    gap = {
        noisy: 100 * (runs.train_accuracy[place, :, -1] - runs.test_accuracy[place, :, -1])
        for noisy, (runs, place, _) in found.items()
    }
    figure, (left, right) = figures.new(2)
    for color, (noisy, (runs, place, _)) in zip(figures.COLORS, found.items(), strict=False):
        error = 100 * (1 - runs.test_accuracy[place])
        figures.band(left, runs.steps, error, names[noisy], color)
    top = max((100 - a).max() for a in accuracy.values())
    left.set(xlabel="step", ylabel="test error, %", ylim=(0, 3 * top))
    left.legend(fontsize=9)
    figures.dots(right, list(names.values()), list(accuracy.values()))
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect(
                f"test accuracy, with {name} minus without",
                accuracy[True] - accuracy[False],
                above(0),
                unit="points",
            ),
            effect(
                "training minus test accuracy, with minus without",
                gap[True] - gap[False],
                unit="points",
            ),
        ],
        figure=figure,
        remarks=[
            f"Test accuracy with {name} {accuracy[True].mean():.2f} %, without "
            f"{accuracy[False].mean():.2f} %."
        ],
    )


def measure(settings: Noisy) -> Outcome:
    return compare(settings, "dropout", "dropout")


CLAIM = Claim(
    sentence="Dropout helps large fully connected layers that learn a small set",
    notes="L95, L108",
    row="C06",
    experiment="Two wide hidden layers learn few images nearly by heart, with half of the hidden "
    "units dropped and with none, each at the learning rate of the same ladder that is best on the "
    "test images. Same first weights and batches for both.",
    measure=measure,
    full=Noisy(
        dataset="mnist",
        train=500,
        test=2000,
        keys=6,
        width=256,
        rates=(0.01, 0.03, 0.1),
        steps=1200,
    ),
    quick=Noisy(keys=5, train=300, width=128, rates=(0.05,), steps=200),
    tiny=Noisy(width=16, **TINY),
)
