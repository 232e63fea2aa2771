"""Networks of sequences: sizes of the papers, steps beside whole sequences, padding."""

from functools import partial

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn
from jaxnets.data.sail import made_up_walks
from jaxnets.models.sequence import (
    AttendingCaptioner,
    EncoderDecoder,
    GlimpseAnswerer,
    LanguageModel,
    RNNSearch,
    SequenceRegressor,
    SpatialMemory,
    Speller,
    Transformer,
    Walker,
)
from jaxnets.models.sequence.transformer import Heads
from jaxnets.nn import MultiHeadAttention
from jaxnets.study.attention_figures import draw_attention


def test_sutskevers_network_has_the_papers_384_million_parameters():
    """§3.4: 64 M recurrent (biases apart), 80 M softmax, 240 M embeddings; nothing is allocated."""
    model = EncoderDecoder(160_000, 80_000, 1000, layers=4)
    token = jnp.zeros((1, 1), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.PRNGKey(0), token, token)["params"]
    sizes = {"recurrent": 0, "bias": 0, "head": 0, "embed": 0}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        name = jax.tree_util.keystr(path)
        kind = next((k for k in ("bias", "embed", "head") if k in name), "recurrent")
        sizes[kind] += leaf.size
    assert sizes == {
        "recurrent": 64_000_000,
        "head": 80_000_000,
        "embed": 240_000_000,
        "bias": 8 * 4000 + 80_000,
    }


def test_steps_are_the_whole_sequence():
    model, tokens = LanguageModel(7, 4, layers=2), jnp.array([[1, 2, 3], [6, 5, 4]])
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), tokens)
    whole, end = jax.jit(model.apply)(variables, tokens)
    step = jax.jit(partial(model.apply, variables, method="step"))
    carry = model.start(2)
    for t in range(3):
        carry, logits = step(carry, tokens[:, t])
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), carry, end)


def test_padding_of_the_source_changes_nothing():
    model, target = EncoderDecoder(9, 7, 4, cell="gru"), jnp.array([[1, 2]])
    source = jnp.array([[3, 4, 5, 0, 0]])
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), source, target)
    apply = jax.jit(model.apply)
    mask = jnp.array([[True, True, True, False, False]])
    padded = apply(variables, source.at[0, 3:].set(8), target, source_mask=mask)
    np.testing.assert_allclose(padded, apply(variables, source[:, :3], target), atol=1e-6)


SOURCE = jnp.array([[3, 4, 5, 0], [6, 7, 8, 8]])
MASK = jnp.array([[True, True, True, False], [True] * 4])
TARGET = jnp.array([[1, 2, 3], [1, 4, 5]])
WRITERS = {
    "seq2seq": EncoderDecoder(9, 7, 4, cell="gru", reverse_source=True),
    "rnnsearch": RNNSearch(9, 7, 4, embedding=3),
    "rnnsearch, lstm": RNNSearch(9, 7, 4, embedding=3, cell="lstm"),
    "transformer": Transformer(9, 7, 4, heads=2, layers=2, max_length=3),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writers_step_as_they_are_taught_and_padding_changes_nothing(name):
    model = WRITERS[name]
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), SOURCE, TARGET)
    apply = jax.jit(partial(model.apply, mutable=["attention"]))
    whole, stored = apply(variables, SOURCE, TARGET, source_mask=MASK)
    step = jax.jit(partial(model.apply, variables, method="step"))
    carry = jax.jit(partial(model.apply, method="encode"))(variables, SOURCE, MASK)
    for t in range(3):
        carry, logits = step(carry, TARGET[:, t])
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-5)
    padded, _ = apply(variables, SOURCE.at[0, 3].set(8), TARGET, source_mask=MASK)
    np.testing.assert_allclose(padded, whole, atol=1e-5)
    later, _ = apply(variables, SOURCE, TARGET.at[:, 2].set(6), source_mask=MASK)
    np.testing.assert_allclose(later[:, :2], whole[:, :2], atol=1e-6)
    for weights in jax.tree.leaves(stored):
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)
    if name == "rnnsearch":
        (weights,) = jax.tree.leaves(stored)
        assert weights.shape == (2, 3, 4) and (weights[0, :, 3] == 0).all()
    if name == "transformer":  # no room is left
        assert jnp.isnan(step(carry, TARGET[:, 0])[1]).all()


