"""A tiny COCO-format data set: squares and discs on noise, with every odd thing the format allows."""

import json

import numpy as np
from PIL import Image

SQUARE, DISC = 3, 17
"""Category ids: neither contiguous nor from zero."""


def write_coco(folder, count=24, seed=0, low=64, high=96, odd=True):
    """Write `count` JPEG images and annotations.json into `folder`; return the two paths.

    With `odd`, the second image has no box and the third has a crowd annotation.
    """
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        width, height = (int(side) for side in rng.integers(low, high + 1, 2))
        pixels = rng.integers(90, 130, (height, width, 3)).astype(np.uint8)
        name = f"{number:03d}.jpg"
        for _ in range(0 if odd and number == 1 else int(rng.integers(1, 3))):
            box = _draw(pixels, rng, category := int(rng.choice([SQUARE, DISC])))
            annotations.append(
                {
                    "id": len(annotations),  # from 0, which pycocotools takes for "no match"
                    "image_id": 100 + number,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
        if odd and number == 2:
            crowd = {"bbox": [0, 0, width, height], "area": width * height, "iscrowd": 1}
            annotations.append({"id": len(annotations), "image_id": 102, "category_id": SQUARE, **crowd})
        Image.fromarray(pixels).save(folder / "images" / name, quality=95)
        images.append({"id": 100 + number, "file_name": name, "width": width, "height": height})
    categories = [{"id": DISC, "name": "disc"}, {"id": SQUARE, "name": "square"}]
    path = folder / "annotations.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return folder / "images", path


def _draw(pixels, rng, category):
    """Draw one shape and return its box [x, y, width, height]."""
    height, width, _ = pixels.shape
    side = int(rng.integers(20, 45))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    rows, columns = np.mgrid[:side, :side]
    inside = np.full((side, side), True)
    if category == DISC:
        inside = (rows - (side - 1) / 2) ** 2 + (columns - (side - 1) / 2) ** 2 <= (side / 2) ** 2
    colour = (230, 40, 40) if category == SQUARE else (40, 60, 230)
    pixels[y : y + side, x : x + side][inside] = colour
    return [x, y, side, side]
