"""Fine-tuning: what is kept of a pretrained network, what is replaced, and that it helps."""

import dataclasses

import pytest
import torch

from genius_kit.datasets.registry import load_dataset
from genius_kit.errors import CheckpointError, InvalidParameter
from genius_kit.networks import build_network
from genius_kit.networks.base import read_weights
from genius_kit.spaces import load_space
from genius_kit.training.finetune import FINE_TUNE, fine_tune, pretrained_network
from genius_kit.training.recipes import RECIPES
from genius_kit.training.trainer import seeded_network, train

SPACE = load_space("nas-bench-macro-w0.25")
ARCHITECTURE = (1,) * 8
RECIPE = RECIPES["quick"].changed(epochs=4, batch_size=24, learning_rate=0.05, warmup_epochs=0)


def only(data, digits, count=None):
    """Return the digits data set with some of its classes, and at most `count` training images."""
    parts = {}
    for name in ("train", "validation", "test"):
        split = data.split(name)
        kept = [index for index, label in enumerate(split.labels.tolist()) if label in digits]
        split = split.take(kept[:count] if name == "train" else kept)
        labels = torch.tensor([digits.index(label) for label in split.labels.tolist()])
        parts[name] = dataclasses.replace(split, labels=labels)
    name = f"{data.fingerprint} {digits} {count}"
    return dataclasses.replace(data, classes=tuple(map(str, digits)), fingerprint=name, **parts)


@pytest.fixture(scope="module")
def target():
    return only(load_dataset("digits"), [6, 7, 8, 9], count=120)


@pytest.fixture(scope="module")
def pretrained():
    """Weights of a network that has learnt the digits 0 to 5."""
    source = only(load_dataset("digits"), [0, 1, 2, 3, 4, 5])
    recipe = RECIPES["quick"].changed(epochs=4, batch_size=32)
    network = seeded_network(SPACE, ARCHITECTURE, source, recipe, 0)
    train(network, source, recipe, progress=False)
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.fixture
def untrained():
    """Weights of a network for seven classes, as it is built."""
    return build_network(SPACE, ARCHITECTURE, num_classes=7, image_size=8).state_dict()


@pytest.mark.slow
def test_a_pretrained_network_learns_new_classes_in_fewer_epochs(pretrained, target):
    """Four epochs, 120 images of unseen digits: fine-tuning measured 73 to 81 %, from scratch 25 to 44 % (3 seeds)."""
    scratch = train(seeded_network(SPACE, ARCHITECTURE, target, RECIPE, 0), target, RECIPE, progress=False)
    tuned = fine_tune(SPACE, ARCHITECTURE, pretrained, target, RECIPE, progress=False)
    assert tuned.best_validation_accuracy > 65
    assert tuned.best_validation_accuracy > scratch.best_validation_accuracy + 15


@pytest.mark.slow
def test_a_linear_probe_learns_and_leaves_the_backbone_as_it_was(pretrained, target, tmp_path):
    """With `linear_probe` every weight and running statistic but the classifier's is bit for bit the pretrained one."""
    result = fine_tune(
        SPACE, ARCHITECTURE, pretrained, target, RECIPE, folder=tmp_path, linear_probe=True, progress=False
    )
    trained = read_weights(result.weights)
    assert result.best_validation_accuracy > 45  # measured 61 to 67, chance is 25
    assert trained.keys() == pretrained.keys()
    changed = {name for name in trained if not torch.equal(trained[name], pretrained[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_the_classifier_is_new_and_drawn_from_the_seed(untrained):
    """A network of seven classes becomes one of four: the rest is kept, the classifier depends on the seed alone."""
    networks = [pretrained_network(SPACE, ARCHITECTURE, untrained, 4, seed=seed) for seed in (0, 0, 1)]
    first, again, other = (network.classifier.weight for network in networks)
    assert networks[0].num_classes == 4
    assert first.shape[0] == 4
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    kept = networks[0].state_dict()
    assert all(torch.equal(kept[name], value) for name, value in untrained.items() if "classifier" not in name)


def test_the_weights_of_another_architecture_are_refused(untrained):
    """The message says that the checkpoint is another architecture's."""
    with pytest.raises(InvalidParameter, match="another architecture"):
        pretrained_network(SPACE, (2,) * 8, untrained, 4)


def test_weights_without_a_classifier_are_refused(untrained):
    """Without classifier.weight the pretrained class count is unknown, and the message says so."""
    headless = {name: value for name, value in untrained.items() if "classifier" not in name}
    with pytest.raises(InvalidParameter, match="class count is unknown"):
        pretrained_network(SPACE, ARCHITECTURE, headless, 4)


@pytest.mark.parametrize("classes", [0, -1, True, 2.5])
def test_a_class_count_that_is_none_is_refused(untrained, classes):
    """The new class count must be a positive whole number."""
    with pytest.raises(InvalidParameter, match="num_classes"):
        pretrained_network(SPACE, ARCHITECTURE, untrained, classes)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_ema"])
def test_weights_are_read_from_a_wrapped_file(untrained, tmp_path, wrapper):
    """A state dict inside a checkpoint, with the prefix of a parallel wrapper, is found."""
    path = tmp_path / "weights.pt"
    torch.save({wrapper: {f"module.{name}": value for name, value in untrained.items()}}, path)
    assert read_weights(path).keys() == untrained.keys()


def test_a_missing_and_a_damaged_file_are_named(tmp_path):
    """The errors say which file it is."""
    with pytest.raises(InvalidParameter, match=r"absent\.pt"):
        read_weights(tmp_path / "absent.pt")
    (tmp_path / "damaged.pt").write_bytes(b"no weights")
    with pytest.raises(InvalidParameter, match=r"damaged\.pt"):
        read_weights(tmp_path / "damaged.pt")


def test_a_folder_of_other_weights_is_refused(untrained, target, tmp_path):
    """A finished fine-tuning is read back; the same folder with other pretrained weights is refused."""
    recipe = RECIPE.changed(epochs=1)
    first = fine_tune(SPACE, ARCHITECTURE, untrained, target, recipe, folder=tmp_path, progress=False)
    assert fine_tune(SPACE, ARCHITECTURE, untrained, target, recipe, folder=tmp_path, progress=False) == first
    others = {name: value + 1 for name, value in untrained.items()}
    with pytest.raises(CheckpointError, match="another run's"):
        fine_tune(SPACE, ARCHITECTURE, others, target, recipe, folder=tmp_path, progress=False)


def test_a_transformer_is_resampled_to_another_image_size():
    """Weights of 8-pixel images fit a network for 32-pixel ones, whose positions are more and patches larger."""
    space = load_space("vision-transformer-w0.25")
    architecture = space.all_largest
    state = build_network(space, architecture, num_classes=10, image_size=8).state_dict()
    network = pretrained_network(space, architecture, state, 3, size=32)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    kept = network.state_dict()
    assert kept["pos_embed"].shape[1] > state["pos_embed"].shape[1]
    assert torch.equal(kept["norm.weight"], state["norm.weight"])


def test_the_recipe_names_its_source():
    """The fine-tuning recipe is 20,000 steps of the cited work in epochs of CIFAR, within 5 %."""
    assert "Kornblith" in FINE_TUNE.source
    assert FINE_TUNE.epochs * (50_000 // FINE_TUNE.batch_size) == pytest.approx(20_000, rel=0.05)
