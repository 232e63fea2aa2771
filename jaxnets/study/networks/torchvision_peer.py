"""The same network out of torchvision, where that is installed: for a ratio, not for results."""

import os
from collections.abc import Callable

import numpy as np

from jaxnets.models import model_info
from jaxnets.study.networks.workloads import Mode

# Without the second and third classifier: ours are off by default as well.
_OPTIONS = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


def available() -> bool:
    """Whether torch and torchvision can be imported.

    Returns:
        True or False.

    >>> available() in (True, False)
    True
    """
    try:
        import torch  # noqa: F401
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        return False
    return True


def peer_name(name: str) -> str | None:
    """What torchvision calls a registered network, None where it has none.

    Args:
        name: of `jaxnets.list_models()`.

    Returns:
        The name of the function in ``torchvision.models``.

    >>> peer_name("googlenet_bn"), peer_name("zfnet")
    ('googlenet', None)
    """
    for weights in model_info(name).weights:
        library, _, peer = weights.partition(" ")
        if library == "torchvision":
            return peer.split()[0]
    return None


def prepare_peer(name: str, mode: Mode, batch_size: int) -> tuple[Callable[[], None], int]:
    """Torchvision's network in channels-last float32, on as many threads as JAX has.

    Args:
        name: our name of a network that torchvision has.
        mode: "inference" or "training".
        batch_size: images at a time.

    Returns:
        A call that runs it once, and its number of parameters.
    """
    import torch
    import torchvision

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    # As XLA does. Untrained networks have activations and gradients near 0, and numbers below
    # 1e-38 made ShuffleNet's inference 25 and MobileNet's training 8 times slower (measured).
    torch.set_flush_denormal(True)
    peer = peer_name(name)
    network = getattr(torchvision.models, peer)(weights=None, **_OPTIONS.get(peer, {}))
    network = network.to(memory_format=torch.channels_last)
    size = model_info(name).input_size
    rng = np.random.default_rng(1)
    images = torch.from_numpy(rng.standard_normal((batch_size, 3, size, size), np.float32))
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(rng.integers(0, 10, batch_size))
    if mode == "inference":
        network.eval()

        def call():
            with torch.inference_mode():
                network(images)

    else:
        network.train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

        def call():
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()

    return call, sum(p.numel() for p in network.parameters())
