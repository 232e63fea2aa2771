"""Data: from files on disk to batches on the devices.

``load_dataset`` gives arrays (embedded digits, or any prepared TFDS image-classification set,
decoded once into a memory-mapped cache), ``Batches`` cuts them into shuffled batches by a pure
function of (seed, step), ``prefetch_to_device`` keeps the devices supplied, ``preprocessing`` works
inside jit.

Importing this package costs nothing beside NumPy and JAX: TFDS, scikit-learn and Pillow are loaded
by the functions that need them.
"""

from jaxnets.data import preprocessing
from jaxnets.data.batch import BATCH_KEYS, Batch, check_batch
from jaxnets.data.batches import Batches, BatchIterator, eval_batches
from jaxnets.data.datasets import Dataset, list_datasets, load_dataset, stratified_subset
from jaxnets.data.folder import load_folder, scan_folder
from jaxnets.data.image_file import read_image
from jaxnets.data.own import RecordSource, hold_out_validation, load_arrays, make_dataset
from jaxnets.data.prefetch import prefetch_to_device
from jaxnets.data.source import ArrayRows, ArraySource, Source, Split

__all__ = [
    "BATCH_KEYS",
    "ArrayRows",
    "ArraySource",
    "Batch",
    "BatchIterator",
    "Batches",
    "Dataset",
    "RecordSource",
    "Source",
    "Split",
    "check_batch",
    "eval_batches",
    "hold_out_validation",
    "list_datasets",
    "load_arrays",
    "load_dataset",
    "load_folder",
    "make_dataset",
    "prefetch_to_device",
    "preprocessing",
    "read_image",
    "scan_folder",
    "stratified_subset",
]
