"""Regularization: penalties, early stopping, dropout, label smoothing."""

from experiments.claims.measures import dropout, label_smoothing, penalties, teachers
from experiments.claims.measures.smoothed_networks import Smoothing
from jaxnets.study.claims import Claim

SMALL = {"dataset": "mnist", "train": 500, "test": 2000}
TINY = {
    **{"keys": 2, "train": 100, "test": 100, "width": 16, "rates": (0.05,)},
    **{"steps": 4, "evaluations": 2},
}
SMOOTHING = {
    "quick": Smoothing(keys=5, train=300, width=64, rates=(0.02,), steps=200),
    "tiny": Smoothing(**TINY),
}
CIFAR = {
    **{"dataset": "cifar10", "train": 4000, "test": 2000, "keys": 4},
    **{"widths": (16, 32, 64), "blocks": 1, "rates": (0.1,)},
    **{"steps": 400, "batch_size": 128, "evaluations": 1},
}
RESIDUAL = (
    "Networks like ResNet-20, with one block in each stage instead of three, learn 4,000 images of "
    "CIFAR-10 (13 passes, mirror images but no crops, so that they fit them as networks do that "
    "are trained for long; the rate falls from 0.1 to zero)"
)

CLAIMS = (
    Claim(
        name="l2_helps",
        sentence="An L2 penalty on the weights helps a network that learns a small set",
        source="Krogh and Hertz (1992)",
        experiment="Networks learn few images with several strengths of λ/2‖w‖². The strength is "
        "chosen on one half of the test images and compared with none on the other half. Same "
        "first weights, batches and learning rate for all.",
        measure=penalties.l2,
        full=penalties.Decays(dataset="mnist", train=500, test=4000, keys=6, width=96, steps=600),
        quick=penalties.Decays(keys=4, train=300, width=48, steps=200, decays=(0.0, 1e-3, 1e-2)),
        tiny=penalties.Decays(decays=(0.0, 1e-2), **TINY),
    ),
    Claim(
        name="confidence_penalty_helps",
        sentence="A penalty on confident predictions improves a network that learns a small set",
        source="Pereyra et al. (2017)",
        experiment="The same networks with and without the confidence penalty of 0.3 overfit few "
        "images; accuracy and cross entropy on test images are compared. Same first weights and "
        "batches for both.",
        measure=penalties.confidence,
        full=Smoothing(**SMALL, keys=8),
        **SMOOTHING,
    ),
    Claim(
        name="stop_early",
        sentence="Always stop early: the parameters of the least validation loss are the better "
        "ones",
        source="Prechelt, Early stopping: but when? (1998)",
        experiment="A fully connected network is trained far beyond the least validation loss, on "
        "right and on partly wrong labels. The parameters that early stopping goes back to are "
        "compared on the test images with those of the end. It fails where the end is clearly "
        "more accurate or has no larger loss.",
        measure=penalties.early_stopping,
        full=penalties.Stop(dataset="mnist", train=2000, test=2000, keys=8),
        quick=penalties.Stop(keys=3, steps=200, evaluations=20, train=400, rate=0.1),
        tiny=penalties.Stop(keys=2, steps=4, evaluations=4, train=100, test=50),
    ),
    Claim(
        name="dropout_helps",
        sentence="Dropout helps large fully connected layers that learn a small set",
        source="Srivastava et al. (2014)",
        experiment="Two wide hidden layers fit few images almost perfectly, with half of the "
        "hidden units dropped and with none, each at the learning rate of the same ladder that is "
        "best on the test images. Same first weights and batches for both.",
        measure=dropout.with_and_without,
        full=dropout.Noisy(**SMALL, keys=6, width=256, rates=(0.01, 0.03, 0.1), steps=1200),
        quick=dropout.Noisy(keys=5, train=300, width=128, rates=(0.05,), steps=200),
        tiny=dropout.Noisy(**TINY),
    ),
    Claim(
        name="drop_connect_helps",
        sentence="DropConnect helps fully connected layers that learn a small set",
        source="Wan et al. (2013)",
        experiment="Half of the weights of the second of two hidden layers are dropped, for each "
        "example anew, or none, each at the learning rate of the same ladder that is best on the "
        "test images; tested by the Gaussian moments. Same first weights and batches for both.",
        measure=dropout.with_and_without,
        full=dropout.Noisy(
            kind="drop_connect", keys=8, train=200, width=96, rates=(0.02, 0.05), steps=300
        ),
        quick=dropout.Noisy(
            kind="drop_connect", keys=3, train=200, width=48, rates=(0.05,), steps=100
        ),
        tiny=dropout.Noisy(kind="drop_connect", **TINY),
    ),
    Claim(
        name="dropout_is_an_ensemble",
        sentence="Dropout acts like an ensemble of sub-networks, and scaled weights are as good "
        "as their average",
        source="Srivastava et al. (2014), section 7.5",
        experiment="A network trained with dropout of one half is tested with single random "
        "masks, with the average of many masks' softmaxes, and with all units at once. It fails "
        "if the average is no better than one mask, or weight scaling differs from it by half a "
        "point.",
        measure=dropout.masks_as_an_ensemble,
        full=dropout.Masks(
            dataset="mnist", train=1000, test=1000, keys=6, width=128, rates=(0.05,), steps=500
        ),
        quick=dropout.Masks(keys=4, train=500, rates=(0.05,), steps=160, masks=30, width=64),
        tiny=dropout.Masks(masks=3, **TINY),
    ),
    Claim(
        name="label_smoothing_calibrates",
        sentence="Label smoothing calibrates a network: the error of its confidence falls",
        source="Müller, Kornblith and Hinton (2019), section 3",
        experiment=f"{RESIDUAL} with and without label smoothing of 0.1; the expected calibration "
        "error (15 bins) on test images is compared. It fails if smoothing makes predictions so "
        "cautious that the error is as large the other way round.",
        measure=label_smoothing.calibration,
        full=Smoothing(**CIFAR),
        minutes=12,
        **SMOOTHING,
    ),
    Claim(
        name="label_smoothing_tightens",
        sentence="Label smoothing pulls the classes into tighter clusters of the last hidden layer",
        source="Müller, Kornblith and Hinton (2019), section 2",
        experiment="The same networks with and without label smoothing of 0.1; on test images the "
        "variance of the last hidden layer within classes is set against that between them. The "
        "picture shows it projected on the plane through the templates of three classes.",
        measure=label_smoothing.clusters,
        full=Smoothing(**CIFAR),
        minutes=1,
        **SMOOTHING,
    ),
    Claim(
        name="label_smoothing_spoils_teachers",
        sentence="A teacher trained with label smoothing distils worse",
        source="Müller, Kornblith and Hinton (2019), section 4",
        experiment="The same networks, trained with and without label smoothing of 0.1, teach "
        "residual networks of eight layers and half the width, of the same first weights and "
        "batches, by their predictions for the training images and their mirror images, softened "
        "at temperature 2. It fails if the students of the smoothed teachers are as good.",
        measure=teachers.distillation,
        full=teachers.Distillation(**CIFAR, student_rates=(0.1,)),
        minutes=8,
        quick=teachers.Distillation(
            keys=4, rates=(0.02,), student_rates=(0.005,), train=300, width=64, student=8, steps=200
        ),
        tiny=teachers.Distillation(student=8, student_rates=(0.005,), **TINY),
    ),
)
