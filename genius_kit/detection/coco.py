"""Data sets in the COCO format: reading boxes, batches of images for training, and the COCO measures of a detector.

The format: https://cocodataset.org/#format-data. Needs pycocotools, the extra `detection`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, tv_tensors
from torchvision.transforms.v2 import functional

from genius_kit import extras
from genius_kit.datasets.image_folders import read_image
from genius_kit.errors import DataCorrupt, DataMissing
from genius_kit.files import is_inside

COCO_MEASURES = ("AP", "AP50", "AP75", "APS", "APM", "APL")
"""Average precision over IoU 0.5 to 0.95, at 0.5, at 0.75, and of small, medium and large objects."""

_KEYS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


Images = list[Tensor]
Targets = list[dict[str, Any]]


class CocoImages(Dataset[tuple[Tensor, dict[str, Any]]]):
    """The images of one annotation file with their boxes; an item is (image, target).

    The image is uint8 (3, H, W); the target holds `boxes` (n, 4) as x1, y1, x2, y2 in pixels, clipped to the image,
    `labels` (n,) from 0 in the order of `classes`, and `image_id`. Crowd annotations are left out of it; an image
    without boxes has n = 0. `skipped` counts what was dropped on demand, `fingerprint` is the SHA-256 of the
    annotation file. Reading an item raises DataCorrupt, naming the file, for an image that cannot be decoded or is
    not of the size that the annotation file states.
    """

    def __init__(self, folder: Path, content: dict[str, Any], *, fingerprint: str, skipped: int = 0) -> None:
        categories = sorted(content["categories"], key=lambda category: category["id"])
        self.folder, self.fingerprint, self.skipped = folder, fingerprint, skipped
        self.classes = tuple(category["name"] for category in categories)
        self.category_ids = tuple(category["id"] for category in categories)
        self.coco = _index(content)
        files = _CocoFiles(folder, None)
        files.coco, files.ids = self.coco, sorted(self.coco.imgs)
        self._files, self._items = files, _wrapped(files)
        self._label = {category: label for label, category in enumerate(self.category_ids)}

    def __len__(self) -> int:
        return len(self._files.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        image, found = self._items[index]
        kept = [number for number, crowd in enumerate(found.get("iscrowd", ())) if not crowd]
        boxes = found["boxes"][kept] if kept else torch.zeros(0, 4)
        labels = [self._label[int(found["labels"][number])] for number in kept]
        boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=tuple(image.shape[-2:]))
        return image, {
            "boxes": functional.clamp_bounding_boxes(boxes).float(),
            "labels": torch.tensor(labels, dtype=torch.int64),
            "image_id": found["image_id"],
        }

    def shapes(self) -> list[tuple[int, int]]:
        """Return (height, width) of every image, as the annotation file states them."""
        return [(self.coco.imgs[number]["height"], self.coco.imgs[number]["width"]) for number in self._files.ids]

    def indices_with_boxes(self) -> list[int]:
        """Return the items that hold at least one box which is not a crowd: those that training uses."""
        return [index for index, number in enumerate(self._files.ids) if self.coco.getAnnIds(number, iscrowd=0)]


class _CocoFiles(datasets.CocoDetection):
    """torchvision's reader of the format, decoding into tensors."""

    def _load_image(self, id: int) -> Tensor:
        entry = self.coco.imgs[id]
        path = Path(self.root) / entry["file_name"]
        try:
            image = read_image(path)
        except DataCorrupt as error:
            raise DataCorrupt(
                f"image {id}, {path}, cannot be decoded: fetch it again, or take it out of the annotations"
            ) from error
        height, width = image.shape[-2:]
        if (height, width) != (entry["height"], entry["width"]):
            raise DataCorrupt(
                f"image {id}, {path}, has {width} x {height} pixels, its annotation file says {entry['width']} x "
                f"{entry['height']}: the boxes belong to another image"
            )
        return tv_tensors.Image(image)


def _wrapped(files: _CocoFiles) -> Any:
    return datasets.wrap_dataset_for_transforms_v2(files, target_keys=("image_id", "boxes", "labels", "iscrowd"))


