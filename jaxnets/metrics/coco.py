"""COCO's measures of detection, instance segmentation and keypoints, by pycocotools.

pycocotools is an extra (``pip install 'jaxnets[detection]'``) that is imported when it is needed.
"""

import contextlib
import copy
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.metrics.collected import check_labels, class_names, real_images

BOX_NAMES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
KEYPOINT_NAMES = (
    *("AP", "AP50", "AP75", "AP_medium", "AP_large"),
    *("AR", "AR50", "AR75", "AR_medium", "AR_large"),
)
# Of nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
KINDS = ("bbox", "segm", "keypoints")


class CocoEvaluator:
    """Collects batches of true and found objects, then measures them as COCO does.

    ``box_ignore`` marks crowds, and objects that are neither to be found nor wrong to find: a crowd
    takes up any number of detections. ``box_area`` decides what is small; without it the box's area
    does. Areas count in the pixels of the boxes: measure in the image's own (`to_original`).

    Args:
        classes: how many there are, or their names, for the AP of each.
        kind: "bbox", "segm" (``masks`` in truth (B, M, H, W) and in what is found (B, D, H, W)) or
            "keypoints" (``keypoints`` (B, M, J, 3) and (B, D, J, 2 or 3), in pixels).
        sigmas: (J,) of keypoints, by how much people disagree on each; by default COCO's, which are
            of 17. See `keypoint_sigmas`.

    Raises:
        ValueError: no classes, or an unknown kind.
        JaxnetsError: pycocotools is not installed.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and its evaluation code.

    >>> evaluator = CocoEvaluator(["cat", "dog"])
    >>> box = np.array([[[0.0, 0, 40, 40]]])
    >>> truth = {"boxes": box, "box_label": np.array([[1]]), "box_mask": np.array([[1]])}
    >>> found = {"boxes": box, "scores": np.array([[0.9]]), "labels": np.array([[1]])}
    >>> evaluator.add(truth, found | {"mask": np.array([[True]])})
    >>> {k: round(v, 3) for k, v in evaluator.summarize().items() if k in ("AP", "AP/dog")}
    {'AP': 1.0, 'AP/dog': 1.0}
    """

    def __init__(
        self,
        classes: int | Sequence[str],
        *,
        kind: str = "bbox",
        sigmas: Sequence[float] | None = None,
    ):
        self.class_names = class_names(classes)
        if kind not in KINDS:
            raise ValueError(f"kind: got {kind!r}; expected one of {', '.join(KINDS)}")
        require_pycocotools()
        self.kind, self.sigmas = kind, sigmas
        self._images: list[dict] = []
        self._truth: list[dict] = []
        self._found: list[dict] = []

    def add(self, truth: Mapping[str, Any], found: Any) -> None:
        """Add the images of a batch; padding, of examples too, is left out.

        Args:
            truth: of `jaxnets.data.BATCH_KEYS`: boxes, box_label, box_mask and the like.
            found: boxes, scores, labels, mask: `jaxnets.ops.boxes.Detections` of a batch, or a
                mapping.
        """
        for true, seen in real_images(truth, found):
            check_labels("box_label", true["box_label"], len(self.class_names))
            check_labels("labels", seen["labels"], len(self.class_names))
            number = len(self._images) + 1
            image = {"id": number}
            if "masks" in true:
                image |= dict(zip(("height", "width"), true["masks"].shape[-2:], strict=True))
            self._images.append(image)
            ignored = true.get("box_ignore", np.zeros(len(true["boxes"])))
            for i in range(len(true["boxes"])):
                entry = self._entry(true, i, number, true["box_label"][i])
                entry |= {"id": len(self._truth) + 1, "iscrowd": int(ignored[i] != 0)}
                if "box_area" in true:
                    entry["area"] = float(true["box_area"][i])
                self._truth.append(entry)
            for i in range(len(seen["boxes"])):
                entry = self._entry(seen, i, number, seen["labels"][i])
                self._found.append(entry | {"score": float(seen["scores"][i])})

    def summarize(self) -> dict[str, float]:
        """AP, AP50, …, AR100, … and ``AP/name`` of each class; −1 where nothing is to be found."""
        truth = {
            "images": self._images,
            "annotations": self._truth,
            "categories": [{"id": i, "name": n} for i, n in enumerate(self.class_names)],
        }
        return evaluate_coco(truth, self._found, kind=self.kind, sigmas=self.sigmas)

    def _entry(self, objects, i, image, label):
        x1, y1, x2, y2 = (float(v) for v in objects["boxes"][i])
        width, height = x2 - x1, y2 - y1
        entry = {
            "image_id": image,
            "category_id": int(label),
            "bbox": [x1, y1, width, height],
            "area": width * height,
        }
        if self.kind == "segm":
            if "masks" not in objects:
                raise ValueError("masks: got none; expected (B, M, H, W) for kind segm")
            entry["segmentation"] = encode_mask(objects["masks"][i])
            entry["area"] = float((np.asarray(objects["masks"][i]) != 0).sum())
        if self.kind == "keypoints":
            if "keypoints" not in objects:
                raise ValueError("keypoints: got none; expected (B, M, J, 3) for kind keypoints")
            points = np.asarray(objects["keypoints"][i], np.float64)
            if points.shape[-1] == 2:
                points = np.concatenate([points, np.ones_like(points[:, :1])], 1)
            # COCO counts pixels, whose centers lie at ½ in continuous coordinates.
            entry["keypoints"] = (points - (0.5, 0.5, 0)).ravel().tolist()
            entry["num_keypoints"] = int((points[:, 2] > 0).sum())
        return entry