SOUND = jax.random.normal(jax.random.PRNGKey(4), (2, 4, 3))
GRIDS = jax.random.normal(jax.random.PRNGKey(5), (2, 2, 3, 5))
WORLD = made_up_walks(1, side=2)[0]
# Network, what it reads, the name of what is hidden and of its mask, and what it is taught.
READERS = {
    **{name: (model, {"source": SOURCE}, "source") for name, model in WRITERS.items()},
    "speller": (Speller(3, 7, 4, embedding=3, cell="lstm", pyramid=1), {"source": SOUND}, "source"),
    "walker": (Walker(9, 4, WORLD), {"source": SOURCE, "pose": jnp.array([0, 3])}, "source"),
    "memory": (SpatialMemory(9, 3, 4, longest=4), {"image": GRIDS, "tokens": SOURCE}, "tokens"),
    "glimpses": (GlimpseAnswerer(9, 3, 4, 5, 6, 7), {"image": GRIDS, "tokens": SOURCE}, "tokens"),
    "language model": (LanguageModel(9, 4), {"tokens": SOURCE}, "tokens"),
    "regressor": (SequenceRegressor(4), {"x": SOUND}, "x"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_mask_that_hides_everything_gives_finite_outputs_and_gradients(name):
    """One sequence of the two is hidden; neither what it holds nor its padding counts."""
    model, read, hidden = READERS[name]
    mask_name = {"source": "source_mask", "tokens": "token_mask"}.get(hidden, "mask")
    mask_name = "mask" if name == "language model" else mask_name
    inputs = {**read, mask_name: jnp.array([[False] * 4, [True] * 4])}
    if "source" in read:
        inputs["target"] = TARGET
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), **inputs)

    @jax.jit
    def outputs(variables, x):
        return jax.tree.leaves(model.apply(variables, **{**inputs, hidden: x}))[0]

    found = outputs(variables, read[hidden])
    slopes = jax.jit(jax.grad(lambda v: jnp.sin(outputs(v, read[hidden])).sum()))(variables)
    assert all(np.isfinite(leaf).all() for leaf in (found, *jax.tree.leaves(slopes)))
    np.testing.assert_array_equal(outputs(variables, read[hidden].at[0].set(2)), found)
    assert np.abs(outputs(variables, read[hidden].at[1].set(2)) - found)[1].max() > 1e-6


@pytest.mark.parametrize("name", READERS)
def test_half_precision_changes_little(name):
    model, read, _ = READERS[name]
    inputs = {**read, **({"target": TARGET} if "source" in read else {})}
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), **inputs)
    half = model.clone(dtype=jnp.bfloat16)
    assert jax.tree.map(
        jnp.shape, jax.eval_shape(half.init, jax.random.PRNGKey(0), **inputs)
    ) == jax.tree.map(jnp.shape, variables)
    full, low = (jax.tree.leaves(jax.jit(m.apply)(variables, **inputs))[0] for m in (model, half))
    assert low.dtype == full.dtype == jnp.float32
    # Eight bits: 0.4 % of numbers below about 3, a few times over; norms of four features add.
    assert 0 < np.abs(low - full).mean() < 0.05


def test_five_systems_attend_by_one_module_and_give_maps_of_one_form():
    """Picture to caption, picture and question to answer, sound to letters, words to actions."""
    places = jax.random.normal(jax.random.PRNGKey(6), (2, 6, 5))
    captioner = AttendingCaptioner(7, 4, 3), {"source": places, "target": TARGET}
    systems = {"captions": captioner}
    for name in ("speller", "walker", "memory", "glimpses"):
        model, read, _ = READERS[name]
        systems[name] = model, read | ({"target": TARGET} if "source" in read else {})
    queries = {"captions": 3, "speller": 3, "walker": 3, "memory": 1, "glimpses": 2}
    keys = {"captions": 6, "speller": 2, "walker": 4, "memory": 6, "glimpses": 6}
    for name, (model, inputs) in systems.items():
        used = set()

        def note(call, args, kwargs, context, used=used):
            if context.method_name == "__call__":
                used.add(type(context.module))
            return call(*args, **kwargs)

        variables = jax.jit(model.init)(jax.random.PRNGKey(0), **inputs)
        with linen.intercept_methods(note):
            _, stored = model.apply(variables, **inputs, mutable=["attention"])
        assert nn.Attend in used, name
        (weights,) = jax.tree.leaves(stored)
        assert weights.shape == (2, queries[name], keys[name]), name
        np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-5)
        draw_attention(np.asarray(weights[0]))


