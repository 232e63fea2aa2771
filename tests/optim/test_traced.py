"""Programs are equal where their equations are, and only there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.optim.traced import trace, trace_key

X = np.float32([1.0, 2.0])


def loop(steps):
    return lambda x: jax.lax.fori_loop(0, steps, lambda i, v: v * 2.0 + i, x)


def branch(slope):
    return lambda x: jax.lax.cond(x[0] > 0, lambda v: v * slope, lambda v: v, x)


def with_rule(scale):
    @jax.custom_jvp
    def inner(x):
        return x * scale

    inner.defjvp(lambda primals, tangents: (inner(*primals), tangents[0]))
    return inner


def nested_table(table):
    return lambda x: jax.jit(lambda v: v * jnp.asarray(table))(x)


DIFFERENT = {
    "a number": (lambda x: x * 2.0, lambda x: x * 3.0),
    "a sign of zero": (lambda x: x + 0.0, lambda x: x + -0.0),
    "a type": (lambda x: x.astype(np.float16), lambda x: x.astype(np.int16)),
    "an operation": (jnp.sin, jnp.cos),
    "an axis": (lambda x: jnp.sum(x[None], 0), lambda x: jnp.sum(x[None], 1)),
    "an order": (lambda x: x[0] - x[1], lambda x: x[1] - x[0]),
    "a result": (lambda x: (x, x + 1), lambda x: (x + 1, x)),
    "names of results": (lambda x: {"a": x}, lambda x: {"b": x}),
    "the length of a loop": (loop(3), loop(4)),
    "a number in a branch": (branch(2.0), branch(3.0)),
    "a number in a function with a rule": (with_rule(2.0), with_rule(3.0)),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_programs_that_differ_are_told_apart(what):
    one, other = DIFFERENT[what]
    assert trace(one, X).program == trace(lambda x: one(x), X).program
    assert trace(one, X).program != trace(other, X).program


def test_shapes_and_dtypes_are_part_of_a_program():
    programs = {trace(jnp.sin, x).program for x in (X, X[:1], X.astype(np.float16), 1.0)}
    assert len(programs) == 4


def test_arrays_are_arguments_where_a_function_closes_over_them():
    one, other = (trace(lambda x, t=t: x * t, X) for t in (jnp.ones(2), 3 * jnp.ones(2)))
    assert one.program == other.program
    assert one.program(other.constants, X).tolist() == [3.0, 6.0]


def test_tables_of_nested_programs_are_compared_or_passed():
    for make in (np.float32, jnp.float32):
        one, other = (trace(nested_table(make(table)), X) for table in ([1.0, 2.0], [5.0, 7.0]))
        got = other.program(other.constants, X)
        assert got.tolist() == [5.0, 14.0]
        if one.program == other.program:
            assert one.program(other.constants, X).tolist() == [5.0, 14.0]


def test_an_array_that_is_changed_in_place_is_seen():
    table = np.float32([1.0, 2.0])
    before = trace(nested_table(table), X)
    key = trace_key(nested_table(table), X)
    assert key == trace_key(nested_table(table.copy()), X)
    assert before.program(before.constants, X).tolist() == [1.0, 4.0]
    table[:] = 5.0
    after = trace(nested_table(table), X)
    assert key != trace_key(nested_table(table), X)
    assert after.program(after.constants, X).tolist() == [5.0, 10.0]
    if before.program == after.program:  # then the table is an argument
        assert before.program(after.constants, X).tolist() == [5.0, 10.0]
