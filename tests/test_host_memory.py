"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

from jaxnets import host_memory

# Page faults of ten arrays of 64 MiB, one after the other.
PROGRAM = """
import resource, sys
import numpy as np
from jaxnets import reuse_freed_memory
done = reuse_freed_memory() if sys.argv[1] == "reuse" else None
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(1 << 24, np.float32)
before = faults()
for _ in range(10):
    np.ones(1 << 24, np.float32)
print(done, faults() - before)
"""


def run(word, environment=None):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, word],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    said, faults = done.stdout.split()
    return said, int(faults)


@pytest.mark.skipif(host_memory.platform.libc_ver()[0] != "glibc", reason="for glibc")
def test_blocks_are_not_taken_from_the_system_again(monkeypatch):
    for name in host_memory._CHOSEN:
        monkeypatch.delenv(name, raising=False)
    _, fresh = run("default")
    said, reused = run("reuse")
    assert said == "True"
    # NumPy asks for huge pages where the system has them: fewer faults, and still ten times more.
    assert reused < 200 and reused * 10 < fresh


def test_what_a_user_has_chosen_stands(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert host_memory.reuse_freed_memory() is False
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    monkeypatch.setattr(host_memory.platform, "libc_ver", lambda: ("", ""))
    assert host_memory.reuse_freed_memory() is False