def test_rnnsearch_is_its_papers_formulas():
    """§A.1 and §A.2, one word after the other, in NumPy."""
    model = WRITERS["rnnsearch"]
    variables = jax.jit(model.init)(jax.random.PRNGKey(1), SOURCE[1:], TARGET[1:])
    p = jax.tree.map(np.asarray, variables["params"])
    p = jax.tree.map(lambda leaf: leaf + 0.1, p)  # biases that are not 0

    def gates(x, h, w):
        r, z, n = np.split(x, 3, -1)
        u_r, u_z, u_n = np.split(w["recurrent_kernel"], 3, -1)
        r, z = (1 / (1 + np.exp(-(a + h @ u))) for a, u in ((r, u_r), (z, u_z)))
        n = np.tanh(n + (r * h) @ u_n)
        return (1 - z) * n + z * h

    words = p["source_embed"]["embedding"][np.asarray(SOURCE[1])]
    notes = []
    for direction, order in (("forward", words), ("backward", words[::-1])):
        h, w, made = np.zeros(4), p["encoder"][f"layer0_{direction}"], []
        for x in order:
            h = gates(x @ w["input_kernel"] + w["bias"], h, w)
            made.append(h)
        notes.append(np.stack(made if direction == "forward" else made[::-1]))
    s = np.tanh(notes[1][0] @ p["start"]["kernel"] + p["start"]["bias"])
    notes = np.concatenate(notes, -1)
    search, rows = p["search"], []
    for token in np.asarray(TARGET[1]):
        y = p["embed"]["embedding"][token]
        query = s @ search["attend"]["query"]["kernel"] + search["attend"]["query"]["bias"]
        energies = np.tanh(query + notes @ p["key"]["kernel"]) @ search["attend"]["energy"]
        a = np.exp(energies - energies.max())
        c = a / a.sum() @ notes
        t = np.concatenate((s, y, c)) @ p["readout"]["linear"]["kernel"]
        t = np.maximum(*np.split(t + p["readout"]["linear"]["bias"], 2))
        rows.append(t @ p["head"]["kernel"] + p["head"]["bias"])
        w = search["recurrent"]
        x = y @ p["input"]["kernel"] + c @ w["input_kernel"] + w["bias"]
        s = gates(x, s, w)
    found = jax.jit(model.apply)({"params": p}, SOURCE[1:], TARGET[1:])
    np.testing.assert_allclose(found[0], np.stack(rows), atol=1e-5)


def test_heads_are_multi_head_attention():
    x = jax.random.normal(jax.random.PRNGKey(0), (2, 5, 4))
    variables = MultiHeadAttention(2).init(jax.random.PRNGKey(1), x)
    whole, _ = MultiHeadAttention(2).apply(variables, x, causal=True)
    np.testing.assert_allclose(Heads(2, 4).apply(variables, x, causal=True), whole, atol=1e-6)


def test_the_reversed_source_is_the_source_reversed():
    reads, plain = WRITERS["seq2seq"], EncoderDecoder(9, 7, 4, cell="gru")
    variables = reads.init(jax.random.PRNGKey(0), SOURCE, TARGET)
    turned = jnp.array([[5, 4, 3, 0], [8, 8, 7, 6]])
    np.testing.assert_allclose(
        reads.apply(variables, SOURCE, TARGET, source_mask=MASK),
        plain.apply(variables, turned, TARGET, source_mask=MASK),
        atol=1e-6,
    )
