"""What is missing of a comparison of networks: planned, timed in turns, kept as it is measured."""

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxnets.errors import JaxnetsError
from jaxnets.models import model_info
from jaxnets.study.networks import records, runtime_peers, torchvision_peer, workloads
from jaxnets.study.programs import processor
from jaxnets.study.timing import time_calls

# Records (without results) that are measured in turn: ours, and torchvision's where there is one.
Plan = list[list[dict[str, Any]]]

# The library's name in records of `jaxnets.nn.optimize_for_inference`.
OPTIMIZED = "jaxnets optimized"

# A network so small that a call takes microseconds is called again and again for this long.
BLOCK_SECONDS = 0.2


def plan_measurements(
    path: Path,
    names: Sequence[str],
    modes: Sequence[workloads.Mode],
    batch_sizes: Sequence[int],
    dtype: str,
    *,
    peer: bool,
    runtimes: bool = False,
    max_spread: float | None = None,
) -> Plan:
    """The measurements that a file does not hold yet.

    Args:
        path: the file of measurements.
        names: networks, of `jaxnets.list_models()`.
        modes: "inference", "training".
        batch_sizes: images at a time.
        dtype: compute dtype.
        peer: torchvision's networks as well.
        runtimes: at inference also `jaxnets.nn.optimize_for_inference`, and ONNX Runtime and
            OpenVINO where they are installed (ONNX Runtime in float32 only).
        max_spread: what varied more from round to round is measured again.

    Returns:
        Groups of records that are to be timed in turn.

    >>> plan = plan_measurements(Path("/nowhere"), ["mlp"], ["inference"], [1, 2], "float32",
    ...     peer=False)
    >>> [[record["batch_size"] for record in group] for group in plan]
    [[1], [2]]
    """
    done = {
        records.record_key(record)
        for record in records.read_records(path)
        if max_spread is None or record.get("spread", 0.0) <= max_spread
    }
    machine = processor()
    if runtimes and (lacking := runtime_peers.lacking(dtype)):
        warnings.warn(
            f"runtimes: columns stay empty without {', '.join(lacking)}; pip install them",
            stacklevel=2,
        )
    peer = peer and torchvision_peer.available()
    plan = []
    for name in names:
        theirs = ["torchvision"] if peer and torchvision_peer.peer_name(name) else []
        for mode in modes:
            beside = list(theirs)
            if runtimes and mode == "inference":
                beside.append(OPTIMIZED)
                beside += runtime_peers.available(dtype) if theirs else []
            for batch_size in batch_sizes:
                values = [
                    (library, name, mode, batch_size, dtype, machine)
                    for library in ["jaxnets", *beside]
                ]
                group = [dict(zip(records.KEY, v, strict=True)) for v in values]
                # A pair is only worth something if both were timed in turn.
                if not all(records.record_key(record) in done for record in group):
                    plan.append(group)
    return plan


def measure_missing(
    path: Path, plan: Plan, *, seconds: float, rounds: int, max_minutes: float | None = None
) -> int:
    """Measure and append to a file, with a progress bar.

    Args:
        path: the file of measurements.
        plan: of `plan_measurements`.
        seconds: repeat a call for at least this long.
        rounds: the members of a group take turns at least this often.
        max_minutes: begin no measurement after this long.

    Returns:
        How many groups are left.

    Raises:
        JaxnetsError: torchvision's network is not the same one.

    >>> measure_missing(Path("/nowhere"), [], seconds=1.0, rounds=3)
    0
    """
    from tqdm import tqdm

    started = time.monotonic()
    # A bar where there is something to do; nothing on the screen where there is not.
    with tqdm(plan, unit="measurement", disable=not plan) as bar:
        for i, group in enumerate(bar):
            minutes = (time.monotonic() - started) / 60
            if max_minutes is not None and minutes > max_minutes:
                return len(plan) - i
            first = group[0]
            bar.set_description(f"{first['model']} {first['mode']} × {first['batch_size']}")
            for record in _measured_in_turn(group, seconds, rounds):
                records.append_record(path, record)
            jax.clear_caches()
    return 0


def _measured_in_turn(
    group: Sequence[dict[str, Any]], seconds: float, rounds: int
) -> Iterator[dict[str, Any]]:
    """The records of a group with their results, a round of each after the other."""
    calls, facts = {}, {}
    for record in group:
        name, mode, batch_size = record["model"], record["mode"], record["batch_size"]
        if record["library"] == "jaxnets":
            calls["jaxnets"], facts["jaxnets"] = workloads.prepare_workload(
                name, mode, batch_size, record["dtype"]
            )
            continue
        library = record["library"]
        if library == OPTIMIZED:
            calls[library], facts[library] = workloads.prepare_optimized(
                name, batch_size, record["dtype"]
            )
            continue
        if library == "torchvision":
            calls[library], parameters = torchvision_peer.prepare_peer(
                name, mode, batch_size, record["dtype"]
            )
        else:
            calls[library], parameters = runtime_peers.prepare_runtime(
                library, name, batch_size, record["dtype"]
            )
        facts[library] = {}
        if parameters != model_info(name).parameters:
            raise JaxnetsError(
                f"torchvision's {torchvision_peer.peer_name(name)} is not {name}: their numbers "
                "of parameters differ. Take --no-peer, or another version of torchvision."
            )
    timings = time_calls(
        calls, rounds=rounds, seconds=seconds, block_seconds=min(BLOCK_SECONDS, seconds)
    )
    for record in group:
        found = timings[record["library"]].summary()
        assert math.isfinite(found["seconds"])
        # The name of the number of rounds in files of measurements.
        found["calls"] = found.pop("rounds")
        yield {**record, **found, **facts[record["library"]]}
