"""Recipes: known by name, checked field by field, and described by what decides the weights."""

import pytest

from genius_kit.errors import InvalidParameter, UnknownName
from genius_kit.training.recipes import RECIPES, load_recipe


def test_paper_recipes():
    """The ImageNet recipes have the paper's numbers."""
    search, retrain = RECIPES["imagenet_search"], RECIPES["imagenet_retrain"]
    assert (search.epochs, search.image_size, search.learning_rate, search.batch_size) == (20, 196, 0.5, 1024)
    assert (retrain.epochs, retrain.batch_size, retrain.warmup_epochs, retrain.dropout) == (500, 2048, 5, 0.2)
    assert retrain.augmentation == "rand-augment"
    assert retrain.ema_decay is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rte": 0.1}, "no field 'learning_rte'; it has name, source, epochs"),
        ({"learning_rate": "0.1"}, "learning_rate must be a valid number"),
        ({"learning_rate": float("nan")}, "got nan"),
        ({"learning_rate": float("inf")}, "got inf"),
        ({"learning_rate": True}, "got True"),
        ({"learning_rate": None}, "got None"),
        ({"epochs": 2.5}, "epochs must be a valid integer"),
        ({"epochs": True}, "got True"),
        ({"batch_size": 0}, "batch_size must be greater than or equal to 1"),
        ({"batch_size": 64, "accumulate": 3}, "batch_size must be a multiple of accumulate=3"),
        ({"image_size": 32.0}, "got 32.0"),
        ({"momentum": 1.0}, "momentum must be less than 1"),
        ({"ema_decay": 1}, "got 1"),
        ({"channels_last": 1}, "channels_last must be a valid boolean"),
        ({"compile": "yes"}, "got 'yes'"),
        ({"optimizer": "adam"}, "optimizer must be 'sgd' or 'adamw'"),
        ({"augmentation": None}, "got None"),
        ({"warmup_epochs": 13}, "warmup_epochs must be at most the 12 epochs"),
        ({"minimum_learning_rate": 0.2}, "minimum_learning_rate must be at most"),
        ({"momentum": 0.0}, "nesterov must be False"),
    ],
)
def test_impossible_fields_are_refused(changes, message):
    """A misspelt field, another type, NaN or a value out of range raises and names the field, value and range."""
    with pytest.raises(InvalidParameter) as caught:
        load_recipe("quick", **changes)
    assert message in str(caught.value)


def test_unknown_recipe():
    """An unknown name is answered with the known ones."""
    with pytest.raises(UnknownName, match=r"'quik' \(did you mean 'quick'\?\); the known ones are imagenet"):
        load_recipe("quik")


def test_description_depends_on_what_decides_the_weights():
    """The number of workers and the form of a number are no part of it, the learning rate is."""
    quick = load_recipe("quick")
    assert load_recipe("quick", workers=0).as_dict() == quick.as_dict()
    assert repr(quick.changed(warmup_epochs=1).as_dict()) == repr(quick.changed(warmup_epochs=1.0).as_dict())
    assert quick.changed(learning_rate=0.2).as_dict() != quick.as_dict()
