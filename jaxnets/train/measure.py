"""What a run cost: memory and arithmetic."""

import resource
import sys

import jax


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
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def hardware() -> str:
    """The devices of this run in words, such as ``"8 × TPU v4"`` or ``"CPU, 2 cores"``."""
    import os

    devices = jax.devices()
    if devices[0].platform == "cpu":
        simulated = f", {len(devices)} simulated devices" if len(devices) > 1 else ""
        return f"CPU, {os.cpu_count()} cores{simulated}"
    return f"{len(devices)} × {devices[0].device_kind}"
