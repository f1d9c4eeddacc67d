"""Detection: COCO-format data and its errors, the COCO measures, the detector, its training and its folder."""

import json

import numpy as np
import pytest
import torch

from genius_kit.detection.coco import Flipped, batches_by_orientation, coco_measures, load_coco
from genius_kit.detection.model import build_detector
from genius_kit.detection.train import (
    DETECTION_RECIPES,
    evaluate_command,
    evaluate_detector,
    load_detection_recipe,
    train_command,
    train_detector,
)
from genius_kit.errors import CheckpointError, DataCorrupt, DataMissing, InvalidParameter, TrainingFailed, UnknownName
from genius_kit.networks import build_network
from genius_kit.spaces import load_space
from genius_kit.training.loop import diverged, out_of_memory
from tests.coco_images import write_coco

SPACE = load_space("mobilenet-imagenet-w0.25")
ARCHITECTURE = (1, 0, 0, 0, 0, 0) * 5
TINY = DETECTION_RECIPES["tiny"]
SHORT = TINY.changed(epochs=2, batch_size=3, milestones=(1,))


def detector_for(recipe, classes=2, **settings):
    sizes = {"image_size": recipe.image_size, "channels": recipe.channels, "anchor_size": recipe.anchor_size}
    return build_detector(SPACE, ARCHITECTURE, classes, **{**sizes, **settings})


@pytest.fixture
def folder(tmp_path):
    write_coco(tmp_path / "set", count=8)
    return tmp_path / "set"


@pytest.fixture
def data(folder):
    return load_coco(folder / "images", folder / "annotations.json")


def truth(data):
    """Return the annotated boxes as predictions of full confidence."""
    items = [data[index][1] for index in range(len(data))]
    return [{**item, "scores": torch.ones(len(item["labels"]))} for item in items]


def rewrite(folder, change):
    """Apply `change` to the content of the annotation file."""
    path = folder / "annotations.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_categories_become_labels_from_zero_and_crowds_are_left_out(data):
    """Ids 3 and 17 are labels 0 and 1; the empty image has no box, and the third image lacks its crowd."""
    assert (data.classes, data.category_ids) == (("square", "disc"), (3, 17))
    labels = {label for index in range(len(data)) for label in data[index][1]["labels"].tolist()}
    assert labels == {0, 1}
    assert data[1][1]["boxes"].shape == (0, 4)
    assert data.indices_with_boxes() == [0, 2, 3, 4, 5, 6, 7]
    height, width = data[2][0].shape[1:]
    assert [0, 0, width, height] not in data[2][1]["boxes"].tolist()


def test_boxes_are_corners_on_what_was_drawn(data):
    """The pixel in the middle of a box has the colour of its class."""
    image, target = data[0]
    for (left, top, right, bottom), label in zip(target["boxes"].int().tolist(), target["labels"], strict=True):
        colour = image[:, (top + bottom) // 2, (left + right) // 2].int()
        assert colour.argmax() == (2 if label == 1 else 0)


def remove(part, index, key):
    return lambda content: content[part][index].pop(key)


def put(part, index, key, value):
    return lambda content: content[part][index].update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("categories"), "no list 'categories'"),
        (remove("images", 0, "width"), "entry 100 of 'images' has no 'width'"),
        (remove("annotations", 1, "bbox"), "entry 1 of 'annotations' has no 'bbox'"),
        (put("images", 0, "height", 0), "image 100 must have a height above 0 pixels, got 0"),
        (put("images", 0, "id", 101), "id 101 stands twice"),
        (put("images", 0, "file_name", "absent.jpg"), "image 100, absent.jpg"),
        (put("annotations", 0, "category_id", 5), "annotation 0 has category_id 5"),
        (put("annotations", 0, "image_id", 5), "annotation 0 has image_id 5"),
        (put("annotations", 0, "bbox", [3, 4, 0, 9]), "annotation 0 of image 100, 000.jpg"),
        (put("annotations", 0, "bbox", [3, 4, 9, -2]), "annotation 0 of image 100, 000.jpg"),
        (put("annotations", 0, "bbox", [500, 4, 9, 9]), "annotation 0 of image 100, 000.jpg"),
        (put("annotations", 0, "bbox", [-20, 4, 9, 9]), "annotation 0 of image 100, 000.jpg"),
        (put("annotations", 0, "bbox", "3 4 5 6"), "annotation 0 of image 100, 000.jpg"),
    ],
)
def test_a_wrong_annotation_file_is_refused_by_name(folder, change, message):
    """The error names the file, and the id of what is wrong in it."""
    rewrite(folder, change)
    with pytest.raises(DataCorrupt, match=r"annotations\.json") as caught:
        load_coco(folder / "images", folder / "annotations.json")
    assert message in str(caught.value)


