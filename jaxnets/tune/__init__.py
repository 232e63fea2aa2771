"""The procedure for hyper-parameters, step by step.

1. `check_first_loss`: the untrained network's loss is that of guessing.
2. `overfit_small_set`: the network can overfit a few images.
3. `range_test`, `rate_grid`: a learning rate with which the loss goes down.
4. `coarse_to_fine`: random search over wide ranges, then around the best.
5. `diagnose`: what the curves of a run say, in words.

`jaxnets.tune.procedure` runs all of them, from a data set to a recipe and a report.
"""

from jaxnets.tune.candidates import SEARCHABLE, Candidates
from jaxnets.tune.diagnose import Diagnosis, diagnose
from jaxnets.tune.examples import draw_batches, split_held_out
from jaxnets.tune.first_loss import FirstLoss, check_first_loss, with_small_last_layer
from jaxnets.tune.learning_rate_range import RangeTest, range_test
from jaxnets.tune.overfit import Overfit, overfit_small_set
from jaxnets.tune.rate_grid import RateGrid, rate_grid
from jaxnets.tune.search import Round, coarse_to_fine, edge_warnings, run_trials
from jaxnets.tune.space import Choice, Range, parse_space, zoom
from jaxnets.tune.study import Study
from jaxnets.tune.training_loss import classification_loss

__all__ = [
    "SEARCHABLE",
    "Candidates",
    "Choice",
    "Diagnosis",
    "FirstLoss",
    "Overfit",
    "Range",
    "RangeTest",
    "RateGrid",
    "Round",
    "Study",
    "check_first_loss",
    "classification_loss",
    "coarse_to_fine",
    "diagnose",
    "draw_batches",
    "edge_warnings",
    "overfit_small_set",
    "parse_space",
    "range_test",
    "rate_grid",
    "run_trials",
    "split_held_out",
    "with_small_last_layer",
    "zoom",
]
