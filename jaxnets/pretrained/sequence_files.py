"""Published recurrent networks: English letters to phonemes, and a novelist's characters."""

import json
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import EncoderDecoder, LanguageModel
from jaxnets.pretrained.recurrent_layouts import (
    TENSORFLOW_FORGET_BIAS,
    recurrent_from,
    recurrent_params,
)
from jaxnets.pretrained.state_dict import read_state_dict

# g2p_en: ids of what is read and of what is written are places in these.
GRAPHEMES = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
_VOWELS = ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"]
_STRESSED = [f"{vowel}{stress}" for vowel in _VOWELS for stress in "012"]
_CONSONANTS = [*"BDFGKLMNPRSTVWYZ", "CH", "DH", "HH", "JH", "NG", "SH", "TH", "ZH"]
PHONEMES = ("<pad>", "<unk>", "<s>", "</s>", *sorted([*_STRESSED, *_CONSONANTS, "UW"]))
# Larger files are no weights of these networks.
MOST_BYTES = 2**28


class SequenceNetwork(NamedTuple):
    """A network with its weights and what its tokens mean.

    Attributes:
        model: the Flax module.
        variables: ``{"params": …}``, NumPy arrays.
        source: what is read, by number; the same as ``target`` for a language model.
        target: what is written, by number.

    >>> SequenceNetwork(None, {}, ("a",), ("AA1",)).target
    ('AA1',)
    """

    model: nn.Module
    variables: dict[str, Any]
    source: tuple[str, ...]
    target: tuple[str, ...]


def load_g2p(path: str | Path) -> SequenceNetwork:
    """The letters-to-phonemes network of g2p_en: a GRU encoder-decoder.

    It reads a word's letters and ``</s>``; its decoder starts with ``<s>`` and ends with ``</s>``.

    Args:
        path: an .npz with enc_emb, enc_w_ih, …, dec_b_hh, fc_w, fc_b (checkpoint20.npz).

    Returns:
        an `EncoderDecoder` with its weights, letters and phonemes.

    Raises:
        JaxnetsError: the file cannot be read, or is that of another network; the message names what
            is missing.

    Source: Park & Kim 2019 (g2pE, github.com/Kyubyong/g2p).

    >>> import tempfile
    >>> shapes = {"enc_emb": (29, 4), "dec_emb": (74, 4), "fc_w": (74, 4), "fc_b": (74,)}
    >>> for part in ("enc", "dec"):
    ...     shapes |= {f"{part}_w_ih": (12, 4), f"{part}_w_hh": (12, 4)}
    ...     shapes |= {f"{part}_b_ih": (12,), f"{part}_b_hh": (12,)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "g2p.npz"), **{k: np.zeros(v) for k, v in shapes.items()})
    ...     network = load_g2p(Path(folder, "g2p.npz"))
    >>> network.model.features, network.source[3], network.target[4]
    (4, 'a', 'AA0')
    """
    arrays = read_state_dict(path, prefix="")
    wanted = [f"{part}_{name}" for part in ("enc", "dec") for name in ("emb", *_G2P_NAMES)]
    _check_names(path, arrays, [*wanted, "fc_w", "fc_b"])
    rows = arrays["enc_emb"].shape[0], arrays["dec_emb"].shape[0]
    if rows != (len(GRAPHEMES), len(PHONEMES)):
        raise JaxnetsError(
            f"{path}: embeds {rows[0]} letters and {rows[1]} phonemes; g2p_en's own are "
            f"{len(GRAPHEMES)} and {len(PHONEMES)}: another vocabulary"
        )

    def gru(part: str) -> dict[str, Any]:
        weights = {theirs: arrays[f"{part}_{ours}"] for ours, theirs in _G2P_NAMES.items()}
        return {"layer0_forward": recurrent_params("gru", recurrent_from("torch", "gru", weights))}

    params = {
        "source_embed": {"embedding": arrays["enc_emb"]},
        "encoder": gru("enc"),
        "embed": {"embedding": arrays["dec_emb"]},
        "decoder": gru("dec"),
        "head": {"kernel": arrays["fc_w"].T, "bias": arrays["fc_b"]},
    }
    features = arrays["enc_w_hh"].shape[1]
    model = EncoderDecoder(len(GRAPHEMES), len(PHONEMES), features, cell="gru")
    return SequenceNetwork(model, {"params": params}, GRAPHEMES, PHONEMES)


