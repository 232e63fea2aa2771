"""Noise in training, marginalized at test time: one interface for dropout and its relatives.

A source of noise draws (`sample`), computes the exact expectation of a function of its draws where
there is one (`marginalize`), estimates it with a standard error (`monte_carlo`), and gives the
deterministic approximation that networks use at test time (`test_pass`).
"""

from jaxnets.noise.augmentation import Cutout, FlipAndCrop, Mixup
from jaxnets.noise.batch import BatchNorm
from jaxnets.noise.depth import StochasticDepth
from jaxnets.noise.estimate import Estimate, monte_carlo
from jaxnets.noise.pooling import FractionalMaxPool
from jaxnets.noise.source import NoiseSource, NotExactError, Outcomes
from jaxnets.noise.units import Dropout, GaussianNoise
from jaxnets.noise.weights import DropConnect

__all__ = [
    "BatchNorm",
    "Cutout",
    "DropConnect",
    "Dropout",
    "Estimate",
    "FlipAndCrop",
    "FractionalMaxPool",
    "GaussianNoise",
    "Mixup",
    "NoiseSource",
    "NotExactError",
    "Outcomes",
    "StochasticDepth",
    "monte_carlo",
]
