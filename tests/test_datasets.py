"""Data sets: divided the same way everywhere, and clear about files that are missing or damaged."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import cut, make_cifar_files, make_fashion, make_folder, make_imagenet16, write_idx
from PIL import Image

from genius_kit.datasets import published
from genius_kit.datasets.image_folders import read_image
from genius_kit.datasets.registry import DATASETS, load_dataset
from genius_kit.datasets.splits import DataSet, FolderSplit, Split, TensorSplit, divide, first_balanced
from genius_kit.errors import DataCorrupt, DataMissing, InvalidParameter, UnknownName

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")

DIGITS_FINGERPRINT = "fdfa9f365aaac9469e5bfa4a6936c6cef83f3f9be286d02093514545d12553af"


@pytest.fixture
def own_sums(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Return what takes the MD5 sums of files made here for the published ones, whose files cannot be made."""

    def take(folder: Path) -> None:
        sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (folder / "ImageNet16").iterdir()}
        monkeypatch.setattr(published, "MD5", sums)

    return take


def paths(split: Split) -> list[str]:
    """Return the files of a folder split."""
    assert isinstance(split, FolderSplit)
    return [path for path, _ in split.samples]


def class_counts(split: Split) -> list[int]:
    """Return how many samples each class has."""
    return torch.bincount(split.labels).tolist()


def test_digits_are_divided_the_same_way_everywhere() -> None:
    """The fingerprint covers every byte of the three parts, so a split that moves by one image fails here."""
    digits = load_dataset("digits")
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1079, 359, 359)
    assert digits.fingerprint == DIGITS_FINGERPRINT
    assert digits.num_classes == 10
    assert digits.skipped == 0


def test_digits_are_scikit_learns_images_each_once() -> None:
    """The three parts together are the 1,797 published images, scaled from 0..16 to 0..255."""
    from sklearn.datasets import load_digits

    digits = load_dataset("digits")
    ours = torch.cat([digits.split(part).images for part in ("train", "validation", "test")])  # type: ignore[union-attr]
    assert ours.dtype == torch.uint8
    assert torch.equal(ours[:, 0], ours[:, 2])
    pixels = np.round(load_digits().data * 255 / 16).astype(int)
    assert sorted(map(tuple, ours[:, 0].reshape(-1, 64).tolist())) == sorted(map(tuple, pixels.tolist()))


def test_digits_are_balanced_in_every_part() -> None:
    """No class has more than one image more or less than its share of a part."""
    digits = load_dataset("digits")
    whole = np.sum([class_counts(digits.split(part)) for part in ("train", "validation", "test")], axis=0)
    for part in ("train", "validation", "test"):
        split = digits.split(part)
        assert np.abs(np.array(class_counts(split)) - whole * len(split) / 1797).max() < 2


def test_mean_and_std_are_those_of_the_training_images() -> None:
    """The exact sums agree with numpy in double precision."""
    digits = load_dataset("digits")
    values = digits.train.images.numpy() / 255.0  # type: ignore[union-attr]
    assert np.allclose(digits.mean, values.mean(axis=(0, 2, 3)), atol=1e-12)
    assert np.allclose(digits.std, values.std(axis=(0, 2, 3)), atol=1e-12)


def test_image_size_resizes_and_is_part_of_the_fingerprint() -> None:
    """Larger digits keep their labels and get another fingerprint."""
    small, large = load_dataset("digits"), load_dataset("digits", image_size=16)
    assert large.train.images.shape == (1079, 3, 16, 16)  # type: ignore[union-attr]
    assert large.image_size == 16
    assert torch.equal(small.train.labels, large.train.labels)
    assert small.fingerprint != large.fingerprint
    inner = large.train.images[:, :, 1:-1, 1:-1].float()  # type: ignore[union-attr]
    original = small.train.images.float()  # type: ignore[union-attr]
    corner = (
        9 * original[:, :, 0, 0] + 3 * original[:, :, 0, 1] + 3 * original[:, :, 1, 0] + original[:, :, 1, 1]
    ) / 16
    assert (inner[:, :, 0, 0] - corner).abs().max() <= 0.5


