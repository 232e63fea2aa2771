"""Values for the parameters of a network, the same in every framework, from NumPy's frozen stream.

The i-th layer with a kernel that a forward pass calls (convolutions and fully connected ones count
together) and the i-th normalization get the values of index i, so no table of names is needed to
give two implementations the same parameters; their layers only have to be called in one order.
Kernels are made in (height, width, in, out) layout.
"""

import numpy as np


def _normal(kind, index, shape):
    draw = np.random.RandomState(100_000 * kind + index).standard_normal(int(np.prod(shape)))
    return draw.reshape(shape)


def kernel(index, shape):
    """He-scaled: (h, w, in, out), or (in, out), which is the same as (1, 1, in, out)."""
    return (_normal(1, index, shape) * np.sqrt(2 / np.prod(shape[:-1]))).astype(np.float32)


def bias(index, size):
    return (0.1 * _normal(2, index, (size,))).astype(np.float32)


def norm(index, size):
    """scale, bias, running mean and variance of a normalization."""
    draw = np.random.RandomState(300_000 + index)
    return {
        "scale": draw.uniform(0.5, 1.5, size).astype(np.float32),
        "bias": (0.1 * draw.standard_normal(size)).astype(np.float32),
        "mean": (0.1 * draw.standard_normal(size)).astype(np.float32),
        "var": draw.uniform(0.5, 1.5, size).astype(np.float32),
    }


def images(batch, height, width, channels):
    return _normal(4, 0, (batch, height, width, channels)).astype(np.float32)


def labels(batch, classes):
    return np.arange(batch) * 7 % classes
