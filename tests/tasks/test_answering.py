"""Questions about pictures: readers, both networks, what learning them comes to."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxnets import ops, train
from jaxnets.data.questions import drawn_questions, read_easy_vqa, read_vqa
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import GlimpseAnswerer, PictureGrid, SpatialMemory
from jaxnets.nn import Attend
from jaxnets.tasks.answering import (
    QuestionSource,
    blind_answers,
    common_answers,
    question_answering,
    question_vocabulary,
    scores_by_kind,
)
from jaxnets.tasks.answering_training import answer, hold_out_pictures, train_answerer

TOKENS = jnp.array([[4, 5, 6, 0], [7, 4, 5, 6]])
MASK = jnp.array([[True, True, True, False], [True] * 4])
GRIDS = jax.random.normal(jax.random.PRNGKey(1), (2, 2, 3, 5))
NETWORKS = {
    "memory": SpatialMemory(9, 3, 4, longest=4),
    "memory, two hops": SpatialMemory(9, 3, 4, longest=4, hops=2),
    "glimpses": GlimpseAnswerer(9, 3, 4, 5, 6, 7),
}


def test_the_published_network_has_its_parameters():
    """15,324,602 and 300 for each word, on grids of ResNet-152, 3,000 answers; nothing is made."""
    for words in (1000, 7000):
        model, key = GlimpseAnswerer(words, 3000), jax.random.PRNGKey(0)
        grids, tokens = jnp.zeros((1, 14, 14, 2048)), jnp.zeros((1, 3), int)
        shapes = jax.eval_shape(model.init, key, grids, tokens)
        assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 15_324_602 + 300 * words


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_changes_nothing_and_weights_are_shares(name):
    model = NETWORKS[name]
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), GRIDS, TOKENS)
    apply = jax.jit(lambda v, t, m: model.apply(v, GRIDS, t, token_mask=m, mutable=["attention"]))
    logits, stored = apply(variables, TOKENS, MASK)
    changed, _ = apply(variables, TOKENS.at[0, 3].set(8), MASK)
    np.testing.assert_allclose(changed, logits, atol=1e-6)
    for maps in jax.tree.leaves(stored):
        assert maps.shape[-1] == 6
        np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-6)
    # Both the words and the places decide.
    assert np.abs(apply(variables, TOKENS.at[0, 0].set(8), MASK)[0] - logits)[0].max() > 1e-4
    other = model.apply(variables, GRIDS[::-1], TOKENS, token_mask=MASK)
    assert np.abs(other - logits).max() > 1e-4


def test_a_second_hop_without_evidence_is_one_hop():
    two, one = NETWORKS["memory, two hops"], NETWORKS["memory"]
    variables = jax.jit(two.init)(jax.random.PRNGKey(0), GRIDS, TOKENS)
    params = variables["params"]
    zeros = jax.tree.map(jnp.zeros_like, params["evidence1"])
    without = two.apply({"params": {**params, "evidence1": zeros}}, GRIDS, TOKENS)
    np.testing.assert_array_equal(without, one.apply(variables, GRIDS, TOKENS))
    assert np.abs(two.apply(variables, GRIDS, TOKENS) - without).max() > 1e-4


def test_each_place_counts_by_its_best_word():
    """Against the formula, written for one example and one place at a time."""
    words, places = jax.random.normal(jax.random.PRNGKey(0), (2, 1, 3, 4))
    mask = jnp.array([[[True], [False], [True]]])
    context, weights = Attend("best_word").apply({}, words, places, mask=mask)
    w, p = np.asarray(words[0]), np.asarray(places[0])
    best = [max(float(w[0] @ place), float(w[2] @ place)) for place in p]
    wanted = np.exp(best) / np.exp(best).sum()
    np.testing.assert_allclose(weights[0, 0], wanted, rtol=1e-5)
    np.testing.assert_allclose(context[0, 0], wanted @ p, rtol=1e-5)
    nothing, none = Attend("best_word").apply({}, words, places, mask=mask & False)
    assert not nothing.any() and not none.any()
    scores = ops.best_word_scores(words, places, mask=jnp.ones((1, 3, 3), bool))
    np.testing.assert_array_equal(scores, ops.best_word_scores(words, places))


@pytest.mark.parametrize("word", [4, 5, 6])
def test_the_word_for_a_color_leads_to_the_place_that_has_it(word):
    """Three colors at three of nine places; each color's word is embedded as the color is."""
    model, places = SpatialMemory(8, 3, 3, longest=4), np.zeros((1, 9, 3), np.float32)
    where = {4: 7, 5: 0, 6: 3}
    for color, place in enumerate(where.values()):
        places[0, place, color] = 1.0
    tokens, mask = jnp.array([[7, 7, word, 0]]), jnp.array([[True, True, True, False]])
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), places, tokens)
    params = {**variables["params"], "match": {"kernel": jnp.eye(3), "bias": jnp.zeros(3)}}
    params["embed"] = {"embedding": 8.0 * jnp.zeros((8, 3)).at[4:7].set(jnp.eye(3))}
    _, stored = model.apply(
        {"params": params}, places, tokens, token_mask=mask, mutable=["attention"]
    )
    (weights,) = jax.tree.leaves(stored)
    # exp(8) against eight places with 1 each.
    assert weights[0, 0, where[word]] == pytest.approx(np.exp(8) / (np.exp(8) + 8), rel=1e-5)
    # Two colors that are asked for share the weight.
    _, stored = model.apply(
        {"params": params}, places, tokens.at[0, 0].set(4 + (word - 3) % 3), token_mask=mask,
        mutable=["attention"],
    )  # fmt: skip
    (weights,) = jax.tree.leaves(stored)
    other = where[4 + (word - 3) % 3]
    assert weights[0, 0, where[word]] == pytest.approx(float(weights[0, 0, other]), rel=1e-5)
    assert weights[0, 0, where[word]] > 0.49


