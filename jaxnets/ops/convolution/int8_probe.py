"""What a child process computes before a processor is trusted with oneDNN's eight-bit convolutions.

`jaxnets.ops.convolution.onednn_support.probe` runs this file as a program: integers are right or
wrong, and whatever ends the process ends here.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.convolution import int8, onednn_call
from jaxnets.ops.convolution.onednn_probe import CASES, definition
from jaxnets.ops.convolution.problem import Problem

# As networks have them, beside the small ones of the other probe: full vectors, many channels.
LARGER = (
    Problem((2, 14, 14, 64), (3, 3, 64, 128), (1, 1), ((1, 1), (1, 1)), (1, 1)),
    Problem((2, 14, 14, 128), (1, 1, 128, 64), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    Problem((2, 14, 14, 64), (3, 3, 1, 64), (1, 1), ((1, 1), (1, 1)), (1, 1), groups=64),
    Problem((2, 30, 30, 3), (7, 7, 3, 64), (2, 2), ((3, 3), (3, 3)), (1, 1)),
)


def main() -> str:
    """ "right", or the first case that is not."""
    rng = np.random.default_rng(0)
    for problem in (*CASES, *LARGER):
        if not int8.supported(problem):
            continue
        kernel = rng.integers(-127, 128, problem.kernel_shape)
        for low, high, dtype in ((-128, 128, jnp.int8), (0, 256, jnp.uint8)):
            # Extremes in a row are what overflows where sums are kept in 16 bits.
            for x in (rng.integers(low, high, problem.x_shape), np.full(problem.x_shape, high - 1)):
                run = jax.jit(lambda x, k, p=problem: onednn_call.integer_convolution(x, k, p))
                got = run(jnp.asarray(x, dtype), jnp.asarray(kernel, jnp.int8))
                if not np.array_equal(np.asarray(got), definition(x, kernel, problem)):
                    return f"{problem} of {jnp.dtype(dtype)} is wrong"
    return "right"


if __name__ == "__main__":
    print(main())
    sys.stdout.flush()
