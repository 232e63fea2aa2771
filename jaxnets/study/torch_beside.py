"""PyTorch set up to be timed beside JAX."""

import os


def settle_torch() -> None:
    """Give PyTorch as many threads as JAX has, and flush denormal numbers, as XLA does.

    Untrained networks have activations and gradients near 0, and numbers below 1e-38 made
    ShuffleNet's inference 25 and MobileNet's training 8 times slower (measured).

    >>> settle_torch.__doc__.split(",")[0]
    'Give PyTorch as many threads as JAX has'
    """
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)