def evaluate_coco(
    truth: Mapping[str, Any],
    found: Sequence[Mapping[str, Any]],
    *,
    kind: str = "bbox",
    sigmas: Sequence[float] | None = None,
) -> dict[str, float]:
    """Measure a list of results against annotations, both as COCO's files have them.

    Args:
        truth: images, annotations and categories: what ``json.load`` makes of COCO's JSON.
        found: image_id, category_id, score, and bbox, segmentation or keypoints. May be empty.
        kind: "bbox", "segm" or "keypoints".
        sigmas: (J,) of keypoints; by default COCO's 17.

    Returns:
        AP, AP50, AP75, AP_small, …, AR_large, and ``AP/name`` of each class, to the last digit
        those of pycocotools; −1 where there is nothing to find.

    Raises:
        ValueError: an unknown kind, results of an image that truth does not name, sigmas that do
            not fit.
        JaxnetsError: pycocotools is not installed.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and its evaluation code.

    >>> truth = {"images": [{"id": 1}], "annotations": [], "categories": [{"id": 0, "name": "cat"}]}
    >>> evaluate_coco(truth, [])["AP"]
    -1.0
    """
    if kind not in KINDS:
        raise ValueError(f"kind: got {kind!r}; expected one of {', '.join(KINDS)}")
    require_pycocotools()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = {image["id"] for image in truth["images"]}
    for entry in found:
        if entry["image_id"] not in images:
            raise ValueError(f"found: got image_id {entry['image_id']}, which truth does not name")
    # What another kind would be measured by is left out: pycocotools guesses the kind from it.
    others = {"bbox": ("segmentation", "keypoints"), "segm": ("bbox", "keypoints")}
    hidden = others.get(kind, ("bbox", "segmentation"))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        # Of NumPy, about how pycocotools makes arrays.
        warnings.simplefilter("ignore", DeprecationWarning)
        reference = COCO()
        # pycocotools writes into the annotations.
        reference.dataset = copy.deepcopy({**truth, "annotations": _numbered(truth, kind)})
        reference.createIndex()
        if found:
            results = reference.loadRes(
                [{k: v for k, v in entry.items() if k not in hidden} for entry in found]
            )
        else:
            results = COCO()
            results.dataset = {**reference.dataset, "annotations": []}
            results.createIndex()
        measure = COCOeval(reference, results, kind)
        if kind == "keypoints":
            measure.params.kpt_oks_sigmas = _sigmas(truth, sigmas, measure.params.kpt_oks_sigmas)
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    names = KEYPOINT_NAMES if kind == "keypoints" else BOX_NAMES
    summary = {name: float(v) for name, v in zip(names, measure.stats, strict=True)}
    labels = {entry["id"]: str(entry.get("name", entry["id"])) for entry in truth["categories"]}
    # (thresholds, recalls, classes, areas, counts): all sizes, the largest count.
    precision = measure.eval["precision"][:, :, :, 0, -1]
    for place, category in enumerate(measure.params.catIds):
        values = precision[:, :, place]
        values = values[values > -1]
        summary[f"AP/{labels[category]}"] = float(values.mean()) if values.size else -1.0
    return summary


def keypoint_sigmas(count: int) -> tuple[float, ...]:
    """How much people disagree on each keypoint, in shares of an object's size.

    Args:
        count: J.

    Returns:
        J numbers: for 17 COCO's; for others their mean for each, as nobody has measured them, so
        that AP compares detectors of the same data set, not data sets.

    Source: cocodataset.org, "Keypoint Evaluation", section 1.3.

    >>> keypoint_sigmas(17)[:2], [round(each, 4) for each in keypoint_sigmas(2)]
    ((0.026, 0.025), [0.0669, 0.0669])
    """
    if count == len(COCO_SIGMAS):
        return COCO_SIGMAS
    return (sum(COCO_SIGMAS) / len(COCO_SIGMAS),) * count


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """COCO's run-length code of a binary mask.

    Args:
        mask: (H, W), nonzero inside.

    Returns:
        size and counts.

    Raises:
        JaxnetsError: pycocotools is not installed.

    >>> encode_mask(np.array([[0, 1], [0, 1]]))["size"]
    [2, 2]
    """
    require_pycocotools()
    from pycocotools import mask as codes

    return codes.encode(np.asfortranarray(np.asarray(mask) != 0, np.uint8))


def require_pycocotools() -> None:
    """Raise a JaxnetsError that says how to install pycocotools, unless it is there.

    Raises:
        JaxnetsError: it is not installed.

    >>> require_pycocotools()
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise JaxnetsError(
            "COCO's measures and masks need pycocotools: pip install 'jaxnets[detection]'"
        ) from None


def _numbered(truth, kind):
    """The annotations with numbers from 1 on: pycocotools takes number 0 for "not found"."""
    entries = []
    for number, entry in enumerate(truth["annotations"], 1):
        entry = {"iscrowd": 0, **entry, "id": number}
        if "area" not in entry and "bbox" in entry:
            entry["area"] = entry["bbox"][2] * entry["bbox"][3]
        if kind == "keypoints" and "num_keypoints" not in entry:
            entry["num_keypoints"] = int(np.count_nonzero(entry["keypoints"][2::3]))
        entries.append(entry)
    return entries


def _sigmas(truth, sigmas, default):
    points = {len(entry["keypoints"]) // 3 for entry in truth["annotations"]}
    chosen = np.asarray(default if sigmas is None else sigmas, np.float64)
    if points - {len(chosen)}:
        raise ValueError(
            f"sigmas: got {len(chosen)}{' (the default of COCO)' if sigmas is None else ''}; "
            f"expected one for each of {sorted(points)} keypoints"
        )
    return chosen
