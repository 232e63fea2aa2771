"""Transfer learning."""

from experiments.claims.measures import transfer
from jaxnets.study.claims import Claim

CLAIMS = (
    Claim(
        name="small_similar_probe",
        sentence="With a small set of similar data, train only the linear classifier",
        source="Sharif Razavian et al., CNN features off-the-shelf (2014)",
        experiment="Networks learn half of the classes; a few examples of the other half are "
        "learned by a linear classifier on the last hidden layer (L-BFGS), or by fine-tuning all "
        "layers at the best of a grid of rates. It fails where fine-tuning is more accurate.",
        measure=transfer.small_and_similar,
        full=transfer.SmallSimilar(dataset="mnist", train=10_000, test=2000, keys=8),
        quick=transfer.SmallSimilar(
            keys=3, sizes=(5, 20), rates=(0.01, 0.1), source_steps=100, steps=60
        ),
        tiny=transfer.SmallSimilar(
            keys=2, sizes=(2, 3), rates=(0.1,), width=8, source_steps=10, steps=4
        ),
    ),
    Claim(
        name="small_different_is_trouble",
        sentence="With a small set of different data, a pretrained network leaves one in trouble",
        source="Yosinski, Clune, Bengio and Lipson (2014), section 4.2",
        experiment="As for similar data, but the new images have their pixels in one fixed random "
        "order, which changes nothing for a network from scratch. In trouble means: transfer, the "
        "better of linear classifier and fine-tuning, is worse than for similar data, and at most "
        "one point better than training from scratch at the best of the same rates.",
        measure=transfer.small_and_different,
        full=transfer.SmallDifferent(dataset="mnist", train=10_000, test=2000, keys=8),
        quick=transfer.SmallDifferent(keys=3, rates=(0.01, 0.1), source_steps=100, steps=60),
        tiny=transfer.SmallDifferent(
            keys=2, per_class=3, rates=(0.1,), width=8, source_steps=10, steps=4
        ),
    ),
    Claim(
        name="first_layers_are_general",
        sentence="The first layers of a network are general, the last ones specific to its task",
        source="Yosinski, Clune, Bengio and Lipson (2014), section 4.1",
        experiment="Networks of fully connected layers are trained on half of the classes (A) and "
        "on the other half (B); their first n layers are copied and frozen, and new layers behind "
        "them are trained on B. It fails where the layers from A are as good at the last layer as "
        "at the first, or as good there as those from B.",
        measure=transfer.layers_by_depth,
        full=transfer.Halves(dataset="mnist", train=10_000, test=2000, keys=8),
        quick=transfer.Halves(keys=3, depth=3, per_class=60, steps=100),
        tiny=transfer.Halves(keys=2, depth=2, width=8, per_class=5, steps=10),
    ),
)
