"""What coding costs, and what small networks buy at run time: zeros, fewer filters, bf16, int8.

Command:  python -m experiments.compression.benchmark_compression
Time:     about a minute on two idle CPU cores; an accelerator changes the networks' times alone.
Result:   runs/benchmark_compression/: summary.json: encoding a network of 25 million parameters
          takes less than 30 s, decoding gives more than 50 MB of weights a second; zeros in place
          of weights do not make a network faster, removed filters do.

Times are taken in turns; run it where nothing else runs.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import command
from jaxnets.compress import (
    apply_mask,
    encode_array,
    magnitude_mask,
    read_compressed,
    remove_filters,
    write_compressed,
)
from jaxnets.models import create_model
from jaxnets.nas import init_controller, macro_space, write
from jaxnets.study.networks.precisions import time_precisions
from jaxnets.study.programs import processor
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.study.timing import time_calls
from jaxnets.train.run_directory import write_json

CHAIN = ("conv1", "conv2", "fc1", "fc2")


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        parameters: of the network that is encoded, in layers of equal size.
        layers: of it.
        density: share of weights that are left.
        model: the network that runs in bfloat16 and in eight bits, on eight images.
        batch_size: images of a forward pass.
        rounds: of each measurement of time.
        workdir: where the results go.
    """

    parameters: int = 25_000_000
    layers: int = 10
    density: float = 1.0
    model: str = "resnet50"
    batch_size: int = 256
    rounds: int = 7
    workdir: Path = Path("runs/benchmark_compression")


def smoke() -> Config:
    """A small network, once."""
    sizes = {"parameters": 20_000, "layers": 2, "batch_size": 2, "rounds": 2, "model": "lenet5"}
    return Config(**sizes, workdir=Path("runs/smoke/benchmark_compression"))


def coding(config: Config) -> dict[str, float]:
    """Seconds of encoding, and megabytes of weights that are decoded a second."""
    random = np.random.default_rng(0)
    variables, size = {}, config.parameters // config.layers
    for number in range(config.layers):
        values = np.rint(10 * random.standard_normal(size)).clip(-31, 31) / 64
        kept = random.random(size) < config.density
        variables[f"layer{number}"] = {"kernel": np.where(kept, values, 0).astype(np.float32)}
    path = config.workdir / "network.jxnc"
    start = time.perf_counter()
    size = write_compressed(path, variables)
    middle = time.perf_counter()
    read_compressed(path)
    end = time.perf_counter()
    found = encode_array(variables["layer0"]["kernel"])
    bits = 0.0 if found is None else found.values.bits / found.values.count
    megabytes = 4 * config.parameters / 1e6
    path.unlink()
    return {
        "encode_seconds": middle - start,
        "decode_megabytes_per_second": megabytes / (end - middle),
        "ratio": 1e6 * megabytes / size,
        "bits_per_value": bits,
    }


def running(config: Config) -> dict[str, float]:
    """Milliseconds of a forward pass of Caffe's LeNet-5: as it is, with zeros, with half of it."""
    model = create_model("lenet5_caffe")
    x = jnp.asarray(np.random.default_rng(0).random((config.batch_size, 28, 28, 1), np.float32))
    params = jax.device_get(model.init(jax.random.key(0), x[:1]))["params"]
    sparse = apply_mask(params, magnitude_mask(params, 0.95))
    halves = dict.fromkeys(CHAIN[:3], 0.5)
    filters = apply_mask(params, magnitude_mask(params, halves, structure="filters"))
    smaller = remove_filters({"params": jax.device_get(filters)}, CHAIN)
    small = create_model("lenet5_caffe", widths=tuple(smaller.widths[n] for n in CHAIN[:3]))
    half = create_model("lenet5_caffe", dtype=jnp.bfloat16)
    networks = {
        "whole": (model, {"params": params}),
        "95 % zeros": (model, {"params": sparse}),
        "half of the filters": (small, smaller.variables),
        "bfloat16": (half, {"params": params}),
    }
    calls = {
        name: partial(jax.jit(network.apply), jax.device_put(variables), x)
        for name, (network, variables) in networks.items()
    }
    timings = time_calls(calls, rounds=config.rounds)
    return {name: timing.milliseconds for name, timing in timings.items()}


def controller(config: Config) -> float:
    """Architectures that the paper's controller writes a second."""
    params = init_controller(jax.random.key(0), macro_space())
    calls = {"write": lambda: write(jax.random.key(1), params, space=macro_space(), count=1000)}
    return 1e6 / time_calls(calls, rounds=config.rounds)["write"].milliseconds


def main(config: Config) -> dict[str, Any]:
    """Measure, and keep it."""
    workdir = write_settings(config)
    summary = {
        "hardware": processor(),
        "coding": coding(config),
        "forward_milliseconds": running(config),
        "precision_milliseconds": time_precisions(config.model, rounds=config.rounds),
        "controller_samples_per_second": controller(config),
    }
    write_json(workdir / "summary.json", json_values(summary))
    print(summary)
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
