"""hf:// addresses, without a network and without the client: a stand-in for it."""

import sys
import types

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import hub, read_state_dict


class EntryNotFoundError(Exception):
    pass


class LocalEntryNotFoundError(EntryNotFoundError):
    pass


@pytest.fixture
def client(monkeypatch):
    """Install a stand-in for huggingface_hub; its answers are a dict of file → path or error."""
    answers, asked = {}, []

    def hf_hub_download(repository, name, revision=None):
        asked.append((repository, name, revision))
        answer = answers.get(name, EntryNotFoundError("404"))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    package, errors = (
        types.ModuleType("huggingface_hub"),
        types.ModuleType("huggingface_hub.errors"),
    )
    package.hf_hub_download, package.errors = hf_hub_download, errors
    errors.EntryNotFoundError = EntryNotFoundError
    monkeypatch.setitem(sys.modules, "huggingface_hub", package)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return answers, asked


def test_a_repository_s_usual_files_are_tried_in_turn(client, tmp_path):
    answers, asked = client
    path = tmp_path / "weights"
    save_file({"w": np.ones(3, np.float32)}, path)
    answers["pytorch_model.bin"] = path
    assert list(read_state_dict("hf://someone/net")) == ["w"]
    assert asked == [
        ("someone/net", "model.safetensors", None),
        ("someone/net", "pytorch_model.bin", None),
    ]


def test_file_and_revision(client, tmp_path):
    answers, asked = client
    answers["sub/w.pth"] = tmp_path
    assert hub.fetch("hf://someone/net@v2/sub/w.pth") == tmp_path
    assert asked == [("someone/net", "sub/w.pth", "v2")]


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("cannot find the file on the Hub, check your connection"),
        ConnectionError("no route"),
        EntryNotFoundError("404"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_offline_says_what_to_do(client, error):
    answers, _ = client
    answers["model.safetensors"] = error
    with pytest.raises(JaxnetsError, match=r"could not be fetched.*give its path"):
        read_state_dict("hf://someone/net")


def test_without_the_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(JaxnetsError, match=r"pip install 'jaxnets\[hub\]'"):
        read_state_dict("hf://someone/net")


@pytest.mark.parametrize("address", ["hf://", "hf://someone", "hf://someone/", "hf:///net"])
def test_incomplete_addresses(address):
    with pytest.raises(JaxnetsError, match="expected hf://owner/repo"):
        hub.fetch(address)
