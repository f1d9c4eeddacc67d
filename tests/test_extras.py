"""Optional packages: one message with the command that gets them, and nothing else of the package needs one."""

import ast
import json
import sys
import tomllib
from importlib.metadata import packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import genius_kit
from genius_kit import extras, pools
from genius_kit.cli.data import findings
from genius_kit.detection import coco
from genius_kit.errors import ExtraMissing
from genius_kit.training.checkpoints import MetricsLog

PACKAGE = Path(genius_kit.__file__).resolve().parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BRINGS = packages_distributions()


def closure(requirements):
    """Return the names of everything that some requirements bring, by what is installed here."""
    known, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in known or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        known.add(name)
        waiting += [Requirement(text) for text in requires(name) or ()]
    return known


def distributions(module):
    return {canonicalize_name(name) for name in BRINGS.get(module.partition(".")[0], ())}


def imports(tree):
    """Yield the modules of other projects that a file imports, those that only its types name left out."""
    typed = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typed:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def loads(tree):
    """Yield the arguments of each `extras.load` in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "extras.load":
            yield tuple(ast.literal_eval(argument) for argument in node.args)


TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def test_no_module_imports_what_only_an_extra_brings():
    """Everything that is imported comes with `pip install -e .`, or is loaded by name from the extra that has it."""
    own = closure(PROJECT["dependencies"])
    optional = {module for tree in TREES.values() for module, _extra in loads(tree)}
    beyond = {
        (path.name, module)
        for path, tree in TREES.items()
        for module in imports(tree)
        if module.partition(".")[0] not in {*sys.stdlib_module_names, "genius_kit"}
        and not distributions(module) & own
        and not any(module.startswith(f"{known}.") for known in optional)  # a part of what is loaded before
    }
    assert beyond == set()


def test_each_optional_module_is_loaded_from_an_extra_that_brings_it():
    """The extra that a message names exists, and has the package; torch's own TensorBoard writer needs tensorboard."""
    found = {argument for tree in TREES.values() for argument in loads(tree)}
    assert {extra for _module, extra in found} == {"dask", "detection", "tensorboard"}
    for module, extra in found:
        package = "tensorboard" if module.startswith("torch.") else module
        assert distributions(package) & closure(PROJECT["optional-dependencies"][extra])


def test_every_extra_has_a_purpose():
    """What `doctor` says of the extras is said of those that there are."""
    assert set(extras.PURPOSES) == set(PROJECT["optional-dependencies"])


def needs_dask(folder):
    with pools.dask_executor("tcp://127.0.0.1:9"):
        pass


def needs_detection(folder):
    (folder / "a.jpg").touch()
    image = {"id": 1, "file_name": "a.jpg", "width": 1, "height": 1}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (folder / "boxes.json").write_text(json.dumps(content), encoding="utf-8")
    coco.load_coco(folder, folder / "boxes.json")


@pytest.mark.parametrize(
    ("need", "module", "extra"),
    [
        (needs_dask, "distributed", "dask"),
        (needs_detection, "pycocotools.coco", "detection"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_gets_it(need, module, extra, tmp_path, monkeypatch):
    """One message, whatever it is that needs the package."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissing, match=rf"{module}.*extra `{extra}`.*`pip install -e '\.\[{extra}\]'`"):
        need(tmp_path)


def test_a_training_without_tensorboard_has_its_metrics_all_the_same(tmp_path, monkeypatch):
    """Its events are left out; the CSV is written."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    row = dict.fromkeys(("epoch", "step", "train_loss", "learning_rate"), 1)
    row |= dict.fromkeys(("validation_accuracy", "images_per_second", "seconds"), 2.0)
    log = MetricsLog(tmp_path, 0)
    log.write([row])
    log.add(row)
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_the_doctor_says_of_each_extra_whether_it_is_there(monkeypatch):
    """Available, or missing with the packages and the command; too old counts as missing."""
    monkeypatch.setattr(extras, "version", lambda name: "0.1" if name == "pycocotools" else version(name))
    told = dict(findings())
    assert told["extra tensorboard"].endswith(": available")
    assert told["extra detection"].endswith(": missing (pycocotools); pip install -e '.[detection]'")


def test_a_checkout_that_is_not_installed_has_no_extras(monkeypatch):
    """Without metadata nothing is known of them, and the doctor goes on."""

    def nothing(name):
        raise extras.PackageNotFoundError(name)

    monkeypatch.setattr(extras, "metadata", nothing)
    assert extras.extras() == {}
