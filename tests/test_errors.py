"""What a user who mistypes a name is told."""

import pytest

from jaxnets import ops
from jaxnets.errors import ALIASES, UnknownNameError, explain_failure, resolve_alias, suggest
from jaxnets.optim import create_optimizer


@pytest.mark.parametrize(
    ("written", "known", "offered"),
    [
        ("bgfs", ["adam", "bfgs", "lbfgs"], "bfgs"),
        ("BGFS", ["bfgs", "newton"], "bfgs"),
        ("L-BGFS", ["bfgs", "lbfgs"], "lbfgs"),
        ("lbgfs", ["bfgs", "lbfgs"], "lbfgs"),
        ("xavir", ops.__all__, "xavier_normal"),
        ("Xavir_normal", ops.__all__, "xavier_normal"),
        ("maxou", ops.__all__, "maxout"),
        ("stassen", ["direct", "fft", "im2col", "strassen", "winograd"], "strassen"),
    ],
)
def test_misspellings_lead_to_the_name_that_is_meant(written, known, offered):
    sentence = suggest(written, known)
    first = sentence.removeprefix("Did you mean ").split("'")[1]
    assert first == offered, sentence


@pytest.mark.parametrize("written", sorted(ALIASES))
def test_every_alias_is_resolved_whatever_its_case_and_surroundings(written):
    meant = ALIASES[written]
    assert resolve_alias(written.upper()) == meant
    assert resolve_alias(f"{written}_2") == f"{meant}_2"
    assert repr(meant) in suggest(written, ["something_else", meant])


def test_right_spellings_are_left_alone():
    for word in {*ALIASES.values(), "resnet50", "lenet5"}:
        assert resolve_alias(word) == word


def test_the_error_of_a_registry_offers_them():
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        create_optimizer("adm", 1e-3)


@pytest.mark.parametrize("words", ["[OS error 28: full]", "to file 13: full [os_error_code='28']"])
def test_a_full_disk_is_known_by_the_words_of_tensorstore(words):
    error = ValueError(f'OUT_OF_RANGE: Error writing "key/0" in "/{"x" * 400}": Failed {words}')
    sentence = explain_failure("save", error)
    assert sentence.startswith("cannot save: No space left on device. Make room there;")
