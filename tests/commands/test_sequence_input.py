"""What users hand to the systems that read sequences: each is answered, or refused in a sentence.

The networks are fresh ones in place of trained runs, so that nothing is trained here.
"""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile
from PIL import Image

from experiments.sequence import answer, bake_off, caption, spell, translate, walk
from jaxnets import command, train
from jaxnets.data.captions import drawn_captions
from jaxnets.data.sail import made_up_walks
from jaxnets.data.text import number_words, train_tokenizer
from jaxnets.tasks import translator
from jaxnets.tasks.answering import question_vocabulary
from jaxnets.tasks.captioning import PlaceFeatures
from jaxnets.tasks.spelling import MELS, letters_of_digits

ONE = np.ones((1, 1), np.int32)
SMALL = {
    translate: ("--features", "4", "--embedding", "4", "--longest", "5", "--beams", "1"),
    answer: ("--features", "4", "--widths", "4", "8"),
    spell: ("--features", "4", "--embedding", "4", "--pyramid", "1"),
    walk: ("--features", "4", "--longest", "5", "--walks", "30"),
    caption: ("--features", "4", "--embedding", "4", "--longest", "5", "--beams", "1"),
}


def config_of(module):
    return command.run(lambda config: config, module.Config, SMALL[module])


def fresh(model, *inputs):
    return jax.jit(model.init)(jax.random.PRNGKey(0), *inputs)


def make_translator(folder):
    words = translator.train_vocabularies(number_words(60), 60)
    words.save(folder)
    return fresh(translate.build(config_of(translate), words), ONE, ONE), words.meta


def make_answerer(folder):
    words = question_vocabulary(["what color is the shape?"])
    words.save(folder / "vocabulary.json")
    model = answer.build(config_of(answer), words, 2, 5)
    variables = fresh(model, np.ones((1, 16, 16, 3), np.float32), ONE)
    kept = {"answers": ["red", "blue"], "longest": 5, "size": 16}
    return variables, {"vocabulary": words.fingerprint, **kept}


def make_speller(folder):
    letters = letters_of_digits()
    letters.save(folder / "letters.json")
    variables = fresh(spell.build(config_of(spell), letters), np.ones((1, 8, MELS)), ONE)
    return variables, {"letters": letters.fingerprint}


def make_walker(folder):
    world, told = made_up_walks(30)
    words = train_tokenizer([one.sentence for one in told], 60, kind="word", min_frequency=1)
    (folder / "square").mkdir()
    words.save(folder / "square" / "vocabulary.json")
    model = walk.build(config_of(walk), world, words)
    return fresh(model, ONE, ONE[0], ONE), {"vocabulary": words.fingerprint}


def make_captioner(folder):
    texts = [text for several in drawn_captions(20).texts for text in several]
    words = train_tokenizer(texts, 60, kind="word", min_frequency=1)
    words.save(folder / "vocabulary.json")
    places = PlaceFeatures()(np.zeros((1, 16, 16, 3), np.uint8))
    variables = fresh(caption.build(config_of(caption), words), places, ONE)
    return variables, {"vocabulary": words.fingerprint, "sees": "patches and their places"}


