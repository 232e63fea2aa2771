"""What the claims share: settings and outcomes, intervals and verdicts, training over keys."""

from experiments.claims.framework import figures
from experiments.claims.framework.claim import Claim, Outcome, Settings
from experiments.claims.framework.data import Data, Part
from experiments.claims.framework.statistics import (
    Effect,
    above,
    at_least,
    at_most,
    below,
    effect,
    within,
)
from experiments.claims.framework.training import Runs, best, make_keys, steps_to, train_many

__all__ = [
    "Claim",
    "Data",
    "Effect",
    "Outcome",
    "Part",
    "Runs",
    "Settings",
    "above",
    "at_least",
    "at_most",
    "below",
    "best",
    "effect",
    "figures",
    "make_keys",
    "steps_to",
    "train_many",
    "within",
]
