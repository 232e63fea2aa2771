"""What to train of a pretrained network: advice by the size of the new data and its similarity."""

from dataclasses import dataclass
from typing import Literal

from jaxnets.optim.trees import check_count, check_number

Strategy = Literal["linear_probe", "probe_stages", "fine_tune_top", "fine_tune_most"]

# The literature draws no line: the two borders are a choice, which the arguments can change. The
# second lies between what `experiments.transfer.transfer_strategies` measured for similar data,
# 0.17, and for different, 0.
SMALL_PER_CLASS = 100
SIMILAR_ABOVE = 0.1


@dataclass(frozen=True)
class Advice:
    """What `advise` says.

    Attributes:
        strategy: "linear_probe": a new linear classifier on frozen features; "fine_tune_top": the
            last layers as well; "fine_tune_most": most or all layers; "probe_stages": trouble, try
            linear classifiers on earlier stages.
        small, similar: the case.
        trained_share: about which share of the layers to train, counted from the end.
        rate_factor: of the learning rate that training from scratch would have.
        why: in words.

    >>> advise(50_000, "similar").trained_share
    0.4
    """

    strategy: Strategy
    small: bool
    similar: bool
    trained_share: float
    rate_factor: float
    why: str


def advise(
    dataset_size: int,
    similarity: float | Literal["similar", "different"],
    *,
    num_classes: int = 10,
    small_below: int | None = None,
    similar_above: float = SIMILAR_ABOVE,
) -> Advice:
    """What to train, by how large the new data set is and how similar to the pretraining data.

    ===========  =============================  =========================================
    ..           similar                        different
    ===========  =============================  =========================================
    small        only the linear classifier     trouble: classifiers on several stages
    large        fine-tune a few layers more    fine-tune many more layers
    ===========  =============================  =========================================

    Args:
        dataset_size: training examples.
        similarity: "similar", "different", or a number as `measure_similarity` gives it, 1 where
            the pretrained features separate the classes perfectly, 0 where they are of no help.
        num_classes: K.
        small_below: a set is small with fewer examples (default: 100 for each class).
        similar_above: a number above this is "similar".

    Returns:
        The `Advice`.

    Raises:
        ValueError: arguments out of range.

    Source: Karpathy et al., CS231n course notes, "Transfer learning".
    `experiments.transfer.transfer_strategies` measures what becomes of the advice.

    >>> advise(200, "similar").strategy
    'linear_probe'
    >>> advise(50_000, 0.1).strategy
    'fine_tune_most'
    """
    check_count("dataset_size", dataset_size, low=1)
    check_count("num_classes", num_classes, low=2)
    check_number("similar_above", similar_above, low=0, high=1)
    border = SMALL_PER_CLASS * num_classes if small_below is None else small_below
    check_count("small_below", border, low=1)
    if similarity in ("similar", "different"):
        similar, measured = similarity == "similar", f"data said to be {similarity}"
    elif isinstance(similarity, str):
        raise ValueError(
            f"similarity must be 'similar', 'different' or a number in [0, 1], got {similarity!r}"
        )
    else:
        check_number("similarity", similarity, low=0, high=1)
        similar = float(similarity) > similar_above
        measured = f"measured similarity {float(similarity):.2f}, border {similar_above:.2f}"
    small = dataset_size < border
    size = f"{dataset_size:,} examples, {'fewer than' if small else 'not fewer than'} {border:,}"
    strategy, share, factor, why = _TABLE[small, similar]
    return Advice(strategy, small, similar, share, factor, f"{why} ({size}; {measured}.)")


_TABLE: dict[tuple[bool, bool], tuple[Strategy, float, float, str]] = {
    (True, True): (
        "linear_probe",
        0.0,
        0.0,
        "Train only a linear classifier on the frozen features: they fit the new classes already, "
        "and few examples would overfit more parameters.",
    ),
    (True, False): (
        "probe_stages",
        0.0,
        0.0,
        "Trouble: the late features are made for other data, and there are too few examples to "
        "make new ones. Try linear classifiers on earlier stages, whose features are more general, "
        "heavy augmentation, or a network pretrained on closer data; compare with training from "
        "scratch.",
    ),
    (False, True): (
        "fine_tune_top",
        0.4,
        0.1,
        "Fine-tune the last layers at a tenth of the usual rate: the features are near what is "
        "needed, and there are enough examples to adapt them without overfitting.",
    ),
    (False, False): (
        "fine_tune_most",
        1.0,
        0.3,
        "Fine-tune most layers, or all: the late features are made for other data, and there are "
        "enough examples to make new ones; the pretrained weights are a good start all the same.",
    ),
}
