"""What a claim's file holds: the sentence, its settings, and how it is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from experiments.claims.framework.data import Data, load
from experiments.claims.framework.statistics import Effect, combine


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every claim has; a claim's own class adds its fields (all of them JSON values).

    Attributes:
        keys: random keys, each with its own initial weights and order of batches.
        dataset: whose images; digits where it is not prepared.
        train, test: how many of them (default: all), class-stratified.
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


@dataclass(frozen=True)
class Outcome:
    """What an experiment found.

    Attributes:
        effects: the first is the one in the page's summary. At least one has a claimed region.
        figure: a Matplotlib figure, made by `figures.new`.
        remarks: sentences with measured numbers in them, for the reader of the page.
    """

    effects: Sequence[Effect]
    figure: Figure
    remarks: Sequence[str] = ()

    def __post_init__(self):
        combine(self.effects)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim: `CLAIM = Claim(…)` in a file of `experiments.claims` puts it on the page.

    Attributes:
        sentence: the claim, in own words.
        notes: lines of the notes ("L18-L23"), or where else it stands.
        row: the row of the matrix ("A07").
        experiment: two or three sentences: what is trained on what, what is compared, what would
            make the claim fail.
        measure: settings → `Outcome`.
        full, quick, tiny: settings of a normal run, of ``--quick`` (digits, ≤ 4 s with compiling),
            and of the tests (≤ 2 s, may be too small to say anything).
    """

    sentence: str
    notes: str
    row: str
    experiment: str
    measure: Callable[[Settings], Outcome] = field(repr=False)
    full: Settings
    quick: Settings
    tiny: Settings
