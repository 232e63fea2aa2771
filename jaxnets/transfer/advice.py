"""What to train when the network comes from elsewhere: the notes' table of four cells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import numpy as np

from jaxnets.optim.trees import check_count, check_number
from jaxnets.transfer.probe import compute_features, cross_validate, head_inputs

Strategy = Literal["linear_probe", "probe_stages", "fine_tune_top", "fine_tune_most"]

# The notes give no numbers: the two borders are a choice, which the arguments can change. The
# second lies between what experiments/transfer.py measured for similar data, 0.17, and for
# different, 0.
SMALL_PER_CLASS = 100
SIMILAR_ABOVE = 0.1


@dataclass(frozen=True)
class Advice:
    """One cell of the table.

    Attributes:
        strategy: "linear_probe": a new linear classifier on frozen features; "fine_tune_top": the
            last layers as well; "fine_tune_most": most or all layers; "probe_stages": trouble, try
            linear classifiers on earlier stages.
        small, similar: the cell.
        trained_share: about which share of the layers to train, counted from the end.
        rate_factor: of the learning rate that training from scratch would have.
        why: in words.
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
    """What the notes' 2×2 table says about a data set.

    ===========  =============================  =========================================
    ..           similar to the donor's data    different
    ===========  =============================  =========================================
    small        only the linear classifier     trouble: classifiers on several stages
    large        fine-tune a few layers more    fine-tune many more layers
    ===========  =============================  =========================================

    Args:
        dataset_size: training examples.
        similarity: "similar", "different", or a number as `measure_similarity` gives it, 1 for a
            donor whose features separate the classes perfectly, 0 for one that is of no help.
        num_classes: K.
        small_below: a set is small with fewer examples (default: 100 for each class; the notes
            draw no line).
        similar_above: a number above this is "similar".

    Raises:
        ValueError: arguments out of range.

    Source: notes L166-168. `experiments/transfer.py` measures what becomes of the advice.

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
    strategy, share, factor, why = _CELLS[small, similar]
    return Advice(strategy, small, similar, share, factor, f"{why} ({size}; {measured}.)")


_CELLS: dict[tuple[bool, bool], tuple[Strategy, float, float, str]] = {
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
        "heavy augmentation, or a donor closer to the data; compare with training from scratch.",
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
        "enough examples to make new ones; the donor is a good start all the same.",
    ),
}


def measure_similarity(
    key: jax.Array,
    model: nn.Module,
    variables: Mapping[str, Any],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    preprocess: Callable[[jax.Array], jax.Array] = lambda x: x,
    num_classes: int | None = None,
    folds: int = 4,
    l2: float = 1e-2,
) -> dict[str, float]:
    """How much of the way to perfect the donor's features go, beyond features that know nothing.

    .. math:: s = \\max(0, \\frac{a_{donor} − a_0}{1 − a_0}), \\quad
        a_0 = \\max(a_{pixels}, a_{random})

    with a the cross-validated accuracy of linear probes: on the donor's features, on the pixels,
    and on the features of the same network with random weights.

    Args:
        key: of the random network and the folds.
        model, variables: the donor; its head must be one Dense layer.
        images, labels: of the new task, (N, H, W, C) as stored and (N,).
        preprocess: images as stored → images as the donor wants them.
        num_classes: K (default: largest label + 1).
        folds: each is tested once, by a probe fitted on the others; at least 2.
        l2: of the probes.

    Returns:
        ``{"similarity", "donor", "random", "pixels"}``.

    Raises:
        ValueError: fewer than 2 folds or fewer examples than folds.
    """
    labels = np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(f"images and labels must be as many, got {len(images)} and {len(labels)}")
    num_classes = num_classes or int(labels.max()) + 1
    init_key, fold_key = jax.random.split(key)
    example = preprocess(np.asarray(images[:1]))
    random = jax.jit(lambda k: model.init({"params": k, "dropout": k}, example, train=False))(
        init_key
    )
    seed = int(jax.random.randint(fold_key, (), 0, 2**31 - 1))

    def last_features(variables, x):
        return head_inputs(model, variables, preprocess(x))

    def pixels(_, x):
        return preprocess(x).reshape(len(x), -1)

    sources = {
        "donor": (last_features, variables),
        "random": (last_features, random),
        "pixels": (pixels, None),
    }
    out = {}
    for name, (feature_fn, arrays) in sources.items():
        x = compute_features(feature_fn, arrays, np.asarray(images))
        out[name] = cross_validate(x, labels, num_classes, folds=folds, seed=seed, l2=l2)
    base = max(out["random"], out["pixels"])
    gain = (out["donor"] - base) / max(1 - base, 1e-9)
    return {"similarity": float(np.clip(gain, 0, 1)), **out}
