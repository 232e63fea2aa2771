"""Decoders against enumeration of all sequences, and what a learning decoder is fed."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ops

VOCABULARY, END, LENGTH = 4, 0, 5


def language(seed, sharpness=1.5):
    """Logits that depend on the token and, by the carry, on how many tokens there were."""
    table = np.random.default_rng(seed).standard_normal((LENGTH + 1, VOCABULARY, VOCABULARY))
    table = jnp.asarray(sharpness * table, jnp.float32)

    def step(carry, token):
        return carry + 1, table[carry, token]

    return table, step


def every_sequence(table, start, alpha):
    """(score, tokens) of all that end or are full, best first, in NumPy."""
    table = np.asarray(table, np.float64)
    log_p = table - np.log(np.exp(table).sum(-1, keepdims=True))
    found = []
    for length in range(1, LENGTH + 1):
        for tokens in itertools.product(range(VOCABULARY), repeat=length):
            if END in tokens[:-1] or (tokens[-1] != END and length < LENGTH):
                continue
            path = zip(range(length), (start, *tokens[:-1]), tokens, strict=True)
            score = sum(log_p[t, a, b] for t, a, b in path)
            found.append((score / ((5 + length) / 6) ** alpha, tokens))
    return sorted(found, reverse=True)


STARTS = jnp.array([1, 2])
COUNTED = jnp.zeros(2, jnp.int32)


@partial(jax.jit, static_argnums=(1, 3))
def search(table, beams, alpha, stop_early):
    def step(carry, token):
        return carry + 1, table[carry, token]

    return ops.beam_search(
        step,
        COUNTED,
        STARTS,
        end=END,
        max_length=LENGTH,
        beams=beams,
        length_penalty=alpha,
        stop_early=stop_early,
    )


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_wide_beam_finds_what_enumeration_finds(alpha):
    """All 364 sequences of up to 5 tokens, in order; with the bound, the best of them."""
    for seed in range(3):
        table, _ = language(seed)
        result = search(table, 364, alpha, False)
        early = search(table, 364, alpha, True)
        for row, start in enumerate(STARTS.tolist()):
            expected = every_sequence(table, start, alpha)
            assert len(expected) == 364
            # Scores of float32 against float64's.
            np.testing.assert_allclose(
                result.scores[row], [score for score, _ in expected], rtol=1e-5
            )
            for decoded in (result, early):
                length = int(decoded.lengths[row, 0])
                assert tuple(decoded.tokens[row, 0, :length].tolist()) == expected[0][1]
                assert (decoded.tokens[row, 0, length:] == END).all()
            assert {
                tuple(t[:n].tolist())
                for t, n in zip(result.tokens[row], result.lengths[row], strict=True)
            } == {tokens for _, tokens in expected}


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
def test_a_beam_of_1_is_greedy(alpha):
    @jax.jit
    def greedy(table):
        step = lambda carry, token: (carry + 1, table[carry, token])  # noqa: E731
        return ops.greedy(step, COUNTED, STARTS, end=END, max_length=LENGTH)

    for seed in range(8):
        table, _ = language(seed)
        one, likeliest = search(table, 1, alpha, True), greedy(table)
        np.testing.assert_array_equal(one.tokens[:, 0], likeliest.tokens)
        np.testing.assert_array_equal(one.lengths[:, 0], likeliest.lengths)
        penalty = ((5 + np.asarray(likeliest.lengths)) / 6) ** alpha
        np.testing.assert_allclose(one.scores[:, 0], likeliest.scores / penalty, rtol=1e-6)


def test_the_bound_changes_no_best_sequence_of_a_narrow_beam():
    stopped = 0
    for seed, alpha in itertools.product(range(10), (0.0, 2.0, -2.0)):
        table, _ = language(seed, sharpness=3.0)
        whole, early = (search(table, 3, alpha, stop) for stop in (False, True))
        np.testing.assert_array_equal(whole.tokens[:, 0], early.tokens[:, 0])
        stopped += int((early.lengths == 0).sum()) > int((whole.lengths == 0).sum())
    assert stopped > 3  # it did stop early


def test_wider_beams_score_no_worse_than_greedy_on_average():
    scores = {1: [], 3: []}
    for seed, beams in itertools.product(range(8), (1, 3)):
        scores[beams].append(search(language(seed)[0], beams, 0.0, True).scores[:, 0])
    assert np.mean(scores[3]) > np.mean(scores[1])


def test_samples_have_the_decoders_frequencies():
    logits, start = jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1])), jnp.zeros(20_000, jnp.int32)
    step = lambda carry, token: (carry, jnp.broadcast_to(logits, (*token.shape, 4)))  # noqa: E731
    draw = partial(ops.sample, jax.random.PRNGKey(0), step, (), start, end=0, max_length=1)
    squares = np.array([16, 9, 4, 1]) / 30
    for options, expected in (
        ({}, [0.4, 0.3, 0.2, 0.1]),
        ({"temperature": 0.5, "top_k": 2}, squares * [1, 1, 0, 0] * 30 / 25),
        ({"top_p": 0.71}, [4 / 9, 3 / 9, 2 / 9, 0]),
    ):
        made = draw(**options)
        shares = np.bincount(made.tokens[:, 0], minlength=4) / 20_000
        # Four standard errors of a share of 0.4 in 20,000 draws: 0.014.
        np.testing.assert_allclose(shares, expected, atol=0.014)
        np.testing.assert_allclose(made.scores, np.asarray(logits)[made.tokens[:, 0]], rtol=1e-6)


def test_feeding_its_own_tokens_at_rate_0_is_teacher_forcing_and_at_1_running_free():
    table, step = language(0, sharpness=50.0)  # so sharp that a draw is the likeliest
    tokens = jnp.array([[1, 3, 2, 0], [2, 1, 1, 3]])
    forced, _ = ops.teacher_forcing(step, COUNTED, tokens)
    expected = np.asarray(table)[np.arange(4)[None], np.asarray(tokens)]
    np.testing.assert_array_equal(forced, expected)
    draw = jax.jit(lambda key, rate: ops.scheduled_sampling(key, step, COUNTED, tokens, rate)[0])
    np.testing.assert_array_equal(draw(jax.random.PRNGKey(0), 0.0), forced)
    own, logits, _ = ops.free_running(step, COUNTED, tokens[:, 0], 4)
    np.testing.assert_array_equal(draw(jax.random.PRNGKey(0), 1.0), logits)
    np.testing.assert_array_equal(logits.argmax(-1), own)


def test_scheduled_sampling_feeds_its_own_at_the_given_rate():
    certain = jnp.array([[-99.0, -99.0, 0.0]])  # it always draws a 2, and adds 1 when fed a 2

    def step(carry, token):
        return carry, certain + jnp.where(token == 2, 1.0, 0.0)[:, None]

    tokens = jnp.ones((500, 21), jnp.int32)
    logits, _ = ops.scheduled_sampling(jax.random.PRNGKey(1), step, (), tokens, 0.3)
    fed_own = np.asarray(logits[..., 2] == 1.0)
    assert not fed_own[:, 0].any()
    # Four standard errors of 0.3 in 10,000 decisions.
    assert abs(fed_own[:, 1:].mean() - 0.3) < 0.0184


SENTENCES = {
    "length": (lambda s: ops.greedy(s, (), STARTS, end=0, max_length=0), "max_length: got 0"),
    "start": (lambda s: ops.greedy(s, (), 1, end=0, max_length=2), "start: got int"),
    "beams": (lambda s: ops.beam_search(s, (), STARTS, end=0, max_length=2, beams=0), "beams"),
    "cold": (
        lambda s: ops.sample(KEY, s, (), STARTS, end=0, max_length=2, temperature=0.0),
        "temperature: got 0.0",
    ),
    "top_k": (lambda s: ops.sample(KEY, s, (), STARTS, end=0, max_length=2, top_k=0), "top_k"),
    "top_p": (lambda s: ops.sample(KEY, s, (), STARTS, end=0, max_length=2, top_p=1.5), "top_p"),
    "rate": (
        lambda s: ops.scheduled_sampling(KEY, s, (), jnp.ones((1, 2), int), 1.5),
        "rate: got 1.5",
    ),
    "no steps": (lambda s: ops.teacher_forcing(s, (), jnp.ones((1, 0), int)), "at least one step"),
    "ragged": (lambda s: ops.teacher_forcing(s, (), [[1], [1, 2]]), "padded to one"),
    "free": (lambda s: ops.free_running(s, (), STARTS, 0), "length: got 0"),
}
KEY = jax.random.PRNGKey(0)


@pytest.mark.parametrize("name", SENTENCES)
def test_bad_input_is_said_in_a_sentence(name):
    call, sentence = SENTENCES[name]
    with pytest.raises(ValueError, match=sentence):
        call(lambda carry, token: (carry, jnp.zeros((*token.shape, 2))))