def test_what_is_not_there_or_not_json_is_named(folder, tmp_path):
    """A missing folder or file, a folder of other images and a file that is not JSON have their own errors."""
    with pytest.raises(DataMissing, match="nowhere"):
        load_coco(tmp_path / "nowhere", folder / "annotations.json")
    with pytest.raises(DataMissing, match="is it the right folder"):
        load_coco(tmp_path, folder / "annotations.json")
    (folder / "annotations.json").write_text("{")
    with pytest.raises(DataCorrupt, match="not JSON"):
        load_coco(folder / "images", folder / "annotations.json")


def test_missing_images_and_empty_boxes_are_skipped_and_counted_on_demand(folder):
    """`skip_corrupt` drops one image (with its boxes) and one box, and says that there were two."""
    rewrite(folder, put("annotations", 0, "bbox", [3, 4, 0, 9]))
    (folder / "images" / "007.jpg").unlink()
    data = load_coco(folder / "images", folder / "annotations.json", skip_corrupt=True)
    assert (len(data), data.skipped) == (7, 2)


def test_an_image_that_cannot_be_decoded_or_has_another_size_is_named(folder, data):
    """Both are found when the image is read, and name it."""
    (folder / "images" / "003.jpg").write_bytes(b"\xff\xd8 no image")
    with pytest.raises(DataCorrupt, match=r"image 103, .*003\.jpg, cannot be decoded"):
        data[3]
    data.coco.imgs[104]["width"] += 1
    with pytest.raises(DataCorrupt, match=r"image 104, .*004\.jpg, has"):
        data[4]


def test_the_truth_scores_a_hundred(data):
    """Annotated boxes as predictions reach AP 100, though an annotation has id 0; nothing large exists."""
    measures = coco_measures(data, truth(data))
    assert measures["AP"] == pytest.approx(100)
    assert measures["AP50"] == pytest.approx(100)
    assert measures["APL"] is None


def test_wrong_predictions_score_less(data):
    """Swapped labels, shifted boxes, missing images and no prediction at all each cost what they should."""
    swapped = [{**found, "labels": 1 - found["labels"]} for found in truth(data)]
    shifted = [{**found, "boxes": found["boxes"] + 4.0} for found in truth(data)]
    assert coco_measures(data, swapped)["AP50"] < 5
    assert 10 < coco_measures(data, shifted)["AP"] < 80
    assert 10 < coco_measures(data, truth(data)[:4])["AP"] < 90
    assert coco_measures(data, [])["AP"] == 0


@pytest.mark.parametrize("space", ["mobilenet-imagenet", "mobilenet-imagenet-w0.25"])
def test_the_pyramid_has_five_levels(space):
    """At 128 pixels the levels are 16, 8, 4, 2 and 1 pixels per side, all of the pyramid's width."""
    where = load_space(space)
    detector = build_detector(where, ARCHITECTURE, 3, channels=16).eval()
    with torch.inference_mode():
        levels = detector.backbone(torch.zeros(1, 3, 128, 128))
    assert [tuple(level.shape) for level in levels.values()] == [(1, 16, s, s) for s in (16, 8, 4, 2, 1)]


