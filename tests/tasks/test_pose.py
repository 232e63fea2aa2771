"""Poses: losses and PCK against NumPy, corrections of later stages, data, a run from end to end."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from PIL import Image
from safetensors.numpy import save_file

from experiments.pose import train_pose as entry
from jaxnets import augment
from jaxnets.data import AnnotationError
from jaxnets.data.poses import (
    COCO_PERSON,
    LEEDS,
    PoseSplits,
    Skeleton,
    read_leeds_poses,
    read_people,
)
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.models.pose import DeepPose, HeatMapPose, deep_pose, heat_map_pose
from jaxnets.pretrained.convert import match_variables, to_torch
from jaxnets.pretrained.shufflenet_trunk import AUTHORS, PARTS
from jaxnets.study.pose_pictures import draw_pose
from jaxnets.study.stick_figures import stick_figure_splits, stick_figures
from jaxnets.tasks.pose import pose, staged_pose
from jaxnets.tasks.pose_training import (
    PoseFinder,
    PoseRecipe,
    build_pose,
    load_pose,
    median_pose,
    train_pose,
)
from jaxnets.tasks.small_training import begin_on_trunk
from jaxnets.train import RunOptions


def test_skeletons_name_each_joint_once_and_pair_right_with_left():
    for skeleton in (LEEDS, COCO_PERSON):
        assert isinstance(skeleton, Skeleton) and len(set(skeleton.names)) == len(skeleton.names)
        for right, left in skeleton.pairs:
            assert skeleton.names[left] == skeleton.names[right].replace("right", "left")
            assert skeleton.names[right].startswith("right")
    assert len(COCO_PERSON.names) == 17 and COCO_PERSON.names[12] == "right hip"


def test_heat_maps_have_their_mean_where_the_peak_is():
    """A map that is certain of one position gives that position's center."""
    network = heat_map_pose(2, width=4)
    assert isinstance(network, HeatMapPose)
    x = jnp.zeros((1, 32, 48, 3))
    variables = network.init(jax.random.key(0), x)
    bias = {"bias": jnp.array([0.0, 0.0]), "kernel": jnp.zeros((1, 1, 8, 2))}
    params = {**variables["params"], "head": bias}
    found = network.apply({**variables, "params": params}, x)
    np.testing.assert_allclose(found["points"], np.full((1, 1, 2, 2), 0.5), atol=1e-6)


def batch_of(points, visible=None, side=40):
    points = np.asarray(points, np.float32)
    seen = np.ones(points.shape[:-1]) if visible is None else np.asarray(visible)
    keypoints = np.concatenate((points, seen[..., None]), -1).astype(np.float32)[:, None]
    images = jnp.zeros((len(points), side, 2 * side, 3))
    return {"image": images, "keypoints": keypoints, "example_mask": jnp.ones(len(points))}


def test_loss_and_pck_are_numpys():
    drawn = np.random.default_rng(0)
    points = drawn.uniform(5, 35, (3, 4, 2))
    visible = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 1]])
    batch = batch_of(points, visible)
    sides = np.array([80.0, 40.0])
    shares = (points / sides)[:, None] + drawn.normal(0, 0.05, (3, 2, 4, 2))
    heat = drawn.standard_normal((3, 10, 20, 4))
    task = pose(["a", "b", "c", "d"], torso=(0, 2), spread=1.5)
    outputs = {"points": jnp.asarray(shares), "heat": jnp.asarray(heat)}
    squares = ((shares - (points / sides)[:, None]) ** 2).sum(-1).sum(1)
    cross = np.zeros((3, 4))
    for b in range(3):
        for j in range(4):
            x, y = points[b, j] / sides * (20, 10)
            rows = np.exp(-0.5 * ((np.arange(10) + 0.5 - y) / 1.5) ** 2)
            columns = np.exp(-0.5 * ((np.arange(20) + 0.5 - x) / 1.5) ** 2)
            target = np.outer(rows / rows.sum(), columns / columns.sum())
            logs = heat[b, :, :, j] - np.log(np.exp(heat[b, :, :, j]).sum())
            cross[b, j] = -(target * logs).sum()
    expected = ((50 * squares + cross) * visible).sum() / visible.sum()
    assert float(task.loss(outputs, {}, batch)[0]) == pytest.approx(expected, rel=1e-5)
    summary = task.summarize(jax.tree.map(np.asarray, task.measure(outputs, batch)))
    assert summary["loss"] == pytest.approx(expected, rel=1e-5)
    size = np.linalg.norm(points[:, 0] - points[:, 2], axis=-1)
    apart = np.linalg.norm(shares[:, 1] * sides - points, axis=-1)
    right = (apart <= 0.2 * size[:, None]) & (visible == 1)
    assert summary["PCK"] == summary["PCK of stage 2"] == pytest.approx(right.sum() / visible.sum())
    assert summary["PCK/b"] == pytest.approx(right[:, 1].sum() / visible[:, 1].sum())


