"""Random eight-bit convolutions by oneDNN against the definition, as a program of its own.

python tests/ops/int8_fuzz.py SEED COUNT: as onednn_fuzz.py, whose convolutions these are. Integers
are right or wrong.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.convolution.int8 import int8_conv, native
from jaxnets.ops.convolution.onednn_probe import definition

sys.path.insert(0, str(Path(__file__).parent))
from onednn_fuzz import TOGETHER, random_problem


def main(seed: int, count: int) -> dict:
    rng, wrong = np.random.default_rng(seed), []
    for _ in range(0, count, TOGETHER):
        problems = [random_problem(rng) for _ in range(TOGETHER)]
        xs, kernels = [], []
        for problem in problems:
            low, dtype = (-128, jnp.int8) if rng.random() < 0.5 else (0, jnp.uint8)
            xs.append(jnp.asarray(rng.integers(low, low + 256, problem.x_shape), dtype))
            kernels.append(jnp.asarray(rng.integers(-127, 128, problem.kernel_shape), jnp.int8))
        run = jax.jit(lambda xs, ks, ps=problems: list(map(int8_conv, xs, ks, ps)))
        for x, kernel, problem, y in zip(xs, kernels, problems, run(xs, kernels), strict=True):
            if not np.array_equal(
                np.asarray(y), definition(np.asarray(x), np.asarray(kernel), problem)
            ):
                wrong.append(f"{problem} {x.dtype}")
    return {"native": native(), "checked": count, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
