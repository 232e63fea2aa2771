"""How far apart the steps of a sequence are in a network, against the formulas of the field."""

import math

import jax
import jax.numpy as jnp
import pytest

from jaxnets import nn
from jaxnets.inspect import path_length, reach, sequential_products
from jaxnets.study import compile_ahead, growth_exponent
from jaxnets.study.sequence_ways import WAYS, SequenceWay, states_of

FORMULAS = {
    "recurrent": lambda n: n,
    "convolution": lambda n: math.ceil((n - 1) / 4),
    "dilated convolutions": lambda n: next(k for k in range(9) if 5**k >= n),
    "attention": lambda n: 1,
    "attention in blocks": lambda n: 1,
}


@pytest.mark.parametrize("way", WAYS)
def test_paths_are_as_long_as_the_formulas_say(way):
    for length in (5, 17, 26):
        x = jax.random.normal(jax.random.PRNGKey(0), (length, 2))
        wanted = FORMULAS[way](length)
        states = lambda x: states_of(jax.random.PRNGKey(1), x, way, wanted)  # noqa: B023, E731
        assert path_length(states, x) == wanted
        # One operation fewer does not suffice.
        if wanted > 1:
            seen = reach(lambda x: states(x)[: wanted - 1], x)  # noqa: B023
            assert seen.max() < length - 1
            with pytest.raises(ValueError, match="expected more of them"):
                path_length(lambda x: states(x)[: wanted - 1], x)  # noqa: B023


def test_reach_is_read_off_the_jacobian():
    x = jnp.ones((4, 3))
    states = lambda x: jnp.stack((x * 0, x, x + x[:1], x + x[1:2]))  # noqa: E731
    assert reach(states, x).tolist() == [-1, 0, 3, 2]
    with pytest.raises(ValueError, match="expected"):
        reach(states, x[0])
    with pytest.raises(ValueError, match="Did you mean 'recurrent'"):
        states_of(jax.random.PRNGKey(0), x, "recurent", 1)
    with pytest.raises(ValueError, match="Did you mean 'attention'"):
        SequenceWay("atention").init(jax.random.PRNGKey(0), x[None])


@pytest.mark.parametrize(
    ("way", "wanted"),
    # Attention projects, scores, averages and projects; windows of 5, 25 and 125 steps hold 30.
    [("recurrent", 30), ("convolution", 1), ("dilated convolutions", 3), ("attention", 4)],
)
def test_products_that_wait_for_each_other_are_counted(way, wanted):
    layer, x = SequenceWay(way), jnp.ones((2, 30, 4))
    variables = jax.eval_shape(layer.init, jax.random.PRNGKey(0), x)
    assert sequential_products(layer.apply, variables, x) == wanted
    assert sequential_products(jax.jit(layer.apply), variables, x) == wanted


def test_products_inside_loops_and_branches():
    a = jnp.eye(2)

    def rows(a):  # each turn's product is of its own: none waits for another
        return jax.lax.scan(lambda c, x: (c + 1, x @ a), 0, jnp.stack((a, a, a)))[1]

    def branches(a):
        return jax.lax.cond(a[0, 0] > 0, lambda a: a @ a @ a, lambda a: a, a)

    def waits(a):
        return jax.lax.while_loop(lambda c: c[0, 0] < 0, lambda c: c @ a, a @ a)

    assert [sequential_products(f, a) for f in (rows, branches, waits)] == [1, 2, 2]
    stack = nn.Recurrent(3, layers=2)
    x = jnp.ones((1, 5, 3))
    variables = jax.eval_shape(stack.init, jax.random.PRNGKey(0), x)
    # Counted as the loops stand: the second layer waits for all of the first one.
    assert sequential_products(lambda v: stack.apply(v, x)[0], variables) == 2 * 5


def test_memory_grows_like_the_square_for_attention_alone():
    found = {}
    for way in WAYS:
        if way == "dilated convolutions":
            continue
        sizes = []
        for length in (512, 2048):
            layer, x = SequenceWay(way, heads=1), jax.ShapeDtypeStruct((1, length, 8), "float32")
            variables = jax.eval_shape(layer.init, jax.random.PRNGKey(0), x)
            gradient = jax.grad(lambda v, x, layer=layer: layer.apply(v, x).sum())
            sizes.append(compile_ahead(gradient, variables, x).temporary_bytes)
        found[way] = growth_exponent((512, 2048), sizes)
    assert found.pop("attention") > 1.8
    assert max(found.values()) < 1.2 and found["recurrent"] > 0.8, found


def test_growth_is_a_slope_of_logarithms():
    assert growth_exponent([1, 2, 4], [5.0, 10.0, 20.0]) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="two sizes at least"):
        growth_exponent([3, 3], [1.0, 2.0])
    with pytest.raises(ValueError, match="positive"):
        growth_exponent([3, 4], [1.0, 0.0])
