"""Published recurrent networks: the real files where the machine has them, small ones anywhere."""

import io
import itertools
import json
import os
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.sequence import pronounce, read_characters
from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import load_char_rnn, load_g2p
from jaxnets.pretrained.sequence_files import GRAPHEMES, PHONEMES

ROOT = Path(__file__).resolve().parents[2]


def real(name: str) -> Path:
    for place in (os.environ.get("JAXNETS_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if place and (file := Path(place) / "weights" / name).exists():
            return file
    pytest.skip(f"no {name} on this machine (JAXNETS_TEST_DATA)")


def small_g2p(random, units=3):
    shapes = {"enc_emb": (29, units), "dec_emb": (74, units), "fc_w": (74, units), "fc_b": (74,)}
    for part in ("enc", "dec"):
        shapes |= {f"{part}_{name}": (3 * units, units) for name in ("w_ih", "w_hh")}
        shapes |= {f"{part}_{name}": (3 * units,) for name in ("b_ih", "b_hh")}
    return {name: random.standard_normal(shape) for name, shape in shapes.items()}


def spelled(a, word):
    """g2p_en's own predict, as its formula: greedy, at most 20 phonemes."""

    def gru(x, h, part):
        i = x @ a[f"{part}_w_ih"].T + a[f"{part}_b_ih"]
        s = h @ a[f"{part}_w_hh"].T + a[f"{part}_b_hh"]
        (r, z, n), (r2, z2, n2) = np.split(i, 3), np.split(s, 3)
        r, z = 1 / (1 + np.exp(-(r + r2))), 1 / (1 + np.exp(-(z + z2)))
        return (1 - z) * np.tanh(n + r * n2) + z * h

    h, made, token = np.zeros(a["enc_w_hh"].shape[1]), [], 2
    for letter in (*word, "</s>"):
        h = gru(a["enc_emb"][GRAPHEMES.index(letter)], h, "enc")
    for _ in range(20):
        h = gru(a["dec_emb"][token], h, "dec")
        token = int((a["fc_w"] @ h + a["fc_b"]).argmax())
        if token == 3:
            break
        made.append(PHONEMES[token])
    return " ".join(made)


def test_a_small_network_spells_as_its_formula_and_beams_of_1_the_same(tmp_path):
    a = small_g2p(np.random.default_rng(0))
    np.savez(tmp_path / "g2p.npz", **a)
    network = load_g2p(tmp_path / "g2p.npz")
    words = ["ab", "zoology", "q"]
    made = pronounce.pronounce(network, words, pronounce.Config())
    assert made == [spelled(a, word) for word in words]
    assert len(set(made)) > 1


def test_g2p_en_spells_its_example():
    network = load_g2p(real("g2p_en_checkpoint20.npz"))
    (made,) = pronounce.pronounce(network, ["activationist"], pronounce.Config())
    assert made == "AE2 K T IH0 V EY1 SH AH0 N IH0 S T"


def char_rnn_files(random, units=3, characters="ab c"):
    """The files of a charRNN with two layers, by name."""
    cell = "rnnlm/multi_rnn_cell/cell_{}/basic_lstm_cell/"
    size = len(characters)
    arrays = {"embedding": (size, units), "rnnlm/softmax_w": (units, size)}
    arrays |= {"rnnlm/softmax_b": (size,)}
    for i in range(2):
        arrays |= {cell.format(i) + "kernel": (2 * units, 4 * units)}
        arrays |= {cell.format(i) + "bias": (4 * units,)}
    arrays = {k: random.standard_normal(s).astype(np.float32) for k, s in arrays.items()}
    manifest = {
        k: {"filename": k.replace("/", "_"), "shape": list(v.shape)} for k, v in arrays.items()
    }
    vocabulary = {character: number for number, character in enumerate(characters)}
    files = {k.replace("/", "_"): v.tobytes() for k, v in arrays.items()}
    files |= {"manifest.json": json.dumps(manifest).encode()}
    return arrays, files | {"vocab.json": json.dumps(vocabulary).encode()}


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"charRNN/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_small_character_network_is_tensorflows_formula(tmp_path):
    arrays, files = char_rnn_files(np.random.default_rng(0))
    network = load_char_rnn(write_archive(tmp_path / "small.tar.gz", files))
    text, states = "a cab", [np.zeros((2, 3)) for _ in range(2)]
    sigmoid, bits = (lambda a: 1 / (1 + np.exp(-a))), []
    for before, after in itertools.pairwise(text):
        x = arrays["embedding"]["ab c".index(before)]
        for i, (h, c) in enumerate(states):
            cell = f"rnnlm/multi_rnn_cell/cell_{i}/basic_lstm_cell/"
            gates = np.concatenate((x, h)) @ arrays[cell + "kernel"] + arrays[cell + "bias"]
            i_gate, j, f, o = np.split(gates, 4)
            c = c * sigmoid(f + 1) + sigmoid(i_gate) * np.tanh(j)
            x = sigmoid(o) * np.tanh(c)
            states[i] = np.stack((x, c))
        logits = x @ arrays["rnnlm/softmax_w"] + arrays["rnnlm/softmax_b"]
        bits.append(np.log2(np.exp(logits).sum()) - logits["ab c".index(after)] / np.log(2))
    found = read_characters.bits_per_character(network, text)
    assert found == pytest.approx(np.mean(bits), rel=1e-5)


def test_the_real_character_network_predicts_english_only_with_its_gates_in_order():
    network = load_char_rnn(real("charrnn_bronte.tar.gz"))
    assert read_characters.bits_per_character(network, read_characters.TEXT) < 2.1
    params = network.variables["params"]

    def swapped(kernel):
        i, f, g, o = np.split(np.asarray(kernel), 4, -1)
        return np.concatenate((i, g, f, o), -1)  # i, f, j, o taken for i, j, f, o

    wrong = {**params, "recurrent": jax.tree.map(swapped, params["recurrent"])}
    network = network._replace(variables={"params": wrong})
    assert read_characters.bits_per_character(network, read_characters.TEXT) > 10


def damaged(files, **changes):
    return {k: v for k, v in {**files, **changes}.items() if v is not None}


SENTENCES = {
    "no manifest": ({"manifest.json": None}, "no manifest.json"),
    "no JSON": ({"vocab.json": b"{"}, "is no JSON"),
    "short": ({"embedding": b"1234"}, "embedding has 4 bytes"),
    "vocabulary": ({"vocab.json": b'{"a": 0}'}, "a vocabulary of another network"),
    "number": ({"vocab.json": b'{"a": 7, "b": 1}'}, "the number 7"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_a_damaged_character_network_is_said_in_a_sentence(name, tmp_path):
    changes, sentence = SENTENCES[name]
    _, files = char_rnn_files(np.random.default_rng(0))
    with pytest.raises(JaxnetsError, match=sentence):
        load_char_rnn(write_archive(tmp_path / "x.tar.gz", damaged(files, **changes)))


def test_other_files_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"no archive")
    with pytest.raises(JaxnetsError, match="is no archive"):
        load_char_rnn(tmp_path / "x.tar.gz")
    a = small_g2p(np.random.default_rng(0))
    np.savez(tmp_path / "a.npz", **{k: v for k, v in a.items() if k != "fc_w"})
    with pytest.raises(JaxnetsError, match="lacks fc_w"):
        load_g2p(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{**a, "enc_emb": a["enc_emb"][:5]})
    with pytest.raises(JaxnetsError, match="another vocabulary"):
        load_g2p(tmp_path / "b.npz")
    with pytest.raises(JaxnetsError, match="letters a to z"):
        pronounce.pronounce(pronounce.random_network(), ["don't"], pronounce.Config())
    with pytest.raises(JaxnetsError, match="knows no"):
        read_characters.encode(read_characters.random_network(), "é")
