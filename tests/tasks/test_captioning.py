"""Describing pictures: both networks, places that are drawn, Flickr8k's files, what is learned."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxnets import losses, train
from jaxnets.data.captions import Captions, drawn_captions, plain_caption, read_flickr8k
from jaxnets.data.text import train_tokenizer
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import AttendingCaptioner, Captioner
from jaxnets.models.sequence.captioners import LookCell
from jaxnets.tasks.captioning import (
    SEES,
    PlaceFeatures,
    bleu_scores,
    describe,
    encode_captions,
    with_attention_terms,
)
from jaxnets.tasks.captioning_training import train_captioner
from jaxnets.tasks.writing import free_running, sequence_to_sequence

PLACES = jax.random.normal(jax.random.PRNGKey(1), (2, 4, 5))
TARGET = jnp.array([[1, 4, 5], [1, 6, 4]])
NETWORKS = {
    "first": Captioner(7, 4, 3),
    "attend": AttendingCaptioner(7, 4, 3),
    "hard": AttendingCaptioner(7, 4, 3, hard=True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_captioners_step_as_they_are_taught(name):
    model = NETWORKS[name]
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), PLACES, TARGET)
    apply = jax.jit(partial(model.apply, mutable=["attention"]))
    whole, stored = apply(variables, PLACES, TARGET)
    carry = jax.jit(partial(model.apply, method="encode"))(variables, PLACES)
    step = jax.jit(partial(model.apply, method="step"))
    for t in range(3):
        carry, logits = step(variables, carry, TARGET[:, t])
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-5)
    later, _ = apply(variables, PLACES, TARGET.at[:, 2].set(6))
    np.testing.assert_allclose(later[:, :2], whole[:, :2], atol=1e-6)
    assert np.abs(apply(variables, PLACES[::-1], TARGET)[0] - whole).max() > 1e-4
    for maps in jax.tree.leaves(stored):
        assert maps.shape == (2, 3, 4)
        np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-6)


def one_look():
    """A hard cell before four places, what goes into it, and its parameters."""
    cell = LookCell(3, hard=True, soft_share=0.0, train=True)
    keys = jax.random.split(jax.random.PRNGKey(3), 5)
    state = tuple(jax.random.normal(key, (1, 3)) for key in keys[:2])
    word, match = jax.random.normal(keys[2], (1, 2)), 2 * jax.random.normal(keys[3], (1, 4, 3))
    places = 2 * jax.random.normal(keys[4], (1, 4, 5))
    rngs = {"params": keys[0], "dropout": keys[1]}
    params = jax.jit(cell.init)(rngs, state, word, match, places)["params"]
    params["attend"]["energy"] = jnp.array([2.0, -1.0, 1.5])
    return cell, params, (state, word, match, places)


def likelihood(out) -> jax.Array:
    """(B,) something that depends on what was seen, as the log-probability of a word does."""
    _, (hidden, seen, _, _) = out
    return jax.nn.log_softmax(3 * hidden)[:, 0] - 0.3 * (seen**2).mean(-1) - 1.0


def enumerated(params, cell, inputs):
    """(log p(y given s), log p(s)) of each of four places; a picture of one place shows it."""
    state, word, match, places = inputs
    soft = LookCell(3)
    alone = jnp.swapaxes(places, 0, 1).repeat(4, 1)
    four = jax.tree.map(lambda x: x.repeat(4, 0), (state, word, match))
    out = soft.apply({"params": params}, *four, alone)
    return likelihood(out), jnp.log(out[1][2][0])


def objective(params, cell, inputs):
    """−Σ_s p(s) log p(y | s), by enumeration."""
    value, chance = enumerated(params, cell, inputs)
    return -(jnp.exp(chance) * value).sum()


def test_the_gradient_of_hard_attention_is_that_of_the_enumeration():
    """Each of four places weighed by its probability: equal, whatever the baseline is."""
    cell, params, inputs = one_look()
    exact = jax.grad(objective)(params, cell, inputs)
    _, chance = enumerated(params, cell, inputs)

    def expected(params, baseline, scale):
        value, log_choice = enumerated(params, cell, inputs)
        each = [
            losses.drawn_attention_loss(value[s : s + 1], log_choice[s : s + 1],
                                        baseline=baseline, scale=scale)
            for s in range(4)
        ]  # fmt: skip
        return (jnp.exp(chance) * jnp.stack(each)).sum()

    for baseline in (0.0, -3.0):
        found = jax.grad(expected)(params, baseline, 1.0)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, exact)
    biased = jax.grad(expected)(params, 0.0, 0.0)
    assert np.abs(biased["attend"]["energy"] - exact["attend"]["energy"]).max() > 1e-3


def test_places_that_the_cell_draws_give_that_gradient():
    cell, params, inputs = one_look()
    exact = jax.grad(objective)(params, cell, inputs)
    many = jax.tree.map(lambda x: x.repeat(500, 0), inputs)

    @jax.jit
    def gradients(keys):
        def one(key):
            def loss(params):
                out = cell.apply({"params": params}, *many, rngs={"dropout": key})
                return losses.drawn_attention_loss(likelihood(out), out[1][3], baseline=-1.5)

            return jax.grad(loss)(params)

        return jax.lax.map(one, keys)

    found = gradients(jax.random.split(jax.random.PRNGKey(5), 60))

    def close(draws, wanted):
        error = np.asarray(draws).std(0) / np.sqrt(len(draws))
        assert (np.abs(draws.mean(0) - wanted) < 5 * error + 1e-5).all()

    jax.tree.map(close, found, exact)


def test_hard_attention_is_soft_where_one_place_has_all_the_weight():
    _, params, inputs = one_look()
    params["attend"]["energy"] = 500.0 * params["attend"]["energy"]
    _, hard = LookCell(3, hard=True).apply({"params": params}, *inputs)
    _, soft = LookCell(3).apply({"params": params}, *inputs)
    assert soft[2].max() > 0.9999
    np.testing.assert_allclose(hard[1], soft[1], atol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_of_a_network_learns_from_the_terms_of_attention(name):
    model = NETWORKS[name]
    batch = {"sequence": PLACES, "sequence_mask": jnp.ones((2, 4), bool)}
    batch |= {"targets": jnp.array([[4, 5, 2], [6, 2, 0]])}
    batch |= {"target_mask": jnp.array([[True] * 3, [True, True, False]])}
    plain = sequence_to_sequence(reads=SEES)
    task = with_attention_terms(plain, hard=name == "hard", stochastic=2.0)
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), PLACES, TARGET)

    def loss(variables, task):
        outputs, updates = model.apply(
            variables, **task.inputs(batch), train=True, mutable=list(task.mutable),
            rngs={"dropout": jax.random.PRNGKey(2)},
        )  # fmt: skip
        return task.loss(outputs, updates, batch)[0], updates

    (value, updates), slopes = jax.value_and_grad(loss, has_aux=True)(variables, task)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    (without, _) = loss(variables, plain)
    if name == "first":
        assert value == without
        return
    (weights,) = updates["attention"]["weights"]
    if name == "attend":
        term = losses.doubly_stochastic(weights, batch["target_mask"]) / 4
        assert value == pytest.approx(float(without + 2.0 * term), rel=1e-5)
    energy = slopes["params"]["look"]["attend"]["energy"]
    assert np.abs(energy).max() > 1e-6


def test_the_doubly_stochastic_term_by_hand():
    weights = jnp.array([[[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]])
    mask = jnp.array([[True, True, False]])
    assert losses.doubly_stochastic(weights, mask) == pytest.approx(0.0 + 0.25 + 0.25)
    with pytest.raises(ValueError, match="expected"):
        losses.doubly_stochastic(weights[0])
    with pytest.raises(ValueError, match="log_choice"):
        losses.drawn_attention_loss(jnp.ones(2), jnp.ones(3))


def test_scheduled_sampling_of_nothing_is_teacher_forcing():
    for model in NETWORKS.values():
        variables = jax.jit(model.init)(jax.random.PRNGKey(0), PLACES, TARGET)
        apply = free_running(model.apply, max_length=3)
        fields = {"target": TARGET, "source": PLACES, "train": True}
        fields["rngs"] = {"dropout": jax.random.PRNGKey(1)}
        never, updates = apply(variables, sampling_rate=0.0, mutable=["attention"], **fields)
        assert updates == {}
        np.testing.assert_allclose(never, model.apply(variables, PLACES, TARGET), atol=1e-5)
        always = apply(variables, sampling_rate=1.0, **fields)
        np.testing.assert_allclose(always[:, 0], never[:, 0], atol=1e-5)
        assert np.abs(always - never).max() > 1e-4


def test_patches_say_where_they_lie_and_networks_need_weights():
    """Left and right exchanged are another mean, which is all that the first network sees."""
    see, part = PlaceFeatures(moments=True), drawn_captions(1, seed=3)
    mirrored = part.pictures[:, :, ::-1]
    assert np.abs(see(part.pictures).mean(1) - see(mirrored).mean(1)).max() > 0.05
    with pytest.raises(JaxnetsError, match="squeezenet1_1 without a file"):
        PlaceFeatures(network="squeezenet1_1")


def write_flickr(folder, published: bool):
    """Three photographs with two captions each, in either of the two ways."""
    names, splits = ("1_a.jpg", "2_b.jpg", "3_c.jpg"), ("train", "dev", "test")
    for name, color in zip(names, ("red", "green", "blue"), strict=True):
        Image.new("RGB", (30, 20), color).save(folder / name)
    lines = [f"{name}#{n}\tA Dog , number {n} .\n" for name in names for n in range(2)]
    (folder / ("Flickr8k.token.txt" if published else "captions.txt")).write_text("".join(lines))
    if published:
        for name, split in zip(names, splits, strict=True):
            (folder / f"Flickr_8k.{split}Images.txt").write_text(f"{name}\n")
    else:
        lines = [f"{name}\t{split}\n" for name, split in zip(names, splits, strict=True)]
        (folder / "split.txt").write_text("".join(lines) + "4_d.jpg\tnone\n")


@pytest.mark.parametrize("published", [False, True])
def test_flickr8k_is_read(published, tmp_path):
    write_flickr(tmp_path, published)
    found = read_flickr8k(tmp_path, read=PlaceFeatures().read)
    assert list(found) == ["train", "validation", "test"]
    assert found["test"].texts == [("a dog number 0", "a dog number 1")]
    assert found["test"].pictures.shape == (1, 16, 16, 3)
    assert found["test"].pictures[0, 8, 8].argmax() == 2
    assert plain_caption("It 's a T-shirt !") == "it 's a t shirt"


BROKEN = {
    "caption": ("captions.txt", "1_a.jpg A dog\n", "line 1: expected"),
    "photograph": ("split.txt", "1_a.jpg\ttrain\n2_b.jpg\tdev\n9.jpg\ttest\n", "9.jpg has no"),
    "split": ("split.txt", "1_a.jpg\n", "a name, a tab and a split"),
    "empty": ("split.txt", "1_a.jpg\ttrain\n", "no photographs of the split validation"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_flickr8k_is_said_in_a_sentence(name, tmp_path):
    write_flickr(tmp_path, False)
    file, text, sentence = BROKEN[name]
    (tmp_path / file).write_text(text)
    with pytest.raises(JaxnetsError, match=sentence):
        read_flickr8k(tmp_path, read=PlaceFeatures().read)


def test_bleu_is_of_orders_one_to_four_and_of_several_references():
    found = bleu_scores(["a b c d e"], [["a b c d x", "y"]])
    assert found["bleu1"] > found["bleu2"] > found["bleu3"] > found["bleu4"] > 0
    assert "nrefs:2" in found["signature"] and "tok:none" in found["signature"]
    # Whoever says nothing has written a text as well.
    assert bleu_scores(["", "a b"], [["c"], ["a b"]])["bleu1"] < 100


def drawn(sizes, moments=False):
    see = PlaceFeatures(moments=moments)
    parts = {name: drawn_captions(n, seed=s) for s, (name, n) in enumerate(sizes.items())}
    texts = [text for several in parts["train"].texts for text in several]
    words = train_tokenizer(texts, 99, kind="word", min_frequency=1)
    return {name: Captions(see(p.pictures), p.texts) for name, p in parts.items()}, words


def test_captions_are_in_buckets_of_their_lengths():
    captions, words = drawn({"train": 3})
    pairs = encode_captions(captions["train"]._replace(texts=[("a", "a a square")] * 3), words)
    assert len(pairs) == 6 and pairs.buckets == ((16, 2), (16, 4))
    assert pairs.take(np.array([0, 2]))["targets"].shape == (2, 2)
    assert len(encode_captions(captions["train"], words, each=1)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first", "attend", "hard", "sampling"])
def test_a_captioner_learns_and_is_opened_again(name, tmp_path):
    sizes = {"train": 400, "validation": 40, "test": 60}
    captions, words = drawn(sizes, moments=name == "first")
    sizes = words.size, 48, 24
    hard = name == "hard"
    model = Captioner(*sizes) if name == "first" else AttendingCaptioner(*sizes, hard=hard)
    options = train.RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=10)
    fitted = train_captioner(
        model, captions, words, options=options, hard=hard, epochs=40, batch_size=32,
        learning_rate=5e-3, longest=10, beams=2, sampling=0.25 if name == "sampling" else 0.0,
    )  # fmt: skip
    summary = fitted.summary
    assert summary["test_bleu4"] > 90 > summary["test_exchanged_bleu4"] + 20, summary
    # Of 60 true captions 10, and 3.8 where they are exchanged.
    assert summary["test_cider"] > 9 and summary["test_exchanged_cider"] < 5, summary
    found, test = train.reopen(tmp_path), captions["test"]
    right, on_object = 0, []
    for places, (text,) in zip(test.pictures, test.texts, strict=True):
        said, weights = describe(model, found.variables, words, places, longest=10)
        right += said == text
        if weights is not None and said == text:
            grid = weights.reshape(-1, 4, 4)
            # The colors are the second word and the seventh: left half, then right half.
            on_object += [grid[1, :, :2].sum(), grid[6, :, 2:].sum()]
    assert right >= 0.95 * len(test.texts), right
    if name == "attend":
        assert np.mean(on_object) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Captioner, AttendingCaptioner])
def test_eight_pairs_are_learned_by_heart(kind, tmp_path):
    captions, words = drawn({"train": 8})
    # The network of one vector sees a mean, in which left and right are the same.
    features = np.random.default_rng(0).standard_normal((8, 16, 6)).astype(np.float32)
    pairs = captions["train"]._replace(pictures=features)
    fitted = train_captioner(
        kind(words.size, 48, 24, dropout=0.0),
        dict.fromkeys(("train", "validation", "test"), pairs), words,
        options=train.RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=0),
        epochs=150, batch_size=8, learning_rate=1e-2, longest=12, beams=2,
    )  # fmt: skip
    assert fitted.summary["test_bleu4"] == pytest.approx(100) and fitted.summary["loss"] < 0.05
