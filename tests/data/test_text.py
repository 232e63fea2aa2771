"""Text: vocabularies, files, pairs in buckets, and sentences about what cannot be read."""

import itertools

import numpy as np
import pytest

from jaxnets.data import text
from jaxnets.data.buckets import SequencePairs, choose_buckets
from jaxnets.errors import JaxnetsError

LINES = ["Ein Hund läuft, schnell.", "zwei hunde laufen im schnee .", "ein  Hund\tläuft"] * 3


@pytest.mark.parametrize("kind", ["bpe", "word", "character"])
def test_text_comes_back_and_the_vocabulary_is_saved(kind, tmp_path):
    tokenizer = text.train_tokenizer(LINES, 90, kind=kind)
    for line in LINES:
        numbers = tokenizer.encode(line)
        assert numbers[-1] == text.END and text.UNKNOWN not in numbers
        assert tokenizer.decode([text.START, *numbers, 9, 9]) == " ".join(line.split())
    again = text.load_tokenizer(tokenizer.save(tmp_path / "v.json"))
    assert again.fingerprint == tokenizer.fingerprint
    assert again.encode(LINES[0]) == tokenizer.encode(LINES[0])


def test_unknown_pieces_are_named():
    tokenizer = text.train_tokenizer(["a b"], 9, kind="word", min_frequency=1, lowercase=True)
    assert tokenizer.encode("A x b") == [4, text.UNKNOWN, 5, text.END]
    assert tokenizer.unknown("A x b") == ["x"]


def write(path, data):
    path.write_bytes(data)
    return path


SENTENCES = {
    "no words": (lambda p: text.train_tokenizer(["a"], 9).encode(" \n"), "nothing to read"),
    "kind": (lambda p: text.train_tokenizer(["a"], 9, kind="wrod"), "Did you mean 'word'"),
    "size": (lambda p: text.train_tokenizer(["a"], 4), "size: got 4"),
    "rare": (lambda p: text.train_tokenizer(["a"], 9, kind="word"), "no word occurs 2 times"),
    "not a vocabulary": (lambda p: text.load_tokenizer(write(p, b"{}")), "no tokenizer"),
    "missing": (lambda p: text.read_lines(p), "cannot read"),
    "latin-1": (lambda p: text.read_lines(write(p, b"ok\nM\xe4r\n")), "line 2: byte 0xe4 is no"),
    "empty": (lambda p: text.read_lines(write(p, b"")), "has no lines"),
    "ragged": (
        lambda p: text.read_pairs(write(p, b"a\nb\n"), write(p.with_suffix(".en"), b"a\n")),
        "has 2 lines and .* has 1",
    ),
    "no pair": (
        lambda p: text.read_pairs(write(p, b"a\n\n"), write(p.with_suffix(".en"), b"\nb\n")),
        "no pair of lines",
    ),
    "one pair": (lambda p: text.split_pairs((["a"], ["b"]), 0.5), "of 1 pairs"),
    "archive": (lambda p: text.read_multi30k(write(p, b"no archive")), "cannot unpack"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_bad_text_is_said_in_a_sentence(name, tmp_path):
    call, sentence = SENTENCES[name]
    with pytest.raises(JaxnetsError, match=sentence):
        call(tmp_path / "file.de")


def test_other_separators_do_not_cut_lines_and_a_mark_is_left_out(tmp_path):
    path = write(tmp_path / "a", "\ufeffein\u2028Hund\r\nzwei\n".encode())
    assert text.read_lines(path) == ["ein\u2028Hund", "zwei"]


def test_multi30k_is_read_from_folder_and_archive(tmp_path):
    import tarfile

    folder = tmp_path / "multi30k"
    folder.mkdir()
    for name in ("train", "val", "test_2016_flickr"):
        (folder / f"{name}.lc.norm.tok.de").write_text(f"{name} eins\n")
        (folder / f"{name}.lc.norm.tok.en").write_text(f"{name} one\n")
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as archive:
        archive.add(folder, "multi30k")
    found = text.read_multi30k(folder)
    assert found == text.read_multi30k(tmp_path / "m.tar.gz")
    assert found["validation"] == (["val eins"], ["val one"])
    swapped = text.read_multi30k(folder, source="en", target="de")
    assert swapped["test"] == (["test_2016_flickr one"], ["test_2016_flickr eins"])


def padded(lengths, edges):
    return sum(min(e for e in edges if e >= length) for length in lengths)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_buckets_pad_least(count):
    lengths = np.random.default_rng(0).integers(1, 12, 40)
    best = min(
        padded(lengths, edges)
        for edges in itertools.combinations(range(1, 12), count)
        if max(edges) >= lengths.max()
    )
    bounds = choose_buckets(lengths, np.ones(40, int), count)
    assert len(bounds) == count
    assert padded(lengths, [source for source, _ in bounds]) == best


def pairs():
    draw = np.random.default_rng(1)
    lengths = draw.integers(1, 9, (50, 2))
    sources, targets = ([np.full(n, row) for row, n in enumerate(ns)] for ns in lengths.T)
    return SequencePairs(sources, targets, choose_buckets(*lengths.T, 3))


def test_each_epoch_has_every_pair_once_and_batches_of_one_bucket():
    source = pairs()
    order = source.order(4)
    first, again, second = order(0, 0), order(0, 0), order(0, 1)
    assert (first == again).all() and not (first == second).all()
    assert sorted(first) == list(range(50))
    buckets = source._bucket[first][: 50 // 4 * 4].reshape(-1, 4)
    # All whole batches are of one bucket; fewer than a batch is left over of each.
    assert (np.ptp(buckets, axis=1) > 0).sum() <= len(source.buckets)
    shapes = {source.take(first[i : i + 4])["tokens"].shape[1] for i in range(0, 50, 4)}
    assert shapes <= {bound for bound, _ in source.buckets}


def test_a_batch_holds_its_pairs_and_nothing_else():
    source = pairs()
    batch = source.take(np.array([7, 3]))
    for row, number in enumerate((7, 3)):
        for key, mask, side in (
            ("tokens", "token_mask", source.sources),
            ("targets", "target_mask", source.targets),
        ):
            assert batch[key][row][batch[mask][row]].tolist() == side[number].tolist()
    part = source.subset([7, 3])
    assert len(part) == 2 and (part.take(np.array([1]))["tokens"][0, 0]) == 3
    assert (np.diff([source._bucket[row] for row in source.by_length()]) >= 0).all()


def test_features_are_pairs_too():
    source = SequencePairs([np.ones((3, 2))], [[4, 2]], ((4, 2),), extra={"row": np.array([9])})
    batch = source.take(np.array([0]))
    assert batch["sequence"].shape == (1, 4, 2) and batch["row"].tolist() == [9]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: SequencePairs([[1] * 5], [[2]], ((4, 4),)), r"pair 0 has lengths \(5, 1\)"),
        (lambda: SequencePairs([[]], [[2]], ((4, 4),)), r"pair 0 has lengths \(0, 1\)"),
        (lambda: SequencePairs([[1]], [], ((4, 4),)), "1 sources and 0 targets"),
    ],
)
def test_pairs_that_no_bucket_holds(call, sentence):
    with pytest.raises(JaxnetsError, match=sentence):
        call()