def test_a_detector_takes_the_weights_of_a_classifier():
    """The backbone has the classification network's weights bit for bit, its head is left out, its norms are frozen."""
    network = build_network(SPACE, ARCHITECTURE, num_classes=7)
    detector = detector_for(TINY, weights=network.state_dict())
    backbone = detector.backbone.body.state_dict()
    whole = network.state_dict()
    assert set(whole) - set(backbone) == {
        f"{part}.{kind}" for part in ("conv_head", "classifier") for kind in ("weight", "bias")
    }
    assert all(torch.equal(value, whole[name]) for name, value in backbone.items())
    norms = {name: value.clone() for name, value in backbone.items() if "running" in name}
    detector.train()(
        [torch.rand(3, 64, 64)], [{"boxes": torch.tensor([[4.0, 4, 40, 40]]), "labels": torch.tensor([1])}]
    )
    assert all(torch.equal(detector.backbone.body.state_dict()[name], value) for name, value in norms.items())


def test_detectors_that_cannot_be_are_refused():
    """Another space, weights of another architecture, a class count and a size out of range."""
    with pytest.raises(InvalidParameter, match="only mobilenet-imagenet"):
        build_detector(load_space("nas-bench-macro"), (1,) * 8, 3)
    other = build_network(SPACE, (2, 0, 0, 0, 0, 0) * 5).state_dict()
    with pytest.raises(InvalidParameter, match="another architecture"):
        detector_for(TINY, weights=other)
    with pytest.raises(InvalidParameter, match="num_classes"):
        detector_for(TINY, classes=0)
    with pytest.raises(InvalidParameter, match="image_size"):
        detector_for(TINY, image_size=(96, 64))


def test_batches_have_one_orientation_but_for_one():
    """Whole batches of distinct indices, at most one of them mixed; the order depends on the key."""
    wide = [index % 3 != 0 for index in range(50)]
    batches = batches_by_orientation(wide, 4, (0, 1))
    assert [len(batch) for batch in batches] == [4] * 12
    assert len({index for batch in batches for index in batch}) == 48
    assert sum(len({wide[index] for index in batch}) > 1 for batch in batches) <= 1
    assert batches == batches_by_orientation(wide, 4, (0, 1))
    assert batches != batches_by_orientation(wide, 4, (0, 2))


def test_a_flip_moves_the_boxes_with_the_image(data):
    """Flipped twice is the image itself; a flipped box covers the flipped pixels."""
    image, target = Flipped(data, 1.0, (0, 0))[0]
    original, before = data[0]
    assert torch.equal(image.flip(-1), original)
    (left, top, right, bottom), (x1, y1, x2, y2) = target["boxes"][0].int(), before["boxes"][0].int()
    assert torch.equal(image[:, top:bottom, left:right].flip(-1), original[:, y1:y2, x1:x2])
    assert torch.equal(Flipped(data, 0.0, (0, 0))[0][0], original)


def test_the_schedule_warms_up_and_steps_down():
    """The rate rises over the warm-up and is a tenth after epoch 8 and a hundredth after epoch 11."""
    recipe = DETECTION_RECIPES["retinanet_1x"]
    rates = [recipe.learning_rate_at(step, 1000) for step in (0, 249, 499, 7999, 8000, 11000)]
    assert rates == pytest.approx([0.01 / 500, 0.005, 0.01, 0.01, 0.001, 0.0001])


@pytest.mark.slow
def test_a_detector_learns_seven_images(data):
    """From random weights, AP50 0, a hundred steps on the set itself reach over 50 (measured: 98 after 120)."""
    recipe = TINY.changed(epochs=110, batch_size=7, flip=0.0, milestones=(95,))
    detector = detector_for(recipe)
    assert evaluate_detector(detector, data, progress=False)["AP50"] < 5
    result = train_detector(detector, data, recipe, progress=False)
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"] / 2
    assert evaluate_detector(detector, data, progress=False)["AP50"] > 50


