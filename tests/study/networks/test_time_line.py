"""Time by layer and kind, from a profile and from made-up events."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.study.networks import time_line

TEXT = """
  %fused = f32[4]{0} fusion(%a), metadata={op_name="jit(step)/jvp(Net)/stage1/norm/reduce_sum"}
  %call.7 = f32[4] custom-call(%a), metadata={op_name="jit(step)/jvp(Net)/stage1/conv/ONEDNN"}
  ROOT %move.2 = f32[4] fusion(%a), metadata={op_name="BACK/stage2/while/body/conv/pad" id=3}
  %while.1 = f32[4]{0} while(%a), metadata={op_name="BACK/stage2/while"}
  %step = f32[4]{0} add(%a, %b), metadata={op_name="jit(step)/sub"}
""".replace("ONEDNN", "jaxnets_onednn_call").replace("BACK", "jit(step)/transpose(jvp(Net))")


def event(operation, milliseconds):
    return {"dur": 1e3 * milliseconds, "args": {"hlo_op": operation}}


def test_every_event_finds_its_layer_direction_and_kind():
    events = [
        event("fused", 2.0),
        event("fused", 4.0),
        event("call.7__onednn$convolution", 10.0),
        event("move.2", 1.0),
        event("while.1", 50.0),  # spans what is inside of it
        event("step", 0.5),
        event("copy.4", 0.25),
        {"dur": 7.0, "args": {}},
        {"args": {"hlo_op": "fused"}},
    ]
    shares = time_line.shares_of(TEXT, events, runs=2)
    assert [tuple(share) for share in shares] == [
        ("stage1/conv", "forward", "products", 5.0),
        ("stage1/norm", "forward", "sums", 3.0),
        ("stage2/conv", "backward", "rearrangements", 0.5),
        ("", "", "element by element", 0.25),
        ("", "", "rearrangements", 0.125),
    ]
    assert time_line.by(shares, depth=1) == {
        ("stage1", "forward"): 8.0,
        ("stage2", "backward"): 0.5,
        ("", ""): 0.375,
    }
    assert time_line.by(shares)["products", "forward"] == 5.0


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(8, name="light")(nn.Dense(2048, name="heavy")(x))


def test_a_profile_names_the_layer_that_takes_the_time():
    net, x = Net(), jnp.ones((256, 1024))
    variables = net.init(jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda v: net.apply(v, x).sum()))
    program = gradient.lower(variables).compile()
    shares = time_line.profile(program, lambda: program(variables), runs=2)
    layers = time_line.by(shares, depth=1)
    heavy = sum(ms for (name, _), ms in layers.items() if name == "heavy")
    assert heavy > sum(layers.values()) / 2
    assert {direction for name, direction in layers if name == "heavy"} >= {"backward"}


def test_a_profile_without_operations_is_refused(monkeypatch):
    program = jax.jit(lambda x: x + 1).lower(jnp.ones(3)).compile()
    monkeypatch.setattr(time_line, "shares_of", lambda *_: [])
    with pytest.raises(JaxnetsError, match="no operation"):
        time_line.profile(program, lambda: program(jnp.ones(3)))
