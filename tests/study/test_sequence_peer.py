"""The process beside which sequences are timed: one line of JSON for each question."""

import stat
import sys

import pytest

from jaxnets.study.sequence_peer import Peer

ANSWERS = """#!{python}
import json, sys
print(json.dumps({{"torch": "of threads " + sys.argv[2]}}), flush=True)
for line in sys.stdin:
    print(json.dumps({{"seconds": json.loads(line)["units"] / 2}}), flush=True)
"""


def program(path, text):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_peer_answers_each_case_and_ends(tmp_path):
    peer = Peer(program(tmp_path / "python", ANSWERS.format(python=sys.executable)), 3)
    assert peer.version == "of threads 3"
    assert [peer({"units": n}) for n in (1, 4)] == [0.5, 2.0]
    peer.close()


def test_a_python_without_torch_is_said_in_a_sentence(tmp_path):
    with pytest.raises(RuntimeError, match="torch cannot be run there"):
        Peer(program(tmp_path / "python", "#!/bin/sh\nexit 1\n"), 1)
