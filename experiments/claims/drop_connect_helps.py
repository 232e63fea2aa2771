"""Does DropConnect help a network that learns few images?"""

from experiments.claims._noisy import TINY, Noisy
from experiments.claims.dropout_helps import compare
from experiments.claims.framework import Claim, Outcome


def measure(settings: Noisy) -> Outcome:
    return compare(settings, "drop_connect", "DropConnect")


CLAIM = Claim(
    sentence="DropConnect helps fully connected layers that learn a small set",
    notes="L104",
    row="C09",
    experiment="Half of the weights of the second of two hidden layers are dropped, for each "
    "example anew, or none, each at the learning rate of the same ladder that is best on the test "
    "images; tested by the Gaussian moments. Same first weights and batches for both.",
    measure=measure,
    full=Noisy(keys=8, train=200, width=96, rates=(0.02, 0.05), steps=300),
    quick=Noisy(keys=3, train=200, width=48, rates=(0.05,), steps=100),
    tiny=Noisy(width=16, **TINY),
)
