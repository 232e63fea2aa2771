"""Is max pooling with overlapping windows, 3 of stride 2, better than with 2 of stride 2?"""

from experiments.claims._augmentations import FULL, Augmented, Net, crops, train
from experiments.claims.framework import Claim, Outcome, above, effect, figures

WINDOWS = {"2/2": 2, "3/2": 3}


def measure(settings: Augmented) -> Outcome:
    runs = {
        name: train(settings, crops, model=Net((8, 16), pool=window))
        for name, window in WINDOWS.items()
    }
    accuracy = {name: run.accuracy for name, run in runs.items()}
    training = {name: 100 * run.train_accuracy[..., -1] for name, run in runs.items()}
    figure, (ax,) = figures.new(1)
    figures.dots(ax, [f"window/stride {name}" for name in accuracy], list(accuracy.values()))
    ax.set(xlabel="test accuracy, %")
    overfit = {name: training[name] - accuracy[name] for name in WINDOWS}
    return Outcome(
        effects=[
            effect(
                "test accuracy, windows 3/2 minus 2/2",
                accuracy["3/2"] - accuracy["2/2"],
                above(0),
                unit="points",
            ),
            effect(
                "training minus test accuracy, windows 3/2 minus 2/2",
                overfit["3/2"] - overfit["2/2"],
                unit="points",
            ),
        ],
        figure=figure,
    )


_QUICK = {"keys": 3, "sizes": (300,), "steps": 40, "evaluations": 1}

CLAIM = Claim(
    sentence="Overlapping max pooling classifies better than pooling without overlap",
    notes="L201",
    row="F04",
    experiment="Two convolutions, each followed by max pooling of stride 2 with windows of 3 or of "
    "2 pixels, are trained on 4,000 images of CIFAR-10 with crops and mirror images; the maps are "
    "of equal size, and first weights, batches and rate the same. AlexNet's gain was 0.4 points.",
    measure=measure,
    full=Augmented(**FULL | {"keys": 6}, sizes=(4000,), steps=320),
    quick=Augmented(**_QUICK),
    tiny=Augmented(**_QUICK | {"keys": 2, "steps": 2}),
)
