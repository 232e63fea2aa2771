"""Data: from files on disk to batches on the devices.

``load_dataset`` gives arrays (embedded digits, or any prepared TFDS image-classification set,
decoded once into a memory-mapped cache), ``Batches`` cuts them into shuffled batches by a pure
function of (seed, step), ``prefetch_to_device`` keeps the devices supplied, ``preprocessing`` works
inside jit. ``load_objects`` reads a folder of annotated images in COCO's, VOC's or YOLO's layout,
``LabelImageSource`` one of images with label images.

Importing this package costs nothing beside NumPy and JAX: TFDS, scikit-learn and Pillow are loaded
by the functions that need them.
"""

from jaxnets.data import preprocessing
from jaxnets.data.batch import BATCH_KEYS, Batch, check_batch
from jaxnets.data.batches import Batches, BatchIterator, eval_batches
from jaxnets.data.coco_classes import COCO_CATEGORIES, COCO_CLASSES
from jaxnets.data.coco_files import read_coco
from jaxnets.data.datasets import Dataset, list_datasets, load_dataset, stratified_subset
from jaxnets.data.folder import load_folder, scan_folder
from jaxnets.data.image_file import read_image
from jaxnets.data.label_images import LabelImageSource
from jaxnets.data.luma import bicubic, luminance, to_gray_levels
from jaxnets.data.object_folder import load_objects
from jaxnets.data.object_source import ObjectSource, to_original
from jaxnets.data.objects import AnnotationError, ImageObjects, check_objects
from jaxnets.data.own import RecordSource, hold_out_validation, load_arrays, make_dataset
from jaxnets.data.prefetch import prefetch_to_device
from jaxnets.data.sequences import pad_sequences
from jaxnets.data.source import ArrayRows, ArraySource, Source, Split
from jaxnets.data.voc_files import VOC_CLASSES, read_voc
from jaxnets.data.yolo_files import read_yolo

__all__ = [
    "BATCH_KEYS",
    "COCO_CATEGORIES",
    "COCO_CLASSES",
    "VOC_CLASSES",
    "AnnotationError",
    "ArrayRows",
    "ArraySource",
    "Batch",
    "BatchIterator",
    "Batches",
    "Dataset",
    "ImageObjects",
    "LabelImageSource",
    "ObjectSource",
    "RecordSource",
    "Source",
    "Split",
    "bicubic",
    "check_batch",
    "check_objects",
    "eval_batches",
    "hold_out_validation",
    "list_datasets",
    "load_arrays",
    "load_dataset",
    "load_folder",
    "load_objects",
    "luminance",
    "make_dataset",
    "pad_sequences",
    "prefetch_to_device",
    "preprocessing",
    "read_coco",
    "read_image",
    "read_voc",
    "read_yolo",
    "scan_folder",
    "stratified_subset",
    "to_gray_levels",
    "to_original",
]
