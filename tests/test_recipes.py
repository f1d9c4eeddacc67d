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
        ({"learning_rate": "0.1"}, "learning_rate is '0.1', expected a valid number"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": float("inf")}, "learning_rate is inf"),
        ({"learning_rate": True}, "learning_rate is True"),
        ({"learning_rate": None}, "learning_rate is None"),
        ({"epochs": 2.5}, "epochs is 2.5, expected a valid integer"),
        ({"epochs": True}, "epochs is True"),
        ({"batch_size": 0}, "batch_size is 0, expected greater than or equal to 1"),
        ({"batch_size": 64, "accumulate": 3}, "batch_size is 64, expected a multiple of accumulate=3"),
        ({"image_size": 32.0}, "image_size is 32.0"),
        ({"momentum": 1.0}, "momentum is 1.0, expected less than 1"),
        ({"ema_decay": 1}, "ema_decay is 1"),
        ({"channels_last": 1}, "channels_last is 1, expected a valid boolean"),
        ({"compile": "yes"}, "compile is 'yes'"),
        ({"optimizer": "adam"}, "optimizer is 'adam', expected 'sgd' or 'adamw'"),
        ({"augmentation": None}, "augmentation is None"),
        ({"warmup_epochs": 13}, "warmup_epochs is 13.0, expected at most the 12 epochs"),
        ({"minimum_learning_rate": 0.2}, "minimum_learning_rate is 0.2, expected at most"),
        ({"momentum": 0.0}, "nesterov is True, expected False"),
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