def load_coco(images: str | Path, annotations: str | Path, *, skip_corrupt: bool = False) -> CocoImages:
    """Return the images of the folder `images` with the boxes of the JSON file `annotations`, after checking both.

    `skip_corrupt` drops images that are not in the folder and boxes of no size, and counts them in `skipped`
    (COCO's own train2017 has two such boxes); otherwise they raise DataCorrupt, as does anything else that is wrong,
    with the file and the id. Raises DataMissing when the file or the folder is not there, ExtraMissing without
    pycocotools.
    """
    folder, path = Path(images), Path(annotations)
    for place, is_there, kind in ((folder, folder.is_dir(), "folder of images"), (path, path.is_file(), "file")):
        if not is_there:
            raise DataMissing(f"{place} is not a {kind}: a COCO-format data set is a folder of images and a JSON file")
    raw = path.read_bytes()
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise DataCorrupt(f"{path} is not JSON ({error}): fetch it again") from error
    _check_keys(path, content)
    kept_images, missing = _check_images(path, content["images"], folder, skip_corrupt)
    kept, empty = _check_boxes(path, content, kept_images, skip_corrupt)
    checked = {"images": list(kept_images.values()), "annotations": kept, "categories": content["categories"]}
    return CocoImages(folder, checked, fingerprint=hashlib.sha256(raw).hexdigest(), skipped=missing + empty)


def _check_keys(path: Path, content: Any) -> None:
    for part, keys in _KEYS.items():
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise DataCorrupt(f"{path} has no list {part!r}: it needs an object with the lists {', '.join(_KEYS)}")
        seen = set()
        for entry in content[part]:
            missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            name = entry.get("id", "without id") if isinstance(entry, dict) else entry
            if missing:
                raise DataCorrupt(f"{path}: entry {name} of {part!r} has no {missing[0]!r}; it needs {', '.join(keys)}")
            if entry["id"] in seen:
                raise DataCorrupt(f"{path}: id {name} stands twice in {part!r}; ids must be unique")
            seen.add(entry["id"])
        if not content[part] and part != "annotations":
            raise DataCorrupt(f"{path}: the list {part!r} is empty")


def _check_images(path: Path, images: list[Any], folder: Path, skip: bool) -> tuple[dict[int, Any], int]:
    """Return the images that are in the folder by their ids, and how many are not."""
    for entry in images:
        if not is_inside(folder, entry["file_name"]):
            raise DataCorrupt(
                f"{path}: image {entry['id']} has file_name {entry['file_name']!r:.120}, which leads out of {folder}; "
                "give the name of a file in it"
            )
    kept = {entry["id"]: entry for entry in images if (folder / entry["file_name"]).is_file()}
    missing = [entry for entry in images if entry["id"] not in kept]
    for entry in images:
        for side in ("width", "height"):
            if not isinstance(entry[side], int) or entry[side] < 1:
                raise DataCorrupt(f"{path}: image {entry['id']} must have a {side} above 0 pixels, got {entry[side]!r}")
    if not kept:
        raise DataMissing(f"none of the {len(images)} images of {path} is in {folder}: is it the right folder?")
    if missing and not skip:
        raise DataCorrupt(
            f"{len(missing)} of {len(images)} images of {path} are not in {folder}, the first is image "
            f"{missing[0]['id']}, {missing[0]['file_name']}: fetch them, or drop them with skip_corrupt"
        )
    return kept, len(missing)


def _check_boxes(path: Path, content: dict[str, Any], images: dict[int, Any], skip: bool) -> tuple[list[Any], int]:
    """Return the annotations of the kept images, completed and with ids from 1, and how many boxes have no size."""
    all_images = {entry["id"] for entry in content["images"]}
    categories = {entry["id"] for entry in content["categories"]}
    kept: list[Any] = []
    empty: list[Any] = []
    for entry in content["annotations"]:
        for key, known in (("image_id", all_images), ("category_id", categories)):
            if entry[key] not in known:
                raise DataCorrupt(f"{path}: annotation {entry['id']} has {key} {entry[key]}, which the file lacks")
        if entry["image_id"] not in images:
            continue
        if not _has_size(entry["bbox"], images[entry["image_id"]]):
            empty.append(entry)
            continue
        # pycocotools takes an annotation of id 0 for "no match": ours start from 1
        filled = {"iscrowd": 0, "area": entry["bbox"][2] * entry["bbox"][3], **entry, "id": len(kept) + 1}
        kept.append(filled)
    if empty and not skip:
        first = empty[0]
        raise DataCorrupt(
            f"{path}: {len(empty)} boxes have no size inside their image, the first is annotation {first['id']} of "
            f"image {first['image_id']}, {images[first['image_id']]['file_name']}: {first['bbox']}; they must be "
            "[x, y, width, height] in pixels. Correct them, or drop them with skip_corrupt"
        )
    return kept, len(empty)


