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
from jaxnets.data.image_file import read_image
from jaxnets.data.prefetch import prefetch_to_device
from jaxnets.data.sequences import pad_sequences
from jaxnets.data.source import ArraySource, Source, Split

__all__ = [
    "BATCH_KEYS",
    "ArraySource",
    "Batch",
    "BatchIterator",
    "Batches",
    "Dataset",
    "Source",
    "Split",
    "check_batch",
    "eval_batches",
    "list_datasets",
    "load_dataset",
    "pad_sequences",
    "prefetch_to_device",
    "preprocessing",
    "read_image",
    "stratified_subset",
]
