"""PyTorch's recurrent and attention layers, timed in a process of their own.

Run by file name under any Python that has torch (`python sequence_peer.py`): nothing of jaxnets is
imported then. For each line with a case's name on standard input it runs the case once and prints
the seconds, so that `Peer` can take turns with it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class Peer:
    """A process with PyTorch that runs a case when asked.

    Attributes:
        python: the interpreter that has torch.
        threads: that torch may use.

    >>> Peer.__call__.__doc__.split(";")[0]
    'Seconds of one run of a case'
    """

    def __init__(self, python: str, threads: int):
        self.python, self.threads = python, threads
        command = [python, str(Path(__file__).resolve()), str(threads)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._read()["torch"]

    def __call__(self, case: dict) -> float:
        """Seconds of one run of a case; the process waits without work between the calls."""
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        return self._read()["seconds"]

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise RuntimeError(f"{self.python}: torch cannot be run there")
        return json.loads(line)


def make(case: dict) -> Callable[[], object]:
    """The work of a case: {"kind": "lstm", "train": …, sizes} or {"kind": "attention", sizes}."""
    import torch

    torch.manual_seed(0)
    if case["kind"] == "attention":
        q, k, v = (
            torch.randn(case["batch"], case["heads"], case["time"], case["features"])
            for _ in range(3)
        )
        attend = torch.nn.functional.scaled_dot_product_attention

        def forward():
            with torch.no_grad():
                return attend(q, k, v)

        def train():
            leaves = [x.requires_grad_() for x in (q, k, v)]
            return torch.autograd.grad(attend(*leaves).sum(), leaves)

        return train if case["train"] else forward
    size = case["units"]
    net = torch.nn.LSTM(size, size, case["layers"], batch_first=True)
    x = torch.randn(case["batch"], case["time"], size)

    def run_forward():
        with torch.no_grad():
            return net(x)

    def run_train():
        net.zero_grad()
        net(x)[0].sum().backward()

    return run_train if case["train"] else run_forward


def serve(threads: int) -> None:
    """Answer one line of JSON with one line of JSON, until standard input ends."""
    import torch

    torch.set_num_threads(threads)
    print(json.dumps({"torch": torch.__version__}), flush=True)
    made: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        if line not in made:
            made[line] = make(json.loads(line))
            made[line]()  # memory and kernels are set up by the first run
        start = time.perf_counter()
        made[line]()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