_G2P_NAMES = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
_CELL = "rnnlm/multi_rnn_cell/cell_{}/basic_lstm_cell/"


def load_char_rnn(path: str | Path) -> SequenceNetwork:
    """A character language model of ml5's charRNN, trained with TensorFlow's BasicLSTMCell.

    Args:
        path: a folder with manifest.json, vocab.json and a file of float32 for each entry of the
            manifest, or a .tar.gz with one such folder.

    Returns:
        a `LanguageModel` with its weights and characters.

    Raises:
        JaxnetsError: the file cannot be read, or is that of another network; the message names what
            is missing.

    >>> load_char_rnn("nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: nowhere: no manifest.json there
    """
    files = _folder(Path(path).expanduser())
    try:
        manifest, vocabulary = (json.loads(files[name]) for name in ("manifest.json", "vocab.json"))
    except KeyError as error:
        raise JaxnetsError(f"{path}: no {error.args[0]} there") from None
    except ValueError as error:
        raise JaxnetsError(f"{path}: manifest.json or vocab.json is no JSON ({error})") from None
    arrays = {}
    for name, entry in manifest.items():
        shape, content = tuple(entry["shape"]), files.get(entry["filename"], b"")
        if len(content) != 4 * int(np.prod(shape)):
            raise JaxnetsError(
                f"{path}: {entry['filename']} has {len(content)} bytes; its shape {shape} needs "
                f"{4 * int(np.prod(shape))}"
            )
        arrays[name] = np.frombuffer(content, "<f4").reshape(shape)
    layers = sum(name.endswith("basic_lstm_cell/kernel") for name in arrays)
    kernels = [_CELL.format(i) + name for i in range(max(1, layers)) for name in ("kernel", "bias")]
    _check_names(path, arrays, ["embedding", "rnnlm/softmax_w", "rnnlm/softmax_b", *kernels])
    characters = [""] * len(vocabulary)
    for character, number in vocabulary.items():
        if not (isinstance(number, int) and 0 <= number < len(characters)):
            raise JaxnetsError(f"{path}: vocab.json gives {character!r} the number {number!r}")
        characters[number] = character
    if len(characters) != arrays["embedding"].shape[0]:
        raise JaxnetsError(
            f"{path}: {len(characters)} characters, but embeddings of "
            f"{arrays['embedding'].shape[0]}: a vocabulary of another network"
        )
    recurrent, inputs = {}, arrays["embedding"].shape[1]
    for i in range(layers):
        names = {name: arrays[_CELL.format(i) + name] for name in ("kernel", "bias")}
        weights = recurrent_from(
            "tensorflow", "lstm", names, inputs=inputs, forget_bias=TENSORFLOW_FORGET_BIAS
        )
        recurrent[f"layer{i}_forward"] = recurrent_params("lstm", weights)
        inputs = weights.recurrent.shape[0]
    params = {
        "embed": {"embedding": arrays["embedding"]},
        "recurrent": recurrent,
        "head": {"kernel": arrays["rnnlm/softmax_w"], "bias": arrays["rnnlm/softmax_b"]},
    }
    model = LanguageModel(
        len(characters), inputs, embedding=arrays["embedding"].shape[1], layers=layers
    )
    return SequenceNetwork(model, {"params": params}, tuple(characters), tuple(characters))


def _check_names(path: str | Path, arrays: Mapping[str, Any], wanted: list[str]) -> None:
    if missing := [name for name in wanted if name not in arrays]:
        raise JaxnetsError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(arrays)}")


def _folder(path: Path) -> dict[str, bytes]:
    """The files of a folder, or of the one in an archive, by name; nothing is unpacked to disk."""
    if path.is_dir():
        found = [file for file in path.iterdir() if file.is_file()]
        if sum(file.stat().st_size for file in found) > MOST_BYTES:
            raise JaxnetsError(
                f"{path}: more than {MOST_BYTES} bytes; no such network is that large"
            )
        return {file.name: file.read_bytes() for file in found}
    if not path.is_file():
        return {}
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            left = MOST_BYTES
            for member in archive:
                left -= member.size
                if left < 0:
                    raise JaxnetsError(f"{path}: more than {MOST_BYTES} bytes unpacked")
                if member.isfile():
                    files[Path(member.name).name] = archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise JaxnetsError(f"{path}: is no archive that can be read ({error})") from None
    return files
