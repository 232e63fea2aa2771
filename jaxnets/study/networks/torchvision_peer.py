"""The same network in PyTorch, where that is installed: for a ratio, not for results.

It is torchvision's; video networks that torchvision lacks are those of `video_peers`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnets.models import model_info
from jaxnets.study.networks import video_peers
from jaxnets.study.networks.workloads import Mode
from jaxnets.study.torch_beside import settle_torch

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
    """What torchvision, or `video_peers`, calls a registered network, None where neither has it.

    Args:
        name: of `jaxnets.list_models()`.

    Returns:
        The name of the function in ``torchvision.models`` or in `video_peers.NETWORKS`.

    >>> peer_name("googlenet_bn"), peer_name("c3d"), peer_name("zfnet")
    ('googlenet', 'c3d', None)
    """
    if name in video_peers.NETWORKS:
        return name
    for weights in model_info(name).weights:
        library, _, peer = weights.partition(" ")
        if library == "torchvision":
            return peer.split()[0]
    return None


def random_inputs(name: str, batch_size: int) -> Any:
    """Images or clips of a network's published size, channels last in memory.

    Args:
        name: of `jaxnets.list_models()`.
        batch_size: how many.

    Returns:
        float32 tensor (N, C, H, W), or (N, C, T, H, W).
    """
    import torch

    *size, channels = model_info(name).input_shape
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.standard_normal((batch_size, channels, *size), np.float32))
    return values.contiguous(memory_format=_channels_last(len(size)))


def _channels_last(space: int) -> Any:
    import torch

    return torch.channels_last if space == 2 else torch.channels_last_3d


def prepare_network(name: str, mode: Mode) -> Any:
    """The network in PyTorch, untrained, on as many threads as JAX has, with warm statistics.

    Statistics of batch normalization are those of one random batch: with the initial ones
    activations of a deep network vanish, and a processor is slow on numbers near 0.

    Args:
        name: our name of a network with a `peer_name`.
        mode: "inference" or "training".

    Returns:
        A ``torch.nn.Module``.
    """
    import torch
    import torchvision

    settle_torch()
    peer = peer_name(name)
    if name in video_peers.NETWORKS:
        network = video_peers.NETWORKS[name]()
    else:
        options = _OPTIONS.get(peer, {})
        network = torchvision.models.get_model(peer, weights=None, **options)
    network = network.to(memory_format=_channels_last(len(model_info(name).input_shape) - 1))
    if mode == "training":
        return network.train()
    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the batch's own
    with torch.no_grad():
        network.train()(random_inputs(name, 2))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return network.eval()


def prepare_peer(
    name: str, mode: Mode, batch_size: int, dtype: str = "float32"
) -> tuple[Callable[[], None], int]:
    """The network in PyTorch, channels last, ready to be timed.

    Args:
        name: our name of a network with a `peer_name`.
        mode: "inference" or "training".
        batch_size: images at a time.
        dtype: "float32", or "bfloat16": all of the network at inference, `torch.autocast` in
            training.

    Returns:
        A call that runs it once, and its number of parameters.
    """
    import torch

    network = prepare_network(name, mode)
    narrow = dtype == "bfloat16"
    images = random_inputs(name, batch_size)
    labels = torch.from_numpy(np.random.default_rng(2).integers(0, 10, batch_size))
    if mode == "inference":
        if narrow:
            network, images = network.bfloat16(), images.bfloat16()

        def call():
            with torch.inference_mode():
                network(images)

    else:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

        def call():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
                logits = network(images)
            torch.nn.functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()

    return call, sum(p.numel() for p in network.parameters())