def test_glimpses_are_as_many_single_attentions():
    state, places = jnp.ones((1, 1, 4)), GRIDS[:1].reshape(1, 6, 5)
    two = Attend("additive", 3, glimpses=2, activation=ops.relu)
    variables = two.init(jax.random.PRNGKey(0), state, places)
    _, weights = two.apply(variables, state, places)
    params = variables["params"]
    for glimpse in range(2):
        own = {**params, "energy": params["energy"][:, glimpse]}
        del own["energy_bias"]
        single = Attend("additive", 3, activation=ops.relu)
        _, alone = single.apply({"params": own}, state, places)
        np.testing.assert_allclose(weights[:, glimpse], alone[:, 0], rtol=1e-6)
    # The softmax cancels the bias.
    moved = {"params": {**params, "energy_bias": jnp.array([3.0, -1.0])}}
    np.testing.assert_allclose(two.apply(moved, state, places)[1], weights, atol=1e-6)


def test_blind_answers_and_kinds_of_questions():
    training, test = hold_out_pictures(drawn_questions(200))
    assert not set(training.picture) & set(test.picture)
    scores = scores_by_kind(blind_answers(training, test), test)
    colors = test.subset(np.arange(0, len(test.texts), 3))
    blind = scores_by_kind(blind_answers(training, colors), colors)
    assert 0.1 < blind["accuracy"] < 0.6 and set(blind) == {"accuracy", "accuracy_other"}
    assert 0.5 < scores["accuracy_yes_no"] < 0.9
    seen = scores_by_kind([people[0] for people in test.answers], test)
    assert set(seen.values()) == {1.0}


def write_vqa(folder):
    """Two pictures, three questions, ten people."""
    (folder / "train").mkdir()
    for number, color in ((9, "red"), (25, "blue")):
        path = folder / "train" / f"COCO_train2014_{number:012d}.jpg"
        Image.new("RGB", (30, 20), color).save(path)
    asked = [(1, 9, "What color is it?"), (2, 25, "What color is it?"), (3, 25, "Is it red?")]
    said = {1: ["red"] * 8 + ["pink"] * 2, 2: ["blue"] * 10, 3: ["no"] * 7 + ["yes"] * 3}
    questions = [{"question_id": q, "image_id": i, "question": t} for q, i, t in asked]
    annotations = [
        {"question_id": q, "answers": [{"answer": a, "answer_id": n} for n, a in enumerate(s)]}
        for q, s in said.items()
    ]
    (folder / "q.json").write_text(json.dumps({"questions": questions}))
    (folder / "a.json").write_text(json.dumps({"annotations": annotations}))
    return folder / "q.json", folder / "a.json", folder / "train"


def test_files_of_the_challenge_are_read(tmp_path):
    found = read_vqa(*write_vqa(tmp_path), size=8)
    assert found.texts[2] == "Is it red?" and found.picture.tolist() == [0, 1, 1]
    answers = common_answers(found, 4)
    assert answers == ("blue", "red", "no", "yes")
    source = QuestionSource(found, question_vocabulary(found.texts), answers, 4)
    batch = source.take(np.array([0, 2]))
    assert batch["image"].shape == (2, 8, 8, 3) and batch["image"][0, 0, 0, 0] > 200
    np.testing.assert_allclose(batch["label"], [[[0, 0.8, 0, 0]], [[0, 0, 0.7, 0.3]]])
    np.testing.assert_allclose(batch["worth"], [[[0, 1, 0, 0]], [[0, 0, 1, 0.9]]], atol=1e-6)
    # Both questions about the second picture are one example; about the first there is one.
    shared = QuestionSource(found, question_vocabulary(found.texts), answers, 4, together=2)
    both = shared.take(np.array([0, 1]))
    assert shared.rows.tolist() == [[0, -1], [1, 2]] and both["asked"].tolist()[0] == [True, False]
    np.testing.assert_array_equal(both["label"][1, 1:], batch["label"][1])
    assert both["token_mask"].any(-1).all() and both["tokens"][0, 1].sum() == 0


