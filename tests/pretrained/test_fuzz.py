"""Thousands of mutated weight files: each is read or refused; nothing runs, hangs or crashes."""

import io
import os
import random
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import save

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import read_state_dict

# What reading a file must never do.
FORBIDDEN = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename"),
    *("subprocess.Popen", "socket.connect", "pickle.find_class", "shutil.rmtree", "ctypes.dlopen"),
}
STRUCTURE = b"cRbioQq\x93\x81\x92\x95\x97\x80.(lde]}ths0123t\x85\x86\x87\x8a\x8b\x8c\x8d\x8f\x90"


@pytest.fixture(scope="module")
def valid(golden):
    """Small whole files of every format, by the ending that they have."""
    arrays = {
        "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
        "conv.bias": np.ones(2, np.float16),
        "steps": np.array(7),
    }
    plain, packed = io.BytesIO(), io.BytesIO()
    np.savez(plain, **arrays)
    np.savez_compressed(packed, **arrays)
    files = [path.read_bytes() for path in sorted((golden / "checkpoints").glob("*.pt*"))]
    return [*files, save(arrays), plain.getvalue(), packed.getvalue()]


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to eight changes: bits, bytes, sizes, cuts, insertions, pieces of other files."""
    d = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        n = len(d)
        if n < 8:
            break
        # Structure stands at the start and at the end.
        place = rng.random()
        near = rng.randrange(min(n, 400))
        p = near if place < 0.35 else n - 1 - near if place < 0.6 else rng.randrange(n)
        length, q = rng.choice([1, 2, 4, 8, 50, 400]), rng.randrange(n)
        kind = rng.randrange(9)
        if kind == 0:
            d[p] ^= 1 << rng.randrange(8)
        elif kind == 1:
            d[p] = rng.randrange(256)
        elif kind == 2:
            del d[p : p + length]
        elif kind == 3:
            d[p:p] = rng.randbytes(length)
        elif kind == 4:
            del d[p:]
        elif kind == 5:
            width = rng.choice([2, 4, 8])
            top = 2 ** (8 * width)
            value = rng.choice([0, 1, top - 1, top // 2 - 1, top // 2, rng.randrange(top)])
            d[p : p + width] = value.to_bytes(width, "little")
        elif kind == 6:
            d[p:p] = d[q : q + length]
        elif kind == 7:
            d[p] = rng.choice(STRUCTURE)
        else:
            other = rng.choice(others)
            q = rng.randrange(len(other))
            d[p : p + length] = other[q : q + length]
    return bytes(d)


def check(valid: list[bytes], count: int, seed: int, path) -> dict[str, int]:
    """Read ``count`` mutated files; returns how many were read and refused."""
    events, armed = [], [False]

    def hook(event, arguments):
        if event == "exec" and os.path.exists(arguments[0].co_filename):
            return  # a module of Python, imported when it is needed
        opened = event == "open" and isinstance(arguments[1], str)
        if armed[0] and (
            event in FORBIDDEN or event == "exec" or (opened and set(arguments[1]) & set("wax+"))
        ):
            events.append((event, str(arguments)[:100]))

    sys.addaudithook(hook)  # for the life of this process: there is no way to remove one
    rng = random.Random(seed)
    ends = {"read": 0, "refused": 0}
    for number in range(count):
        path.write_bytes(mutate(rng, valid[number % len(valid)], valid))
        clock = time.process_time()
        armed[0] = True
        try:
            arrays = read_state_dict(path)
            ends["read"] += 1
        except JaxnetsError as error:
            arrays = {}
            ends["refused"] += 1
            assert len(str(error)) < 3_000 and "\x1b" not in str(error), (seed, number)
        finally:
            armed[0] = False
        # Any other exception ends the test, with this file in its temporary folder.
        assert all(isinstance(array, np.ndarray) for array in arrays.values())
        assert all(array.dtype.kind in "biufcV" for array in arrays.values())
        assert time.process_time() - clock < 5, (seed, number)
        assert events == [], (seed, number, events)
    return ends


def test_mutated_files(valid, tmp_path):
    ends = check(valid, 400, seed=0, path=tmp_path / "w.pt")
    assert min(ends.values()) > 20  # both ends are reached


@pytest.mark.slow
def test_thirty_thousand_mutated_files(valid, tmp_path):
    ends = check(valid, 30_000, seed=1, path=tmp_path / "w.pt")
    assert min(ends.values()) > 1_000
    print("\n", ends)