def test_what_nobody_sees_and_padding_change_nothing():
    task = pose(["a", "b"], torso=(0, 1))
    points = np.array([[[10.0, 10], [30, 30]], [[10, 20], [999, -5]]])
    one = batch_of(points, [[1, 1], [1, 0]])
    other = batch_of(np.where(points > 900, 3.0, points), [[1, 1], [1, 0]])
    outputs = {"points": jnp.full((2, 1, 2, 2), 0.4)}
    assert float(task.loss(outputs, {}, one)[0]) == float(task.loss(outputs, {}, other)[0])
    nobody = batch_of(points, np.zeros((2, 2)))
    value, slope = jax.value_and_grad(lambda p: task.loss({"points": p}, {}, nobody)[0])(
        outputs["points"]
    )
    assert float(value) == 0 and not np.asarray(slope).any()
    padded = dict(one, example_mask=jnp.array([1.0, 0.0]))
    first = {key: value[:1] for key, value in one.items()}
    sums = task.measure(outputs, padded)
    alone = task.measure({"points": outputs["points"][:1]}, first)
    for name in sums:
        for a, b in zip(sums[name], alone[name], strict=True):
            np.testing.assert_array_equal(a, b)


def test_later_stages_see_what_is_around_each_joint():
    """A pixel beyond every window changes the first stage, not the correction of a true joint."""
    network = deep_pose(2, stages=2, width=4, crop=32)
    assert isinstance(network, DeepPose)
    x = np.random.default_rng(0).standard_normal((1, 64, 64, 3)).astype(np.float32)
    variables = network.init(jax.random.key(0), x)
    apply = jax.jit(
        lambda x, centers, key: network.apply(
            variables, x, train=True, centers=centers, rngs={"dropout": key},
            mutable=["batch_stats"],
        )[0]["points"]
    )  # fmt: skip
    centers, key = jnp.array([[[0.3, 0.3], [0.35, 0.4]]]), jax.random.key(1)
    changed = x.copy()
    changed[:, 60:, 60:] += 5.0
    first, second = apply(x, centers, key), apply(changed, centers, key)
    assert np.abs(first[:, 0] - second[:, 0]).max() > 1e-4
    np.testing.assert_allclose(first[:, 1], second[:, 1], atol=1e-6)
    near = x.copy()
    near[:, 20:24, 20:24] += 5.0
    assert np.abs(first[:, 1] - apply(near, centers, key)[:, 1]).max() > 1e-5
    batch = batch_of(np.full((1, 2, 2), 10.0))
    assert staged_pose(["a", "b"], torso=(0, 1)).inputs(batch)["centers"][0, 0].tolist() == [
        0.125,
        0.25,
    ]


def test_a_mirror_image_trades_right_and_left():
    images, keypoints = stick_figures(np.random.default_rng(0), 1, size=32)
    example = {"image": jnp.asarray(images[0]), "keypoints": jnp.asarray(keypoints[0])}
    mirrored = augment.flip(example, True, pairs=LEEDS.pairs)["keypoints"][0]
    np.testing.assert_allclose(mirrored[0, 0], 32 - keypoints[0, 0, 5, 0], rtol=1e-6)
    np.testing.assert_allclose(mirrored[13, 0], 32 - keypoints[0, 0, 13, 0], rtol=1e-6)


