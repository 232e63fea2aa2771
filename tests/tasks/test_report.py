"""The pictures that a run leaves."""

import numpy as np

from jaxnets.tasks.report import first_filters, save_confusion, save_filters, tile
from jaxnets.train.curves import save_curves


def _is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


def test_pictures_are_written_also_where_there_is_little_to_show(tmp_path):
    lines = [
        {"kind": kind, "step": step, "loss": 1 / step, "accuracy": 1 - 1 / step}
        for kind in ("train", "test")
        for step in (10, 20)
    ]
    save_curves(lines, tmp_path / "curves.png", epoch_steps=10)
    save_curves(lines[:1], tmp_path / "start.png", epoch_steps=10)
    names = [f"class {i}" for i in range(40)]
    save_confusion(np.eye(3, dtype=int), names[:3], tmp_path / "few.png")
    save_confusion(np.eye(40, dtype=int), names, tmp_path / "many.png")
    save_filters(np.zeros((3, 3, 3, 5)), tmp_path / "color.png")
    save_filters(np.ones((5, 5, 8, 70)), tmp_path / "gray.png")
    found = sorted(tmp_path.iterdir())
    assert len(found) == 6 and all(map(_is_png, found))


def test_first_filters_are_those_on_the_image():
    stem, later = np.zeros((7, 7, 3, 4)), np.zeros((3, 3, 4, 8))
    assert first_filters({"b": later, "a": {"kernel": stem}}, (8, 8, 3)).shape == (7, 7, 3, 4)
    dense = first_filters({"fc": {"kernel": np.zeros((8 * 8, 10))}}, (8, 8, 1))
    assert dense.shape == (8, 8, 1, 10)
    assert first_filters({"fc": np.zeros((5, 10))}, (8, 8, 1)) is None


def test_tile_puts_images_side_by_side():
    images = np.arange(3, dtype=float).reshape(3, 1, 1, 1) * np.ones((3, 2, 2, 1))
    grid = tile(images, gap=1, fill=9.0)[..., 0]
    assert grid.shape == (5, 5)
    assert (grid[:2, :2] == 0).all() and (grid[:2, 3:] == 1).all() and (grid[3:, :2] == 2).all()
    assert (grid[2] == 9).all() and (grid[3:, 3:] == 9).all()