@pytest.mark.parametrize("count", [10, 25, 100])
def test_a_subset_is_balanced_and_nested(count: int) -> None:
    """Classes take turns, and a smaller subset is the beginning of a larger one; the other parts stay."""
    whole, part = load_dataset("digits"), load_dataset("digits", subset=count)
    counts = class_counts(part.train)
    assert sum(counts) == count
    assert max(counts) - min(counts) <= 1
    larger = load_dataset("digits", subset=200)
    assert torch.equal(part.train.images, larger.train.images[:count])  # type: ignore[union-attr]
    assert torch.equal(part.test.labels, whole.test.labels)
    assert part.mean == whole.mean
    assert part.fingerprint not in (whole.fingerprint, larger.fingerprint)


@pytest.mark.parametrize("changes", [{"subset": 0}, {"subset": 1080}, {"image_size": 0}])
def test_impossible_settings_are_refused(changes: dict[str, int]) -> None:
    """A subset outside of the training part and an image without pixels are InvalidParameter."""
    with pytest.raises(InvalidParameter, match=next(iter(changes))):
        load_dataset("digits", **changes)  # type: ignore[arg-type]


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    """A misspelt name is answered with all names, the path of a folder with how a folder is given."""
    with pytest.raises(UnknownName, match=r"fashion-mnist.*imagenet16-120"):
        load_dataset("cifar-10")
    with pytest.raises(UnknownName, match=r"load_dataset\('folder', folder="):
        load_dataset(str(make_folder(tmp_path, {"train": 1, "val": 1})))
    with pytest.raises(InvalidParameter, match="needs folder="):
        load_dataset("folder")


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "digits"])
def test_missing_files_are_named_with_their_place_and_origin(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the folder that was searched, a website, and both ways to choose another folder."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    with pytest.raises(DataMissing) as caught:
        load_dataset(name)
    for part in (str(tmp_path / "images"), "https://", "folder=", "GENIUS_KIT_DATA"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_fashion_mnist_is_read_and_divided(tmp_path: Path) -> None:
    """5,000 training images are held out, 500 per class, and grey becomes three equal channels."""
    dataset = load_dataset("fashion-mnist", folder=make_fashion(tmp_path))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (1000, 5000, 40)
    assert class_counts(dataset.validation) == [500] * 10
    assert isinstance(dataset.train, TensorSplit)
    assert dataset.train.images.shape == (1000, 3, 28, 28)
    assert torch.equal(dataset.train.images[:, 0], dataset.train.images[:, 1])
    assert "Sneaker" in dataset.classes


def test_a_damaged_fashion_mnist_is_refused(tmp_path: Path) -> None:
    """A cut file and labels that do not fit the images are DataCorrupt."""
    raw = make_fashion(tmp_path) / "FashionMNIST" / "raw"
    write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(39))
    with pytest.raises(DataCorrupt, match="39 labels"):
        load_dataset("fashion-mnist", folder=tmp_path)
    cut(raw / "t10k-images-idx3-ubyte")
    with pytest.raises(DataCorrupt, match="cannot be read"):
        load_dataset("fashion-mnist", folder=tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_with_another_sum_is_refused_before_it_is_loaded(name: str, tmp_path: Path) -> None:
    """A pickle that is not the published file is named and never opened, whatever it would do."""
    from torchvision import datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    root = tmp_path / kind.base_folder
    root.mkdir()
    for file, _ in kind.train_list + kind.test_list:
        (root / file).write_bytes(pickle.dumps(Attack(str(tmp_path / "ran"))))
    (root / kind.meta["filename"]).write_bytes(b"")
    with pytest.raises(DataCorrupt, match=f"{kind.train_list[0][0]} is not the published file"):
        load_dataset(name, folder=tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("name", "count"), [("cifar10", 1200), ("cifar100", 6000)])
def test_cifar_is_read_and_divided(name: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of CIFAR's form, their sums not compared, give 5,000 balanced validation images, channels first."""
    import torchvision.datasets as datasets

    kind = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(kind, attribute, [(file, None) for file, _ in getattr(kind, attribute)])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    root = tmp_path / kind.base_folder
    make_cifar_files(root, [file for file, _ in kind.train_list + kind.test_list], count, fine=name == "cifar100")
    names = [f"class {number}" for number in range(10 if name == "cifar10" else 100)]
    (root / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: names}))
    dataset = load_dataset(name, folder=tmp_path)
    assert len(dataset.validation) == 5000
    assert len(set(class_counts(dataset.validation))) == 1
    assert isinstance(dataset.test, TensorSplit)
    stored = pickle.loads((root / kind.test_list[0][0]).read_bytes())["data"]
    assert np.array_equal(dataset.test.images.numpy(), stored.reshape(-1, 3, 32, 32))
    assert dataset.classes == tuple(names)


def test_a_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched unless asked, and when torchvision cannot, its error becomes ours."""
    from torchvision.datasets import utils

    def fail(*arguments: object) -> None:
        raise RuntimeError("no route to host")

    monkeypatch.setattr(utils, "download_url", fail)
    with pytest.raises(DataMissing, match=r"no route to host.*cs\.toronto\.edu"):
        load_dataset("cifar10", folder=tmp_path, download=True)
    with pytest.raises(DataMissing, match="data_batch_1 is not there"):
        load_dataset("cifar10", folder=tmp_path)


@pytest.mark.parametrize("form", ["npz", 2, 5])
def test_imagenet16_keeps_the_first_120_classes(
    form: str | int, tmp_path: Path, own_sums: Callable[[Path], None]
) -> None:
    """Pickles of old and new protocols and .npz files give the same data set; held-out images are halved."""
    if form == "npz":
        make_imagenet16(tmp_path, npz=True)
    else:
        own_sums(make_imagenet16(tmp_path, protocol=int(form)))
    dataset = load_dataset("imagenet16-120", folder=tmp_path)
    assert dataset.num_classes == 120
    assert class_counts(dataset.train) == [10] * 120
    assert class_counts(dataset.validation) == class_counts(dataset.test) == [1] * 120
    assert isinstance(dataset.train, TensorSplit)
    assert dataset.train.images.shape == (1200, 3, 16, 16)
    written = np.random.RandomState(2).randint(0, 256, (130, 768))
    assert np.array_equal(dataset.train.images[:120].numpy(), written[:120].reshape(-1, 3, 16, 16))


class Attack:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["train_data_batch_1", "train_data_batch_10", "val_data"])
def test_a_pickle_that_is_not_the_published_one_is_never_opened(
    name: str, tmp_path: Path, own_sums: Callable[[Path], None]
) -> None:
    """Each file is compared before it is loaded: code in one that was exchanged does not run."""
    own_sums(make_imagenet16(tmp_path))
    path = tmp_path / "ImageNet16" / name
    path.write_bytes(pickle.dumps({"data": Attack(str(tmp_path / "ran")), "labels": []}))
    with pytest.raises(DataCorrupt, match=f"{name} is not the published file"):
        load_dataset("imagenet16-120", folder=tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read as .npz"),
        ({"data": np.zeros((1, 768), np.uint8)}, "has no 'labels'"),
        ({"data": np.zeros((1, 768)), "labels": [1]}, "float64"),
        ({"data": np.zeros((1, 700), np.uint8), "labels": [1]}, r"must be uint8 \(n, 768\)"),
        ({"data": np.zeros((2, 768), np.uint8), "labels": [1]}, "must be 2 integers"),
        ({"data": np.zeros((1, 768), np.uint8), "labels": [0]}, "integers from 1"),
    ],
)
def test_a_damaged_imagenet16_is_refused(content: dict | None, message: str, tmp_path: Path) -> None:
    """Cut files and arrays of another form are DataCorrupt that names the file."""
    path = make_imagenet16(tmp_path, npz=True) / "ImageNet16" / "val_data.npz"
    if content is None:
        cut(path)
    else:
        np.savez(path, **content)
    with pytest.raises(DataCorrupt, match=f"val_data.*{message}"):
        load_dataset("imagenet16-120", folder=tmp_path)


def test_imagenet16_is_compared_with_its_published_sum(tmp_path: Path) -> None:
    """A pickle of the right form but another content is refused, with both sums."""
    make_imagenet16(tmp_path)
    with pytest.raises(DataCorrupt, match=r"train_data_batch_1 is not the published file.*27846dcaa50de8e2"):
        load_dataset("imagenet16-120", folder=tmp_path)


def test_a_folder_is_read_and_divided(tmp_path: Path) -> None:
    """train/, val/ and test/ are taken as they are; labels follow the sorted class names."""
    make_folder(tmp_path, {"train": 4, "val": 2, "test": 3})
    dataset = load_dataset("folder", folder=tmp_path)
    assert dataset.classes == ("ant", "bee")
    assert paths(dataset.train)[0] == os.path.join("train", "ant", "0.jpg")
    assert class_counts(dataset.train) == [4, 4]
    assert {path.split(os.sep)[0] for path in paths(dataset.validation)} == {"val"}
    assert {path.split(os.sep)[0] for path in paths(dataset.test)} == {"test"}
    assert dataset.image_size == 224


def test_a_missing_part_is_split_off_the_training_part(tmp_path: Path) -> None:
    """Without val/ and test/, a tenth each, one per class at least, is held out, whatever the order on disk."""
    make_folder(tmp_path, {"train": 20}, classes=("ant", "bee", "cat"))
    dataset = load_dataset("folder", folder=tmp_path)
    assert [class_counts(dataset.split(part)) for part in ("train", "validation", "test")] == [
        [16] * 3,
        [2] * 3,
        [2] * 3,
    ]
    everything = [path for part in ("train", "validation", "test") for path in paths(dataset.split(part))]
    assert len(set(everything)) == 60
    held_out = set(paths(dataset.test))
    (tmp_path / sorted(set(everything) - held_out - set(paths(dataset.validation)))[0]).unlink()
    again = load_dataset("folder", folder=tmp_path)
    assert len(set(paths(again.test)) & held_out) >= 5  # an image less moves no others between the parts


def test_a_changed_image_changes_the_fingerprint(tmp_path: Path) -> None:
    """A folder's fingerprint covers the size of each file, so a replaced image is another data set."""
    make_folder(tmp_path, {"train": 4, "val": 2})
    before = load_dataset("folder", folder=tmp_path)
    assert before.fingerprint == load_dataset("folder", folder=tmp_path).fingerprint
    cut(tmp_path / paths(before.train)[0])
    assert before.fingerprint != load_dataset("folder", folder=tmp_path).fingerprint


def test_imagenet_holds_out_a_hundredth_of_its_training_part(tmp_path: Path) -> None:
    """1,000 classes are demanded, one image of each is held out here, and val/ is the test."""
    for label in range(1000):
        for part, count in (("train", 3), ("val", 1)):
            folder = tmp_path / "imagenet" / part / f"n{label:08d}"
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.JPEG").write_bytes(b"not decoded here")
    dataset = load_dataset("imagenet", folder=tmp_path)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (2000, 1000, 1000)
    assert class_counts(dataset.validation) == [1] * 1000
    assert not set(paths(dataset.train)) & set(paths(dataset.validation))
    (tmp_path / "imagenet" / "train" / "n00000007" / "0.JPEG").parent.rename(tmp_path / "away")
    with pytest.raises(DataCorrupt, match="999 class folders, but ImageNet has 1000"):
        load_dataset("imagenet", folder=tmp_path)


def test_a_folder_of_the_wrong_form_is_refused(tmp_path: Path) -> None:
    """No train/, no classes, one class, an empty class and a class without training images: each says so."""
    with pytest.raises(DataMissing, match="train is not a folder: it needs one folder per class"):
        load_dataset("folder", folder=tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataCorrupt, match="holds 0 class folders"):
        load_dataset("folder", folder=tmp_path)
    (tmp_path / "train" / "ant").mkdir()
    with pytest.raises(DataCorrupt, match="holds 1 class folders"):
        load_dataset("folder", folder=tmp_path)
    (tmp_path / "train" / "bee").mkdir()
    (tmp_path / "train" / "ant" / "notes.txt").write_text("no image")
    with pytest.raises(DataCorrupt, match=r"ant has no image: put files there that end in \.jpg"):
        load_dataset("folder", folder=tmp_path)


def test_classes_of_all_parts_must_agree(tmp_path: Path) -> None:
    """A class in val/ that train/ does not have is named, and one that val/ lacks too."""
    make_folder(tmp_path / "a", {"train": 2})
    make_folder(tmp_path / "a", {"val": 2}, classes=("ant", "bee", "wasp"))
    with pytest.raises(DataCorrupt, match=r"wasp is no class of .*train"):
        load_dataset("folder", folder=tmp_path / "a")
    make_folder(tmp_path / "b", {"train": 2}, classes=("ant", "bee", "wasp"))
    make_folder(tmp_path / "b", {"val": 2})
    with pytest.raises(DataCorrupt, match="wasp has no image"):
        load_dataset("folder", folder=tmp_path / "b")


def test_corrupt_images_are_counted_and_left_out_on_request(tmp_path: Path) -> None:
    """skip_corrupt drops a cut JPEG and a text file called .png, and says how many; the parts keep their members."""
    make_folder(tmp_path, {"train": 6, "val": 2, "test": 2})
    bad = cut(tmp_path / "train" / "ant" / "1.jpg")
    (tmp_path / "val" / "bee" / "text.png").write_text("no image")
    plain = load_dataset("folder", folder=tmp_path)
    assert plain.skipped == 0
    dataset = load_dataset("folder", folder=tmp_path, skip_corrupt=True)
    assert dataset.skipped == 2
    relative = os.path.relpath(bad, tmp_path)
    assert paths(dataset.train) == [path for path in paths(plain.train) if path != relative]
    for number in range(6):
        cut(tmp_path / "train" / "bee" / f"{number}.jpg")
    with pytest.raises(DataCorrupt, match="no image of class 1 can be decoded"):
        load_dataset("folder", folder=tmp_path, skip_corrupt=True)


def test_a_file_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    """Cut, empty, foreign and absent files raise DataCorrupt with their path and the way out."""
    make_folder(tmp_path, {"train": 1})
    files = [
        cut(tmp_path / "train" / "ant" / "0.jpg"),
        tmp_path / "empty.jpg",
        tmp_path / "text.png",
        tmp_path / "no.jpg",
    ]
    files[1].write_bytes(b"")
    files[2].write_text("no image")
    for path in files:
        with pytest.raises(DataCorrupt, match="skip_corrupt=True") as caught:
            read_image(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("extension", "modes"),
    [
        ("jpg", ["L", "RGB", "CMYK"]),
        ("png", ["L", "RGB", "P", "RGBA", "LA", "1", "I;16"]),
        ("bmp", ["L", "RGB", "P"]),
        ("tif", ["L", "RGB", "CMYK", "P", "RGBA", "I;16"]),
        ("webp", ["RGB", "RGBA"]),
    ],
)
def test_every_colour_mode_becomes_rgb(extension: str, modes: list[str], tmp_path: Path) -> None:
    """A uniform image of any mode a format holds is read as its colour, uint8, three channels."""
    for mode in modes:
        path = tmp_path / f"{mode.replace(';', '')}.{extension}"
        level = 255 if mode == "1" else 200
        image = Image.new("RGB", (20, 10), (level, level, level))
        if mode == "I;16":
            image = Image.new(mode, (20, 10), level * 257)
        elif mode != "RGB":
            image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
        image.save(path)
        pixels = read_image(path)
        assert pixels.shape == (3, 10, 20), mode
        assert pixels.dtype == torch.uint8, mode
        assert (pixels.float() - level).abs().max() <= 6, mode


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    """A PNG that is called .JPEG, as one is in ImageNet, and capital letters are read."""
    Image.new("RGB", (8, 8), (10, 20, 30)).save(tmp_path / "image.png")
    (tmp_path / "image.png").rename(tmp_path / "image.JPEG")
    assert read_image(tmp_path / "image.JPEG")[:, 0, 0].tolist() == [10, 20, 30]


def test_dividing_keeps_every_class_in_both_parts() -> None:
    """A class of two images gives at most one away, and too few images are an error."""
    split = TensorSplit(torch.zeros(12, 3, 1, 1, dtype=torch.uint8), torch.tensor([0] * 10 + [1] * 2))
    rest, held_out = divide(split, 6, "salt")
    assert class_counts(rest) == [5, 1]
    assert class_counts(held_out) == [5, 1]
    rest, held_out = divide(split, 10, "salt")
    assert class_counts(rest) == [1, 1]
    with pytest.raises(DataCorrupt, match="cannot give 11"):
        divide(split, 11, "salt")


def test_balanced_order_goes_on_when_a_class_runs_out() -> None:
    """Every sample comes once in the whole order."""
    split = TensorSplit(
        torch.arange(12, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 3, 1, 1), torch.tensor([0] * 10 + [1] * 2)
    )
    order = first_balanced(split, 12, "salt")
    assert isinstance(order, TensorSplit)
    assert sorted(order.images[:, 0, 0, 0].tolist()) == list(range(12))
    assert sorted(order.labels[:4].tolist()) == [0, 0, 1, 1]


def test_a_part_that_does_not_exist_is_refused() -> None:
    """`split` takes the three names only."""
    with pytest.raises(InvalidParameter, match="it has train, validation, test"):
        load_dataset("digits").split("val")


def test_importing_reads_nothing() -> None:
    """DATASETS lists the names a user can give, digits first."""
    assert DATASETS == ("digits", "fashion-mnist", "cifar10", "cifar100", "imagenet16-120", "imagenet")
    assert DataSet.__dataclass_params__.frozen  # type: ignore[attr-defined]