def test_an_interrupted_training_ends_with_the_same_weights(data, tmp_path):
    """Stopped after an epoch and resumed, a training equals the one that was not stopped; then it is read back."""

    def stop(row):
        raise KeyboardInterrupt

    whole = detector_for(SHORT)
    train_detector(whole, data, SHORT, progress=False)
    with pytest.raises(KeyboardInterrupt):
        train_detector(detector_for(SHORT), data, SHORT, folder=tmp_path, on_epoch=stop, progress=False)
    resumed = detector_for(SHORT)
    result = train_detector(resumed, data, SHORT, folder=tmp_path, progress=False)
    assert result.memory_format == "channels_last"
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())
    again = detector_for(SHORT)
    assert train_detector(again, data, SHORT, folder=tmp_path, progress=False) == result
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    with pytest.raises(CheckpointError, match="seed 0, here 1"):
        train_detector(detector_for(SHORT), data, SHORT, seed=1, folder=tmp_path, progress=False)


def test_what_to_try_is_what_a_detector_has():
    """Its recipes cannot split a batch, and warm up by steps."""
    assert "accumulate" not in str(out_of_memory(TINY, MemoryError()))
    assert "warmup_steps above 0" in str(diverged(TINY.changed(warmup_steps=0), 1, "it"))


def test_a_rate_too_high_stops_the_training(data):
    """A loss that is not finite ends the training, and the message says what to try."""
    recipe = SHORT.changed(learning_rate=1e12, clip_gradient=None, warmup_steps=0, epochs=5)
    with pytest.raises(TrainingFailed, match="learning_rate") as caught:
        train_detector(detector_for(recipe), data, recipe, progress=False)
    assert caught.value.cause == "diverged"


def test_settings_that_do_not_fit_together_are_refused(data):
    """Class count, image size, batch size, and misspelt or unknown recipes."""
    with pytest.raises(InvalidParameter, match="num_classes=2"):
        train_detector(detector_for(SHORT, classes=3), data, SHORT, progress=False)
    with pytest.raises(InvalidParameter, match=r"image_size=recipe\.image_size"):
        train_detector(detector_for(SHORT, image_size=(96, 96)), data, SHORT, progress=False)
    with pytest.raises(InvalidParameter, match="batch_size 8"):
        train_detector(detector_for(SHORT), data, SHORT.changed(batch_size=8), progress=False)
    with pytest.raises(InvalidParameter, match="no field 'epoch'"):
        SHORT.changed(epoch=3)
    with pytest.raises(InvalidParameter, match="learning_rate"):
        SHORT.changed(learning_rate=0)
    with pytest.raises(UnknownName, match="retinanet_1x"):
        load_detection_recipe("retinanet")


def test_the_commands_train_and_evaluate_from_paths(folder, tmp_path):
    """What was trained with a validation part is measured alike from its weights; pretrained weights come by path."""
    key = SPACE.key(ARCHITECTURE)
    paths = {"images": folder / "images", "annotations": folder / "annotations.json"}
    torch.save(build_network(SPACE, ARCHITECTURE).state_dict(), tmp_path / "pretrained.pt")
    changes = {"epochs": 1, "batch_size": 7}
    result = train_command(
        key, **paths, folder=tmp_path / "run", space=SPACE.name, recipe="tiny", changes=changes,
        weights=tmp_path / "pretrained.pt", validation_images=paths["images"],
        validation_annotations=paths["annotations"],
    )  # fmt: skip
    measures = evaluate_command(key, result.weights, **paths, space=SPACE.name, recipe="tiny", workers=0)
    assert measures == pytest.approx(result.measures)
    assert np.isfinite(result.history[0]["train_loss"])
    assert (tmp_path / "run" / "metrics.csv").read_text().startswith("epoch,train_loss")
    with pytest.raises(InvalidParameter, match="validation part"):
        train_command(key, **paths, folder=tmp_path / "run", validation_images=paths["images"])
