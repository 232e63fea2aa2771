"""What a claim is: a sentence, settings, and how it is measured; a value."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optax
from flax import linen as nn

from jaxnets.study.data import Data, load
from jaxnets.study.effects import Effect, combine
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import Runs, train_many

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every claim has; a claim's own class adds its fields (all of them JSON values).

    Attributes:
        keys: random keys, each with its own initial weights and order of batches.
        dataset: whose images; digits where it is not prepared.
        train: how many to train on, equally many of each class (default: all).
        test: how many to test on, equally many of each class (default: all).
        data_dir: where prepared TFDS datasets lie; filled in by the runner.
    """

    keys: int = 10
    dataset: str = "digits"
    train: int | None = None
    test: int | None = None
    data_dir: Path | None = None

    def data(self) -> Data:
        """The standardized images."""
        return load(self.dataset, train=self.train, test=self.test, data_dir=self.data_dir)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """Settings of a claim that trains small networks.

    Attributes:
        steps: updates of each run.
        batch_size: examples a step.
        evaluations: of each run, after the one at its start.
    """

    steps: int = 400
    batch_size: int = 64
    evaluations: int = 10

    def runs(
        self,
        model: nn.Module,
        rule: Callable[[Any], optax.GradientTransformation],
        values: Any,
        *,
        data: Data | None = None,
        **options: Any,
    ) -> Runs:
        """`train_many` with these settings.

        Args:
            model: a linen network with a ``train`` keyword.
            rule: value → Optax transformation.
            values: of the setting that is swept over.
            data: to train on (default: `data`).
            options: further ones of `train_many`, or other values than these settings'.
        """
        usual = {
            "keys": make_keys(self.keys),
            "steps": self.steps,
            "batch_size": self.batch_size,
            "evaluations": self.evaluations,
        }
        return train_many(model, rule, values, data or self.data(), **{**usual, **options})


@dataclass(frozen=True)
class Outcome:
    """What an experiment found.

    Attributes:
        effects: the first is the one in the page's summary. At least one has a claimed region.
        figure: a Matplotlib figure, made by `jaxnets.study.new_figure`.
        remarks: sentences with measured numbers in them, for the reader of the page.
    """

    effects: Sequence[Effect]
    figure: "Figure"
    remarks: Sequence[str] = ()

    def __post_init__(self):
        combine(self.effects)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, with everything that is needed to measure it.

    Attributes:
        name: by which it is called on the command line.
        sentence: the claim, in own words.
        source: the paper that says or examines it, or the topic of the course.
        experiment: two or three sentences: what is trained on what, what is compared, what would
            make the claim fail.
        measure: settings → `Outcome`; lives at a module's top.
        full: settings of a normal run.
        minutes: what a normal run may take on two idle CPU cores with compiling, at most; what the
            page costs is their sum.
        quick: settings of a quick run: digits, at most 4 s with compiling.
        tiny: settings of the tests: at most 2 s, may be too small to say anything.
    """

    name: str
    sentence: str
    source: str
    experiment: str
    measure: Callable[[Settings], Outcome] = field(repr=False)
    full: Settings
    minutes: float = 1.0
    quick: Settings
    tiny: Settings


def by_name(claims: Iterable[Claim]) -> dict[str, Claim]:
    """Claims by their names, in their order.

    Args:
        claims: of all chapters.

    Raises:
        ValueError: two of one name.
    """
    found: dict[str, Claim] = {}
    for claim in claims:
        if claim.name in found:
            raise ValueError(f"claims: two are named {claim.name!r}; a name must be unique")
        found[claim.name] = claim
    return found
