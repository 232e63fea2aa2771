"""Known outcomes of the claims on augmentation, and of those on convolutional networks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.measures import deeper_networks, response_norm
from jaxnets.study import claims
from jaxnets.study.data import Data, Part
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)


@functools.lru_cache
def kind_of(prepare) -> str:
    """Of an augmentation, by what it does to images that are one value all over."""
    if prepare is None:
        return "as they are"
    values = np.arange(1, 17, dtype=np.float32)
    images = jnp.asarray(np.tile(values[:, None, None, None], (1, 8, 8, 1)))
    batch = {"image": images, "label": jnp.arange(16)}
    found = np.asarray(prepare(jax.random.key(0), batch, jnp.arange(16))["image"])[..., 0]
    # Crops of the padded image bring zeros from outside, of one pixel at most.
    inside = found[:, 1:-1, 1:-1]
    if (inside == 0).any():
        assert np.isin(inside, [0, *values]).all() and (inside == 0).mean() > 0.1
        return "crops and cutout"
    middle = inside[:, 3, 3]
    if np.array_equal(middle, values):
        assert (found == 0).any()
        return "crops"
    # Mixed with the image before it, or shifted by the noise, which has mean 0 and may be negative.
    lower = np.minimum(values, np.roll(values, 1)) - 1e-4
    upper = np.maximum(values, np.roll(values, 1)) + 1e-4
    mixed = (lower <= middle) & (middle <= upper)
    return "crops and mixup" if mixed.all() else "crops and color noise"


def compared(few: float, more: float, without: str, with_it: str):
    """Gains of one augmentation over the other on 100 and on 200 images."""

    def run(arm):
        gain = {100: few, 200: more}[len(arm.data.train.labels)]
        assert arm.falls
        return {"accuracy": {without: 80, with_it: 80 + gain}[kind_of(arm.prepare)]}

    return trained(run)


for name, without, with_it in (
    ("augmentation_helps", "as they are", "crops"),
    ("cutout_helps", "crops", "crops and cutout"),
    ("mixup_helps", "crops", "crops and mixup"),
    ("color_noise_helps", "crops", "crops and color noise"),
):
    sizes = {"sizes": (100, 200)}
    known(name, "holds", [3, 1, 2], compared(3, 1, without, with_it), **sizes)
    known(name, "fails", [-3, -1, -2], compared(-3, -1, without, with_it), **sizes)
    known(name, "fails", [-3], compared(-3, -1, without, with_it), sizes=(100,))


def points(middle_right: bool, channels: int):
    """Images that tell their class by single pixels, of which 30 % tell a wrong one.

    A network reads the pixel (4, 4). A crop of the padded image has another pixel there, and so
    has a mirror image. Wrong is either the pixel in the middle alone, or all of the others.
    """
    labels = np.arange(100) % 10
    mistaken = np.where(np.arange(100) < 30, (labels + 1) % 10, labels)
    images = np.zeros((100, 8, 8, channels), np.float32)
    middle, others = (labels, mistaken) if middle_right else (mistaken, labels)
    images[..., 0] = others[:, None, None]
    images[:, 4, 4, 0] = middle
    if channels > 1:
        # Of two views the wrong one prevails, or the right one: the other pixels are surer.
        images[..., 1] = 3
        images[:, 4, 4, 1] = 1
    part = Part(jnp.asarray(images), jnp.asarray(labels))

    def read(variables, images, *, train):
        assert not train
        pixel = images[:, 4, 4]
        size = pixel[:, 1:2] if channels > 1 else 3
        return size * jax.nn.one_hot(pixel[:, 0].astype(int), 10)

    def run(arm):
        assert kind_of(arm.prepare) == "crops"
        return {"state": State(read)}

    def scene(monkeypatch):
        data = Data("points", part, part, 10)
        monkeypatch.setattr(claims, "load", lambda *_, **__: data)
        trained(run)(monkeypatch)

    return scene


class State:
    """What a probe sees."""

    def __init__(self, apply_fn):
        self.apply_fn, self.variables = apply_fn, {}


name, close = "several_views_help", {"tolerance": 1e-4}
known(name, "holds", [30], points(False, 1), **close)
known(name, "fails", [-30], points(True, 1), **close)
# In color there are two ways: with the mirror image, and ten crops.
known(name, "holds", [30, 30], points(False, 3), **close)
known(name, "fails", [-30, -30], points(True, 3), **close)


def pooled(gain: float):
    """Windows of 3 against windows of 2, known by the shape of the network's only difference."""

    def run(arm):
        assert kind_of(arm.prepare) == "crops" and arm.model.pool in (2, 3)
        wide = arm.model.pool == 3
        return {"accuracy": 80 + gain * wide, "train_accuracy": 95 - 1 * wide}

    return trained(run)


