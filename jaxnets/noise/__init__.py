"""Add noise in training, marginalize in testing: one interface for all that does so.

A source of noise draws (`sample`), gives the exact mean of a function of what it draws wherever
there is one (`marginalize`), an estimate with its standard error always (`monte_carlo`), and what
networks customarily take for the mean at test time (`test_pass`).
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
