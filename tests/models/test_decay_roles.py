"""Weight decay falls on what multiplies inputs, of every registered network, whatever its rank."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from catalogue_networks import NETWORKS
from flax import traverse_util

from jaxnets import optim
from jaxnets.models import create_model, list_models
from jaxnets.nn import PReLU
from jaxnets.tasks.paper_recipes import list_paper_recipes, paper_recipe
from jaxnets.tasks.recipe import Recipe, build_optimizer

# By the kind of module that owns a parameter; a new kind must be entered here.
WEIGHTS = {"Conv", "ConvTranspose", "Dense", "SpatialDense", "PartialConv", "PathConv"}
OTHERS = {"BatchNorm", "LayerNorm", "GroupNorm", "PReLU", "Subsample"}


def roles(network: nn.Module, shape: tuple[int, ...]) -> tuple[dict, dict]:
    """Abstract parameters by path, and whether each is a weight by what its module is."""
    kinds = {}

    def note(call, args, kwargs, context):
        kinds[context.module.path] = type(context.module).__name__
        return call(*args, **kwargs)

    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    with nn.intercept_methods(note):
        x = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        variables = jax.eval_shape(lambda x: network.init(keys, x), x)
    params = traverse_util.flatten_dict(variables["params"])
    decays = {}
    for path in params:
        kind = kinds[path[:-1]]
        assert kind in WEIGHTS | OTHERS, f"enter {kind}, which owns {'/'.join(path)}"
        decays[path] = kind in WEIGHTS and path[-1] != "bias"
    return params, decays


def assert_masked_by_role(network, shape):
    params, expected = roles(network, shape)
    mask = optim.mask_by_name(traverse_util.unflatten_dict(params))
    assert traverse_util.flatten_dict(mask) == expected
    assert any(expected.values()) and not all(expected.values())


def test_small_networks_of_every_class():
    for tiny in NETWORKS.values():
        assert_masked_by_role(create_model(tiny.name, num_classes=10, **tiny.fields), tiny.shape)


def test_the_mask_is_by_names_so_it_is_the_same_for_every_registered_network():
    """A network of another class would have other modules: the classes are those of above."""
    seen = {type(create_model(tiny.name)) for tiny in NETWORKS.values()}
    assert {type(create_model(name)) for name in list_models(task="classification")} == seen


def test_scanned_blocks():
    network = create_model("resnet1202", blocks=3)
    assert network.scan
    params, _ = roles(network, (32, 32, 3))
    assert params["stage1", "rest", "bn1", "scale"].ndim == 2  # a vector for each block
    assert_masked_by_role(network, (32, 32, 3))


class Stack(nn.Module):
    """Two scanned layers with a PReLU."""

    @nn.compact
    def __call__(self, x):
        loop = nn.scan(
            lambda module, x, _: (module(x), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=2,
        )
        return loop(PReLU(name="act"), x, None)[0]


def test_recipes_leave_scales_and_slopes_alone():
    params = {
        "rest": {"bn1": {"scale": jnp.ones((3, 4))}, "conv": {"kernel": jnp.ones((3, 1, 1, 4, 4))}},
        "act": Stack().init(jax.random.key(0), jnp.ones((1, 5)))["params"]["act"],
    }
    assert params["act"]["slope"].shape == (2, 5)
    rules = [build_optimizer(Recipe(optimizer="momentum", weight_decay=0.1), lambda count: 0.5)]
    names = [name for name in list_paper_recipes() if not paper_recipe(name).decay_biases]
    rules += [paper_recipe(name).build().optimizer for name in names]
    zeros = jax.tree.map(jnp.zeros_like, params)
    moved = []
    for rule in rules:
        updates, _ = rule.update(zeros, rule.init(params), params)
        assert not np.any(updates["rest"]["bn1"]["scale"])
        assert not np.any(updates["act"]["slope"])
        moved.append(np.any(updates["rest"]["conv"]["kernel"]))
    assert sum(moved) >= len(moved) - 1  # Inception-v3's has no decay