known("overlapping_pooling_helps", "holds", [3, -4], pooled(3))
known("overlapping_pooling_helps", "fails", [-3, 2], pooled(-3))


def bodies(**accuracy):
    """By the number of convolutions in the middle, each at a better rate of its own."""

    def run(arm):
        shapes = parameters(arm.model, arm.data.image_shape)
        kernels = [x["kernel"].shape for n, x in shapes.items() if n.startswith("body")]
        name = {(7,): "one", (3, 3, 3): "three", (3, 3): "two", (1, 3, 1): "bottleneck"}[
            tuple(shape[0] for shape in kernels if len(shape) == 4)
        ]
        best = (arm.first_rate > 0.4) == (name in ("three", "bottleneck"))
        lost = 20 if name in ("three", "bottleneck") else 25
        return {"accuracy": accuracy[name] - lost * (not best), "variables": {"params": shapes}}

    return trained(run)


@functools.lru_cache
def parameters(model, image_shape) -> dict:
    """Zeros."""
    image = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)["params"]
    shapes = {n: x for n, x in shapes.items() if not n.endswith("_bn")}
    return jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)


name, two = "small_kernels", {"rates": (0.25, 0.5)}
# 27 weights for each pair of channels, against 49; a field of 7 pixels for both.
known(name, "holds", [-0.25, 27 / 49, 1], bodies(one=80, three=79.75), **two)
each = ("fails", "holds", "holds")
known(name, "depends", [-3, 27 / 49, 1], bodies(one=80, three=77), each=each, **two)

# 2·9·C² products a pixel, against C·C/4 + 9·(C/4)² + C/4·C.
name, saved = "bottlenecks_save_work", 18 / (1 / 4 + 9 / 16 + 1 / 4)
known(name, "holds", [saved, -0.25], bodies(two=80, bottleneck=79.75), **two)
each = ("holds", "fails")
known(name, "depends", [saved, -3], bodies(two=80, bottleneck=77), each=each, **two)


def fractional(gain: float):
    """Random against fixed regions."""

    def run(arm):
        return {"accuracy": 80 + gain * arm.model.random}

    return trained(run)


known("fractional_pooling_regularizes", "holds", [3], fractional(3))
known("fractional_pooling_regularizes", "fails", [-3], fractional(-3))


def normalized(gain: float, slower: float):
    """With and without local response normalization, and how much longer a step takes with it."""

    def run(arm):
        best = (arm.first_rate > 0.4) == arm.model.normalize
        lost = 20 if arm.model.normalize else 25
        return {"accuracy": 80 + gain * arm.model.normalize - lost * (not best)}

    def scene(monkeypatch):
        trained(run)(monkeypatch)
        seconds = np.array([2.0, 4.0, 3.0])
        found = {True: slower * seconds, False: seconds}
        monkeypatch.setattr(response_norm, "step_seconds", lambda _: found)

    return scene


name = "lrn_gains_nothing"
known(name, "holds", [0.5, 1.5], normalized(0.5, 1.5), **two)
known(name, "fails", [3, 0.5], normalized(3, 0.5), **two)
known(name, "depends", [3, 1.5], normalized(3, 1.5), each=("fails", "holds"), **two)


def grown(**accuracy):
    """By where the eight layers begin; those of the shallower network are its own key's."""
    copied = {"conv1_1", "conv2_1", "conv3_1", "conv3_2", "classifier"}

    def run(arm):
        layers, scale = arm.value["layers"], float(arm.value["scale"])
        if arm.model.depths == deeper_networks.SHALLOW:
            kind = "shallow"
        elif layers:
            kind = "grown"
            assert set(layers) == copied
            # From the better rate of this key.
            assert {float(x["kernel"]) for x in layers.values()} == {10 * arm.seed + 1}
        else:
            kind = "he" if scale == 1 else "fresh"
        assert scale == (1 if kind == "he" else 0.5)
        best = (arm.value["rate"] > 0.4) == (kind in ("shallow", "he"))
        params = {n: {"kernel": np.float32(10 * arm.seed + best)} for n in (*copied, "conv9_9")}
        right = {"shallow": 60, **accuracy}[kind] - arm.seed - 20 * (not best)
        return {"accuracy": right, "variables": {"params": params}}

    return trained(run)


name = "shallower_networks_start_deeper_ones"
known(name, "holds", [10, 2], grown(grown=80, fresh=70, he=82), **two)
known(name, "fails", [-5, -10], grown(grown=70, fresh=75, he=60), **two)
each = ("holds", "fails")
known(name, "depends", [10, -5], grown(grown=80, fresh=70, he=75), each=each, **two)