def _has_size(box: Any, image: Mapping[str, Any]) -> bool:
    """Return whether [x, y, width, height] keeps a positive size once it is clipped to its image."""
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
        return False
    x, y, width, height = box
    left, top = max(x, 0), max(y, 0)
    return min(x + width, image["width"]) > left and min(y + height, image["height"]) > top


class Flipped(Dataset[tuple[Tensor, dict[str, Any]]]):
    """The items of `data`, each flipped from left to right with `probability`, decided by `key` and its index."""

    def __init__(self, data: CocoImages, probability: float, key: tuple[int, ...]) -> None:
        self.data, self.probability, self.key = data, probability, key

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        image, target = self.data[index]
        if np.random.default_rng((*self.key, index)).random() >= self.probability:
            return image, target
        boxes = target["boxes"].clone()
        boxes[:, [0, 2]] = image.shape[-1] - boxes[:, [2, 0]]
        return image.flip(-1), {**target, "boxes": boxes}


def batches_by_orientation(wide: Sequence[bool], batch_size: int, key: tuple[int, ...]) -> list[list[int]]:
    """Return whole batches of indices in an order that `key` decides; those of one batch are wide, or are not.

    A batch is padded to its largest image, so mixed ones waste memory and time: one batch at most is mixed. The last
    indices of the order that fill no batch stay out, whatever their orientation.
    """
    rng = np.random.default_rng(key)
    order = rng.permutation(len(wide)).tolist()[: len(wide) // batch_size * batch_size]
    batches, rest = [], []
    for side in (True, False):
        group = [index for index in order if wide[index] is side]
        whole = len(group) // batch_size * batch_size
        batches += [group[first : first + batch_size] for first in range(0, whole, batch_size)]
        rest += group[whole:]
    batches += [rest] * bool(rest)  # none, or exactly one batch
    return [batches[index] for index in rng.permutation(len(batches))]


def detection_batches(
    data: Dataset[Any], batches: list[list[int]], workers: int, device: torch.device
) -> DataLoader[tuple[Images, Targets]]:
    """Return a loader of (images, targets) lists, one pair a batch."""
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_listed,
        pin_memory=device.type == "cuda",
    )


def _listed(items: list[tuple[Tensor, dict[str, Any]]]) -> tuple[Images, Targets]:
    return [image for image, _ in items], [target for _, target in items]


def placed(images: Images, targets: Targets, device: torch.device) -> tuple[Images, Targets]:
    """Return images as float32 in 0..1 and what a target holds for training, on the device."""
    moved = [image.to(device, non_blocking=True).float() / 255 for image in images]
    kept = [{name: target[name].to(device, non_blocking=True) for name in ("boxes", "labels")} for target in targets]
    return moved, kept


def coco_measures(data: CocoImages, predictions: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return AP, AP50, AP75, APS, APM and APL in percent, as pycocotools computes them over every image of `data`.

    A prediction holds `image_id`, and for its n boxes `boxes` (n, 4) as x1, y1, x2, y2 in pixels, `labels` (n,) from
    0 and `scores` (n,). An image without one counts as an image on which nothing was found. A measure is None where
    no object of that size exists.
    """
    results = _results(data, predictions)
    found = {"images": list(data.coco.imgs.values()), "categories": data.coco.dataset["categories"]}
    library = extras.load("pycocotools.cocoeval", "detection")
    evaluation = library.COCOeval(data.coco, _index({**found, "annotations": results}), "bbox")
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress and a table
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [float(value) for value in evaluation.stats[: len(COCO_MEASURES)]]
    return {name: None if value < 0 else 100 * value for name, value in zip(COCO_MEASURES, values, strict=True)}


def _results(data: CocoImages, predictions: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for prediction in predictions:
        boxes = prediction["boxes"].detach().cpu().double()
        sides = boxes[:, 2:] - boxes[:, :2]
        rows = torch.cat([boxes[:, :2], sides], dim=1).tolist()
        for box, label, score in zip(rows, prediction["labels"].tolist(), prediction["scores"].tolist(), strict=True):
            results.append(
                {
                    "id": len(results) + 1,
                    "image_id": prediction["image_id"],
                    "category_id": data.category_ids[label],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return results


def _index(content: dict[str, Any]) -> Any:
    coco = extras.load("pycocotools.coco", "detection").COCO()
    coco.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