def leeds(folder: Path, *, count=3, joints=14) -> Path:
    (folder / "images").mkdir(parents=True)
    names = np.array([f"{n}.png" for n in range(count)])
    for name in names:
        Image.new("RGB", (40, 20), (9, 9, 9)).save(folder / "images" / name)
    points = np.full((count, joints, 2), 10.0, np.float32)
    np.savez(folder / "joints.npz", name=names, joints=points, test=np.arange(count) == 0)
    return folder


def test_leeds_poses_are_read_and_refused(tmp_path):
    found = read_leeds_poses(leeds(tmp_path / "a"), size=40)
    assert isinstance(found, PoseSplits) and (len(found.train), len(found.test)) == (2, 1)
    assert found.test.arrays["keypoints"][0, 0, 0].tolist() == [10.0, 20.0, 1.0]
    with pytest.raises(AnnotationError, match="joints of shape"):
        read_leeds_poses(leeds(tmp_path / "b", joints=13))
    (tmp_path / "c" / "images").mkdir(parents=True)
    (tmp_path / "c" / "joints.npz").write_bytes(b"PK")
    with pytest.raises(AnnotationError, match=r"joints\.npz"):
        read_leeds_poses(tmp_path / "c")


def people(folder: Path, joints: int, images: int = 4) -> Path:
    """People of 20 pixels in images of 60, a joint in each corner of their box."""
    folder.mkdir()
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for n in range(images):
        Image.new("RGB", (60, 60), (0, 0, 0)).save(folder / f"{n}.png")
        content["images"].append({"id": n, "file_name": f"{n}.png", "width": 60, "height": 60})
        points = [v for k in range(joints) for v in (19 + 20 * (k % 2), 19 + 20 * (k // 2 % 2), 2)]
        points[-3:] = [0, 0, 0]
        one = {"id": n, "image_id": n, "category_id": 1, "bbox": [20, 20, 20, 20]}
        content["annotations"].append({**one, "keypoints": points, "area": 400})
    path = folder / "people.json"
    path.write_text(json.dumps(content))
    return path


def test_people_of_cocos_files_are_cut_out(tmp_path):
    found = read_people(people(tmp_path / "a", 17), size=50)
    assert found.skeleton is COCO_PERSON and (len(found.train), len(found.test)) == (3, 1)
    points = found.train.arrays["keypoints"][0, 0]
    # A square of 25 pixels around (30, 30) becomes one of 50; COCO's 19 is 19.5 here.
    np.testing.assert_allclose(points[0], [4.0, 4.0, 2.0], atol=1e-4)
    np.testing.assert_allclose(points[3], [44.0, 44.0, 2.0], atol=1e-4)
    assert not points[16].any()
    assert read_people(people(tmp_path / "b", 14)).skeleton is LEEDS
    with pytest.raises(AnnotationError, match="5 joints; expected 17"):
        read_people(people(tmp_path / "c", 5))
    with pytest.raises(AnnotationError, match="nobody in it has 15 visible"):
        read_people(people(tmp_path / "d", 14), least=15)


def test_the_median_pose_is_the_control():
    splits = stick_figure_splits(40, size=32)
    task = pose(LEEDS.names, torso=LEEDS.torso)
    found = median_pose(task, splits.train, splits.test)
    known = np.asarray(splits.train.arrays["keypoints"])[:, 0, :, :2]
    truth = np.asarray(splits.test.arrays["keypoints"])[:, 0, :, :2]
    size = np.linalg.norm(truth[:, 2] - truth[:, 9], axis=-1)[:, None]
    right = np.linalg.norm(truth - np.median(known, 0), axis=-1) <= 0.2 * size
    assert found == pytest.approx(right.mean())


def test_pictures_show_bones():
    image, points = np.zeros((30, 30, 3), np.uint8), np.zeros((14, 3))
    assert not draw_pose(image, points, LEEDS).any()
    points[0], points[1] = (5, 5, 1), (25, 25, 1)
    drawn = draw_pose(image, points, LEEDS, least=30)
    assert drawn[15, 15].tolist() == [240, 60, 60]


def test_from_training_to_a_picture(tmp_path, monkeypatch, capsys):
    """The command: train on figures of sticks, find the joints of one, as JSON and drawn."""
    monkeypatch.chdir(tmp_path)
    config = replace(entry.smoke(), workdir=Path("run"))
    summary = entry.main(config)
    assert 0 <= summary["PCK"] <= 1 and "PCK of the median pose" in summary
    assert Path("run", "poses.png").stat().st_size > 5000
    image = stick_figures(np.random.default_rng(5), 1, size=40)[0][0]
    Image.fromarray(image).save("one.png")
    capsys.readouterr()
    found = entry.main(replace(config, input=(Path("one.png"),), json=True))
    assert json.loads(capsys.readouterr().out) == found
    finder = load_pose("run")
    assert isinstance(finder, PoseFinder) and finder.size == (32, 32)
    np.testing.assert_allclose(list(found["one.png"].values()), finder.find(image), atol=0.06)
    entry.main(replace(config, input=(Path("one.png"),)))
    assert Path("run", "one_pose.png").exists()
    other = replace(config.recipe, width=8)
    with pytest.raises(JaxnetsError, match="width"):
        train_pose(other, replace(config, restart=False), stick_figure_splits(8, size=32))
    with pytest.raises(JaxnetsError, match="workdir"):
        train_pose(PoseRecipe(), RunOptions(), None)


@pytest.mark.slow
def test_figures_of_sticks_are_learned(tmp_path):
    """80.6 %; the row's 95 % takes 120 epochs of twice the channels, see docs/results.md."""
    splits = stick_figure_splits(1500, size=64)
    recipe = PoseRecipe(width=12, epochs=20, scales=(0.9, 1.1), jitter=0.0)
    options = RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=0)
    summary = train_pose(recipe, options, splits).summary
    assert summary["PCK of the median pose"] < 0.4 < 0.75 < summary["PCK"]


def test_a_recipe_names_its_network():
    assert isinstance(build_pose("heat_maps", 14, 12, 2), HeatMapPose)
    assert len(build_pose("deep_pose", 14, 12, 3).stages) == 3


@pytest.fixture
def trunk(tmp_path):
    """A file of a ShuffleNetV2's random weights as its authors name them, and our variables."""
    network = create_model("shufflenet_v2_x0_5", num_classes=None, parity=True)
    shapes = abstract_variables(network, (64, 64, 3))
    rng, ours, theirs = np.random.default_rng(0), {}, {}
    for match in match_variables(shapes, AUTHORS, network):
        if match.path.split("/")[1] in PARTS:
            (name,) = match.names
            ours[match.path] = rng.uniform(0.5, 1, match.shape).astype(np.float32)
            (theirs[f"backbone.{name}"],) = to_torch(match, ours[match.path])
    theirs["backbone.first_conv.0.weight"] = theirs["backbone.first_conv.0.weight"][:, ::-1].copy()
    save_file({k: np.ascontiguousarray(v) for k, v in theirs.items()}, tmp_path / "t.safetensors")
    return tmp_path / "t.safetensors", ours


def test_a_network_begins_with_the_trunks_weights(trunk, tmp_path):
    path, ours = trunk
    network = heat_map_pose(14, width=4, trunk=True)
    given = flatten_dict(
        begin_on_trunk(network, (32, 32), path, at="maps/network", seed=0), sep="/"
    )
    for name, array in ours.items():
        kind, _, inside = name.partition("/")
        np.testing.assert_array_equal(given[f"{kind}/maps/network/{inside}"], array)
    fresh = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    fresh = flatten_dict(fresh, sep="/")
    assert given.keys() == fresh.keys()
    np.testing.assert_array_equal(given["params/head/kernel"], fresh["params/head/kernel"])
    # A run with it, whose rate is next to nothing, still has them, and is read again.
    recipe = PoseRecipe(width=4, epochs=1, batch_size=2, trunk=path, learning_rate=1e-30, degrees=9)
    run = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    fitted = train_pose(recipe, run, stick_figure_splits(4, size=32, seed=0))
    kernel = fitted.variables["params"]["maps"]["network"]["stem"]["conv"]["kernel"]
    np.testing.assert_allclose(kernel, ours["params/stem/conv/kernel"], rtol=1e-6)
    assert load_pose(tmp_path / "run").find(np.zeros((40, 50, 3), np.uint8)).shape == (14, 2)
    with pytest.raises(JaxnetsError, match="trunk: deep_pose has none"):
        train_pose(replace(recipe, network="deep_pose"), run, None)
