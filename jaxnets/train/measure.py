"""What a run cost: memory and arithmetic."""

import os
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp


def peak_memory_bytes() -> int:
    """The most memory this run has held: that of the fullest local device, else the process's.

    Accelerators report their own peak; on CPU it is the process's maximum resident set.
    """
    peaks = []
    for device in jax.local_devices():
        stats = device.memory_stats() if device.platform != "cpu" else None
        if stats and "peak_bytes_in_use" in stats:
            peaks.append(stats["peak_bytes_in_use"])
    if peaks:
        return max(peaks)
    import resource  # not on Windows

    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def hardware() -> str:
    """The devices of this run in words, such as ``"8 × TPU v4"`` or ``"CPU, 2 cores"``."""
    devices = jax.devices()
    if devices[0].platform == "cpu":
        simulated = f", {len(devices)} simulated devices" if len(devices) > 1 else ""
        cores = os.cpu_count()
        return f"CPU, {cores} core{'' if cores == 1 else 's'}{simulated}"
    return f"{len(devices)} × {devices[0].device_kind}"


# Dense peaks in FLOP/s from the makers' data sheets, by a part of JAX's device kind; the first
# that fits counts. float32 is the rate of a default-precision matrix product (TF32 on NVIDIA).
_PEAKS = {
    "H200": {"bfloat16": 989e12, "float32": 495e12},
    "H100": {"bfloat16": 989e12, "float32": 495e12},
    "A100": {"bfloat16": 312e12, "float32": 156e12},
    "L40S": {"bfloat16": 362e12, "float32": 183e12},
    "L4": {"bfloat16": 121e12, "float32": 60e12},
    "V100": {"float32": 15.7e12},
    "T4": {"float32": 8.1e12},
    "TPU v6 lite": {"bfloat16": 918e12},
    "TPU v5 lite": {"bfloat16": 197e12},
    "TPU v5p": {"bfloat16": 459e12},
    "TPU v5": {"bfloat16": 459e12},
    "TPU v4": {"bfloat16": 275e12},
    "TPU v3": {"bfloat16": 61.5e12},
    "TPU v2": {"bfloat16": 22.5e12},
}


def published_peak(device_kind: str, dtype: str) -> float | None:
    """The peak FLOP/s of one device for dense products in ``dtype``, None where not known.

    >>> published_peak("NVIDIA A100-SXM4-40GB", "bfloat16") == 312e12
    True
    """
    for part, rates in _PEAKS.items():
        if part in device_kind:
            return rates.get(dtype)
    return None


def matmul_flops_per_second(dtype: Any, size: int = 2048, repeats: int = 5) -> float:
    """The rate of a large matrix product on the first device, the best of ``repeats``."""
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    best = float("inf")
    for _ in range(repeats):
        clock = time.perf_counter()
        product(a).block_until_ready()
        best = min(best, time.perf_counter() - clock)
    return 2 * size**3 / best