def test_questions_about_one_picture_see_it_together():
    for model in NETWORKS.values():
        variables = jax.jit(model.init)(jax.random.PRNGKey(0), GRIDS, TOKENS)
        pair = model.apply(variables, GRIDS[:1], TOKENS, token_mask=MASK)
        single = model.apply(variables, GRIDS[:1].repeat(2, 0), TOKENS, token_mask=MASK)
        np.testing.assert_allclose(pair, single, atol=1e-6)
    with pytest.raises(ValueError, match="3 questions about 2 pictures"):
        model.apply(variables, GRIDS, TOKENS[jnp.array([0, 1, 1])])


def test_padding_counts_nothing():
    """What is asked three to a picture is measured as what is asked four to one, with padding."""
    asked = drawn_questions(6)
    words, answers = question_vocabulary(asked.texts), common_answers(asked)
    found = []
    for together in (3, 4):
        source = QuestionSource(asked, words, answers, 8, together=together)
        model = SpatialMemory(words.size, len(answers), 4, 8, see=PictureGrid((4,)))
        batch = source.take(np.arange(len(source))) | {"example_mask": np.ones(len(source))}
        task = question_answering()
        inputs = task.inputs(batch)
        if together == 3:
            variables = jax.jit(model.init)(jax.random.PRNGKey(0), **inputs)
        logits = jax.jit(model.apply)(variables, **inputs)
        sums = task.measure(logits, batch)
        found.append([float(x) for pair in sums.values() for x in pair])
        loss, metrics = task.loss(logits, {}, batch)
        found[-1] += [float(loss), float(metrics["accuracy"])]
    np.testing.assert_allclose(*found, rtol=1e-5)
    assert found[0][1] == 18


def test_easy_vqa_is_read(tmp_path):
    arrays = {"images": np.zeros((2, 8, 8, 3), np.uint8), "image_id": np.array([1, 0, 1])}
    arrays |= {"question": np.array(["a?", "b?", "c?"]), "answer": np.array(["x", "yes", "no"])}
    for split in ("train", "test"):
        np.savez(tmp_path / f"easy_vqa_{split}.npz", **arrays)
    found = read_easy_vqa(tmp_path)["test"]
    assert found.picture.tolist() == [1, 0, 1] and found.answers[1] == ("yes",)
    np.savez(tmp_path / "easy_vqa_test.npz", images=arrays["images"])
    with pytest.raises(JaxnetsError, match="is no easy-VQA"):
        read_easy_vqa(tmp_path)


SENTENCES = {
    "no json": ({"q.json": "{"}, "cannot read"),
    "other json": ({"q.json": "[]"}, "no 'questions'"),
    "lacking": ({"q.json": '{"questions": [{"image_id": 9}]}'}, "lacks 'question_id'"),
    "unanswered": ({"a.json": '{"annotations": [{"question_id": 1, "answers": []}]}'}, "nobody"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_is_no_challenge_is_said_in_a_sentence(name, tmp_path):
    paths, (files, sentence) = write_vqa(tmp_path), SENTENCES[name]
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    with pytest.raises(JaxnetsError, match=sentence):
        read_vqa(*paths)


def test_a_picture_that_is_missing_is_named(tmp_path):
    questions, annotations, folder = write_vqa(tmp_path)
    next(folder.glob("*25.jpg")).unlink()
    with pytest.raises(JaxnetsError, match="no picture of image 25"):
        read_vqa(questions, annotations, folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["memory", "glimpses"])
def test_an_answerer_learns_and_is_opened_again(name, tmp_path):
    asked = drawn_questions(300)
    training, test = hold_out_pictures(asked)
    words, answers = question_vocabulary(asked.texts), common_answers(asked)
    see = PictureGrid((12, 16))
    if name == "memory":
        model = SpatialMemory(words.size, len(answers), 16, 8, hops=2, see=see)
    else:
        model = GlimpseAnswerer(words.size, len(answers), 16, 8, 16, 32, dropout=0.0, see=see)
    options = train.RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=5)
    fitted = train_answerer(
        model, training, test, words, answers, options=options, longest=8, epochs=30,
        batch_size=32, learning_rate=5e-3,
    )  # fmt: skip
    summary = fitted.summary
    assert summary["test_accuracy"] > summary["blind_accuracy"] + 0.2, summary
    found = train.reopen(tmp_path)
    picture = np.asarray(test.pictures[test.picture[0]])
    said, weights = answer(
        model, found.variables, words, answers, picture, test.texts[0], longest=8
    )
    assert sum(said.values()) == pytest.approx(1, abs=1e-5)
    assert next(iter(said)) == test.answers[0][0]
    assert weights.shape == (2, 16)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