MAKERS = {
    translate: make_translator,
    answer: make_answerer,
    spell: make_speller,
    walk: make_walker,
    caption: make_captioner,
}


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Module → (folder of the run, variables, what the run keeps), made when asked for."""
    made = {}

    def find(module):
        if module not in made:
            folder = tmp_path_factory.mktemp(module.__name__.rsplit(".", 1)[-1])
            made[module] = folder, *MAKERS[module](folder)
        return made[module]

    return find


@pytest.fixture
def ask(networks, tmp_path, monkeypatch, capsys):
    """(module, words of the command line) → (result or None where it is refused, what it says)."""

    def run(module, *words, spoil=None):
        where = ()
        monkeypatch.chdir(tmp_path)
        if module in MAKERS:
            folder, variables, meta = networks(module)
            here = tmp_path / folder.name
            shutil.copytree(folder, here, dirs_exist_ok=True)
            found = train.Reopened(None, variables, 0, meta)
            for place in (train, translator):
                monkeypatch.setattr(place, "reopen", lambda workdir: found)
            if spoil is not None:
                other = train_tokenizer(["x y"], 9, kind="word", min_frequency=1)
                other.save(here / spoil)
            where = (*SMALL[module], "--workdir", str(here))
        capsys.readouterr()
        try:
            result = command.run(module.main, module.Config, [*where, *map(str, words)])
        except SystemExit as stopped:
            assert stopped.code == 2
            result = None
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return result, said.out + said.err

    return run


def sound(path, wave, rate):
    soundfile.write(path, wave, rate)
    return path


def put(path, data):
    path.write_bytes(data)
    return path


REFUSED = {
    "translate, no words": (lambda ask, p: ask(translate, "--input", " "), "nothing to read"),
    "translate, another run's vocabulary": (
        lambda ask, p: ask(translate, "--input", "eins", spoil="target_vocabulary.json"),
        "vocabulary of another run",
    ),
    "answer, no words": (
        lambda ask, p: ask(answer, "--input", picture(p), "--question", " ? "),
        "nothing to read",
    ),
    "answer, another run's vocabulary": (
        lambda ask, p: ask(answer, "--input", picture(p), spoil="vocabulary.json"),
        "vocabulary of another run",
    ),
    "answer, no picture": (
        lambda ask, p: ask(answer, "--input", put(p / "a.png", b"hello")),
        "can't read the image",
    ),
    "spell, no samples": (
        lambda ask, p: ask(spell, "--input", sound(p / "a.wav", np.zeros(0), 8000)),
        "holds no samples",
    ),
    "spell, no sound": (
        lambda ask, p: ask(spell, "--input", put(p / "a.wav", b"hello")),
        "no sound file",
    ),
    "spell, another run's letters": (
        lambda ask, p: ask(
            spell, "--input", sound(p / "a.wav", np.ones(900) / 2, 8000), spoil="letters.json"
        ),
        "vocabulary of another run",
    ),
    "walk, no words": (lambda ask, p: ask(walk, "--input", " "), "nothing to read"),
    "walk, no such place": (
        lambda ask, p: ask(walk, "--input", "turn left", "--at", "square 99 0 0"),
        "no such pose",
    ),
    "walk, another run's vocabulary": (
        lambda ask, p: ask(walk, "--input", "turn left", spoil="square/vocabulary.json"),
        "vocabulary of another run",
    ),
    "caption, no picture": (
        lambda ask, p: ask(caption, "--input", put(p / "a.png", b"hello")),
        "can't read the image",
    ),
    "caption, another run's vocabulary": (
        lambda ask, p: ask(caption, "--input", picture(p), spoil="vocabulary.json"),
        "vocabulary of another run",
    ),
    "bake_off, no UTF-8": (
        lambda ask, p: ask(bake_off, "--task", "characters", "--text", put(p / "a", b"M\xe4r\n")),
        "line 1: byte 0xe4 is no UTF-8",
    ),
}


def picture(folder: Path) -> Path:
    path = folder / "picture.png"
    Image.fromarray(drawn_captions(1).pictures[0]).save(path)
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_a_sentence(name, ask, tmp_path):
    call, sentence = REFUSED[name]
    result, said = call(ask, tmp_path)
    assert result is None and sentence in said, said


def test_files_to_translate_are_utf8_and_belong_together(ask, tmp_path, monkeypatch):
    german, english = tmp_path / "a.de", tmp_path / "a.en"
    for data, sentence in ((b"ein\nM\xe4r\n", "line 2: byte 0xe4 is no UTF-8"), (b"a\n", "lines")):
        put(german, data), put(english, b"one\ntwo\n")
        result, said = ask(translate, "--source", german, "--target", english)
        assert result is None and sentence in said
    result, said = ask(translate, "--source", german)
    assert result is None and "belong together" in said


def test_sentences_of_any_length_and_with_unknown_words_are_translated(ask):
    """Ragged ones together; sixty words where the run's bucket had five; letters never seen."""
    sentences = ("eins", "zwei drei eins", "eins zwei " * 30, "qqq eins")
    result, said = ask(translate, "--input", *sentences)
    assert set(result["input"]) == set(sentences)
    assert said.count("note: unknown") == 1 and "q" in said


def test_long_questions_and_unknown_words_are_named(ask, tmp_path):
    question = ("--question", "what color is the zebra, and is it a striped one?")
    result, said = ask(answer, "--input", picture(tmp_path), *question)
    assert set(result["input"]) == {"red", "blue"}
    assert "never read" in said and "zebra" in said and "first 5 words" in said


def test_sounds_with_channels_and_rates_of_their_own_are_spelled(ask, tmp_path):
    wave = 0.5 * np.sin(np.arange(4410) / 9.0)
    stereo = sound(tmp_path / "stereo.wav", np.stack((wave, wave), 1), 44_100)
    plain = sound(tmp_path / "plain.wav", wave, 44_100)
    result, _ = ask(spell, "--input", stereo, plain)
    # Two equal channels are one; three seconds are no fault either.
    assert result["input"][str(stereo)] == result["input"][str(plain)]
    long = sound(tmp_path / "long.wav", np.tile(wave, 30), 44_100)
    assert str(long) in ask(spell, "--input", long)[0]["input"]


def test_walks_by_unknown_words_say_so(ask):
    result, said = ask(walk, "--input", "turn left to the elephant", "--at", "square 2 2 90")
    assert len(result["input"]) == 1
    assert "never read" in said and "elephant" in said
