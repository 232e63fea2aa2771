"""PyTorch's recurrent and attention layers and a translator, timed in a process of their own.

Run by file name under any Python that has torch (`python sequence_peer.py`): nothing of jaxnets is
imported then. For each line with a case's name on standard input it runs the case once and prints
the seconds, so that `Peer` can take turns with it.
"""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
    """The work of a case, see `jaxnets.tasks.sequence_speed.sequence_work`."""
    import torch

    torch.manual_seed(0)
    dtype = getattr(torch, case.get("dtype", "float32"))
    makers = {"attention": make_attention, "lstm": make_lstm, "translation": make_translation}
    return makers[case["kind"]](torch, case, dtype)


def make_attention(torch: Any, case: dict, dtype: Any) -> Callable[[], object]:
    """torch.nn.functional.scaled_dot_product_attention."""
    shape = [case[name] for name in ("batch", "heads", "time", "features")]
    q, k, v = (torch.randn(shape, dtype=dtype) for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention

    def forward():
        with torch.no_grad():
            return attend(q, k, v)

    def train():
        leaves = [x.requires_grad_() for x in (q, k, v)]
        return torch.autograd.grad(attend(*leaves).sum(), leaves)

    return train if case["train"] else forward


def make_lstm(torch: Any, case: dict, dtype: Any) -> Callable[[], object]:
    """torch.nn.LSTM."""
    size = case["units"]
    net = torch.nn.LSTM(size, size, case["layers"], batch_first=True).to(dtype)
    x = torch.randn(case["batch"], case["time"], size, dtype=dtype)

    def forward():
        with torch.no_grad():
            return net(x)

    def train():
        net.zero_grad()
        net(x)[0].sum().backward()

    return train if case["train"] else forward


def make_translation(torch: Any, case: dict, dtype: Any) -> Callable[[], object]:
    """A recurrent translator as PyTorch's toolkits have it: a loop in Python over the words.

    The encoder is torch.nn.GRU in both directions; a step of the decoder is additive attention, a
    torch.nn.GRUCell and, for all steps at once in training, a maxout readout. No sequence is
    padded, and none ends early, so there is no bookkeeping for either.
    """
    nn, words, units, size = torch.nn, case["vocabulary"], case["units"], case["embedding"]
    net = nn.ModuleDict(
        {
            "source": nn.Embedding(words, size),
            "encoder": nn.GRU(size, units, bidirectional=True, batch_first=True),
            "start": nn.Linear(units, units),
            "key": nn.Linear(2 * units, units, bias=False),
            "query": nn.Linear(units, units),
            "energy": nn.Linear(units, 1, bias=False),
            "target": nn.Embedding(words, size),
            "cell": nn.GRUCell(size + 2 * units, units),
            "readout": nn.Linear(3 * units + size, 2 * size),
            "head": nn.Linear(size, words),
        }
    ).to(dtype)
    tokens = torch.randint(3, words, (case["batch"], case["time"]))

    def encode():
        notes, last = net["encoder"](net["source"](tokens))
        return torch.tanh(net["start"](last[1])), notes, net["key"](notes)

    def step(state, word, notes, keys):
        energies = net["energy"](torch.tanh(net["query"](state)[:, None] + keys))
        weights = torch.softmax(energies[..., 0], -1)
        context = torch.bmm(weights[:, None], notes)[:, 0]
        seen = torch.cat((state, word, context), -1)
        return net["cell"](torch.cat((word, context), -1), state), seen

    def logits(seen):
        pieces = net["readout"](seen)
        return net["head"](torch.maximum(*pieces.chunk(2, -1)))

    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def train():
        optimizer.zero_grad()
        state, notes, keys = encode()
        starts = torch.ones_like(tokens[:, :1])
        read = net["target"](torch.cat((starts, tokens[:, :-1]), 1))
        rows = []
        for t in range(tokens.shape[1]):
            state, seen = step(state, read[:, t], notes, keys)
            rows.append(seen)
        made = logits(torch.stack(rows, 1)).float()
        nn.functional.cross_entropy(made.flatten(0, 1), tokens.flatten()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()

    def search():
        with torch.no_grad():
            beams, (batch, time) = case["beams"], tokens.shape
            state, notes, keys = (x.repeat_interleave(beams, 0) for x in encode())
            word = torch.ones(batch * beams, dtype=torch.long)
            scores = torch.full((batch, beams), -math.inf)
            scores[:, 0] = 0.0
            written = torch.zeros((batch, beams, 0), dtype=torch.long)
            first = torch.arange(batch)[:, None] * beams
            for _ in range(time):
                state, seen = step(state, net["target"](word), notes, keys)
                chances = torch.log_softmax(logits(seen).float(), -1)
                total = scores[..., None] + chances.view(batch, beams, -1)
                scores, best = total.flatten(1).topk(beams, -1)
                before, word = best // words, (best % words).flatten()
                state = state[(first + before).flatten()]
                written = written.gather(1, before[..., None].expand(written.shape))
                written = torch.cat((written, word.view(batch, beams, 1)), -1)
            return written[:, 0]

    return train if case["train"] else search


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
