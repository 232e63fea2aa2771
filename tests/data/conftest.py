"""A small TFDS dataset of our own, prepared as ArrayRecord without TensorFlow."""

import io
import os

import numpy as np
import pytest


@pytest.fixture(scope="session")
def own_builder():
    """``own_builder({"train": (images, labels), …}, name=…)``: a TFDS builder class."""

    def build(
        splits,
        *,
        name="tiny",
        names=("cat", "dog"),
        shape=(6, 5, 3),
        stored="image",
        register=False,
    ):
        import tensorflow_datasets as tfds
        from PIL import Image

        image_feature = (
            tfds.features.Image(shape=shape)
            if stored == "image"
            else tfds.features.Tensor(shape=shape, dtype=np.uint8)
        )
        label_feature = (
            tfds.features.ClassLabel(names=list(names)) if names else tfds.features.Scalar(np.int64)
        )

        def info(self):
            features = {
                "note": tfds.features.Text(),
                "image": image_feature,
                "label": label_feature,
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def examples(self, images, labels):
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                if stored == "image":
                    file = io.BytesIO()
                    Image.fromarray(np.squeeze(image)).save(file, "png")
                    file.seek(0)
                    image = file
                yield number, {"note": "unused", "image": image, "label": int(label)}

        members = {
            "name": name,
            "VERSION": tfds.core.Version("1.0.0"),
            "_info": info,
            "_generate_examples": examples,
            "_split_generators": lambda self, manager: {
                split: self._generate_examples(*arrays) for split, arrays in splits.items()
            },
            "__module__": __name__,
        }
        base = tfds.core.GeneratorBasedBuilder
        return type(base)(name, (base,), members, skip_registration=not register)

    return build


@pytest.fixture(scope="session")
def make_tfds(own_builder):
    """``make_tfds(root, {"train": (images, labels), …}, …)`` prepares it; returns its folder."""

    def make(root, splits, **options):
        builder = own_builder(splits, **options)(data_dir=str(root), file_format="array_record")
        builder.download_and_prepare(file_format="array_record")
        return root / builder.name / "1.0.0"

    return make


@pytest.fixture(scope="session")
def tiny_arrays():
    """Train and test images in which no two are alike, so that order can be undone."""
    rng = np.random.default_rng(0)
    return {
        split: (
            rng.integers(0, 256, (count, 6, 5, 3), dtype=np.uint8),
            np.arange(count, dtype=np.int32) % 2,
        )
        for split, count in (("train", 30), ("test", 12))
    }


@pytest.fixture(scope="session")
def tiny_tfds(make_tfds, tiny_arrays, tmp_path_factory):
    """A data_dir that holds the dataset ``tiny``; read only, copy it to change it."""
    root = tmp_path_factory.mktemp("tfds")
    make_tfds(root, tiny_arrays)
    return root


@pytest.fixture(scope="session")
def cifar10(prepared_datasets, tmp_path_factory):
    """The real CIFAR-10 where the machine has it, decoded once for all test processes."""
    from jaxnets.data import load_dataset

    if prepared_datasets is None:
        return None
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    return load_dataset("cifar10", data_dir=prepared_datasets, cache_dir=base / "decoded")


@pytest.fixture(autouse=True)
def private_cache(tmp_path, monkeypatch):
    """No test may see or leave anything in the user's cache."""
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
