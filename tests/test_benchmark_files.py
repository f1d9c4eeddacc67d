"""Files of NAS-Bench-101 and TransNAS-Bench-101 that a user has, written here small in exactly the published format."""

import base64
import json
import struct
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.benchmarks.noise import noise_floor
from genius_kit.benchmarks.own import nas_bench_101, transnas_bench_101
from genius_kit.benchmarks.own.found import add_file
from genius_kit.cli import app
from genius_kit.errors import DataCorrupt, DataMissing, GeniusKitError, InvalidParameter

FIRST = "00005c142e6f48ac74fdcf73e3439874"
"""The first cell of the published file: inputs (0), (1), (2), (0), (0, 3, 4), (2, 5), and its operations."""
EDGES, OPERATIONS = ((0,), (1,), (2,), (0,), (0, 3, 4), (2, 5)), (0, 2, 0, 0, 1)


def double(number, value):
    """Return a field of a protocol buffer with a double."""
    return bytes([number << 3 | 1]) + struct.pack("<d", value)


def inner(number, content):
    """Return a field of a protocol buffer with a message."""
    return bytes([number << 3 | 2, len(content)]) + content


def metrics(validation, test):
    """Return ModelMetrics of a training: its start, its middle and its end, parameters, seconds."""
    ends = [(0.1, 0.1), (0.5, 0.5), (validation, test)]
    evaluations = [
        b"".join([double(1, 36.0), double(2, 600.0), double(3, 1.0), double(4, one), double(5, other)])
        for one, other in ends
    ]
    evaluations[2] += inner(6, b"model.ckpt")
    content = b"".join(inner(1, one) for one in evaluations)
    return base64.b64encode(content + bytes([2 << 3]) + b"\xff\xd3\x8a\x04" + double(3, 1800.0)).decode()


def record(row):
    """Return a TFRecord with a JSON row."""
    content = json.dumps(row).encode()
    length = struct.pack("<Q", len(content))
    return length + nas_bench_101.masked_sum(length) + content + nas_bench_101.masked_sum(content)


def scores_of(key):
    """Return three validation accuracies that a cell's hash decides, and a test accuracy."""
    base = int(key[:6], 16) / 16**6 / 2 + 0.4
    return [base, base + 0.01, base + 0.02], base + 0.05


def cells(number, count):
    """Return the hashes of the first cells of a space, different ones."""
    menus = nas_bench_101.graphs(number)
    choices = product(product(range(3), repeat=len(menus) - 1), product(*menus))
    return list(dict.fromkeys(nas_bench_101.cell_hash(inputs, operations) for operations, inputs in choices))[:count]


def nas_file(folder, number=1, count=400):
    """Write a file as `nasbench_full.tfrecord` with some cells of a space, trained for 4 and for 108 epochs."""
    path = folder / "nasbench_small.tfrecord"
    with path.open("wb") as file:
        for key in cells(number, count):
            found, test = scores_of(key)
            for epochs, place in product((4, 108), range(3)):
                told = metrics(found[place] if epochs == 108 else 0.2, test)
                file.write(record([key, epochs, "0100110001", "input,output", told]))
    return path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A data folder of its own, and the two smaller spaces: the third has 1,312,200 lists."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path / "data"))
    monkeypatch.delitem(nas_bench_101.INPUTS, 3)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file with 400 cells of the first space."""
    return nas_file(tmp_path_factory.mktemp("published"))


def test_the_hash_is_the_published_one():
    """The first cell of the file has its published hash, and a node that leads nowhere changes nothing."""
    assert nas_bench_101.cell_hash(EDGES, OPERATIONS) == FIRST
    loose = (*EDGES[:5], (0, 1), (2, 5))
    assert nas_bench_101.cell_hash(loose, (*OPERATIONS, 1)) == FIRST
    # nodes 3 and 4 of this cell in the other order
    swapped = ((0,), (1,), (0,), (2,), (0, 3, 4), (2, 5))
    assert nas_bench_101.cell_hash(swapped, OPERATIONS) == FIRST


def test_the_checksum_is_that_of_tfrecord():
    """CRC-32C of "123456789" is e3069283, masked as TFRecord masks it."""
    masked = ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert nas_bench_101.masked_sum(b"123456789") == masked.to_bytes(4, "little")


def test_cells_of_nas_bench_101_become_a_table(small):
    """Equal cells share their record, three trainings tell the noise, and other cells are refused."""
    (place,) = [one for one in add_file(small) if one.name.endswith("space-1")]
    table = gk.load_benchmark("nas-bench-101-space-1")
    assert table.folder == place
    assert table.space.size == 3**4 * 3 * 6 * 10
    menus = nas_bench_101.graphs(1)
    for row in np.flatnonzero(table.known)[::97]:
        *operations, third, fourth, last = table.space.at(int(row))
        inputs = (menus[0][0], menus[1][0], menus[2][third], menus[3][fourth], menus[4][last])
        found, test = scores_of(nas_bench_101.cell_hash(inputs, operations))
        told = table.evaluate(table.space.at(int(row)))
        assert told.validation_accuracy == pytest.approx(100 * sum(found) / 3, abs=1e-5)
        assert told.test_accuracy == pytest.approx(100 * test, abs=1e-5)
    assert len(np.unique(table.known_scores())) == 400 < table.count < table.space.size
    assert noise_floor(table).sd == pytest.approx(1.0)
    unknown = table.space.at(int(np.flatnonzero(~table.known)[0]))
    assert "no result of this architecture is known" in table.refusal(unknown).detail
    assert gk.load_benchmark("nas-bench-101-space-1", "held-out", 2).protocol == "held-out"


def test_a_search_says_what_a_cell_is(small):
    """The prompt tells what is chosen and what is not, in the words of the table."""
    add_file(small)
    table = gk.load_benchmark("nas-bench-101-space-1")
    told = {"dataset": table.dataset, "feedback_name": table.feedback_name, "title": table.title, "unit": table.unit}
    text = gk.load_prompt("standard", table.space, **told).messages([])[-1]["content"]
    assert "Always the same: node 1 has node 0, node 2 has nodes 0 and 1." in text
    assert "inputs of output:\n- 0: nodes 0 and 1." in text
    assert "highest validation accuracy on CIFAR-10" in text


def test_the_short_form_in_json_is_read(tmp_path):
    """One training of each cell: the same scores, and no noise that is known."""
    told = [{"hash_": key, "validation_accuracy": scores_of(key)[0][0], "test_accuracy": 0.9} for key in cells(2, 50)]
    path = tmp_path / "nas_bench.json"
    path.write_text(json.dumps(told))
    assert [place.name for place in add_file(path)] == ["nas-bench-101-space-2"]
    table = gk.load_benchmark("nas-bench-101-space-2")
    assert table.known_scores().max() == pytest.approx(100 * max(one["validation_accuracy"] for one in told), abs=1e-5)
    assert np.isnan(noise_floor(table).sd)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["f" * 31, 108, "", "", metrics(0.5, 0.5)], "no hash"),
        (["f" * 32, 108, "", "", metrics(1.5, 0.5)], "expected 0 to 1"),
        (["f" * 32, 108, "", "", metrics(float("nan"), 0.5)], "expected 0 to 1"),
        (["f" * 32, 108, "", "", "AAAA"], "record 1"),
        (["f" * 32, 108, "", "", base64.b64encode(inner(1, double(4, 0.5)) * 3).decode()], "record 1"),
        (["f" * 32, 108, "", ""], "record 1"),
        (["f" * 32, 108, "", "", metrics(0.5, 0.5)], "1 trainings of 108 epochs"),
        (["f" * 32, 36, "", "", metrics(0.5, 0.5)], "there is no training"),
        ({"hash": 1}, "expected a row"),
    ],
)
def test_a_row_of_another_form_is_refused(row, said, tmp_path):
    """Nothing is guessed, and nothing is kept."""
    path = tmp_path / "nasbench.tfrecord"
    path.write_bytes(record(row))
    with pytest.raises(DataCorrupt, match=said):
        add_file(path)
    assert not (tmp_path / "data" / "benchmarks").exists()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The content of a file with two cells."""
    return nas_file(tmp_path_factory.mktemp("two"), count=2).read_bytes()


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_altered_byte_is_found(two, tmp_path, place, change):
    """Each byte is under a sum, wherever it stands."""
    content = bytearray(two)
    content[place % len(content)] ^= change
    path = tmp_path / "altered.tfrecord"
    path.write_bytes(content)
    with pytest.raises(DataCorrupt):
        add_file(path)


@pytest.mark.parametrize("left", [1, 4, 11, 200, 1000])
def test_a_file_that_was_cut_is_refused(two, tmp_path, left):
    """In the middle of a record, or between two trainings of a cell; the whole file is read."""
    path = tmp_path / "cut.tfrecord"
    path.write_bytes(two[:-left])
    with pytest.raises(DataCorrupt):
        add_file(path)
    path.write_bytes(two)
    assert add_file(path)


def transnas_content(macro=None, micro=None):
    """Return the values of `transnas-bench_v10141024.pth` for some architectures, scored by their names."""
    data = {}
    for space, some in (("macro", macro), ("micro", micro)):
        names = transnas_bench_101.architectures(space) if some is None else some
        data[space] = {name: {task: trained(name, task) for task in transnas_bench_101.TASKS} for name in names}
    tasks = list(transnas_bench_101.TASKS)
    used = {task: [f"valid_{transnas_bench_101.TASKS[task][1]}"] for task in tasks}
    return {"metrics_dict": used, "info_names": ["inference_time"], "task_list": tasks, "data": data}


def trained(name, task):
    """Return the record of one training of three epochs, the second of which is the best."""
    metric = transnas_bench_101.TASKS[task][1]
    base = sum(map(ord, name)) % 89 / 89
    base = {"top1": 50 * base + 2, "mIoU": 20 * base + 2, "ssim": base, "neg_loss": -base - 0.1}[metric]
    values = {f"valid_{metric}": [base - 0.5, base, base - 0.2], f"test_{metric}": [base / 2, base / 4, base / 3]}
    values = {key: [max(one, -1.0) if metric == "ssim" else one for one in some] for key, some in values.items()}
    return {"total_epochs": 3, "model_info": {"inference_time": 0.01}, "metrics": values}


@pytest.mark.slow
def test_transnas_bench_101_becomes_fourteen_tables(tmp_path):
    """Two spaces and seven tasks, each with its metric; more is better in all, and test is that of the best epoch."""
    path = tmp_path / "transnas-bench_v10141024.pth"
    torch.save(transnas_content(), path)
    shown = CliRunner().invoke(app, ["benchmark", "add", str(path)])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("searches it") == 14
    for space, name in (("micro", "64-41414-1_02_333"), ("macro", "64-1234-basic")):
        for task, (_, metric, _) in transnas_bench_101.TASKS.items():
            table = gk.load_benchmark(f"transnas-bench-101-{space}-{task}")
            assert table.count == {"micro": 4096, "macro": 3256}[space]
            told = trained(name, task)["metrics"]
            scale = 1 if metric in ("top1", "mIoU") else 100
            found = table.evaluate(table.space.decode(transnas_bench_101.key_of(space, name)))
            assert found.feedback == pytest.approx(scale * told[f"valid_{metric}"][1], abs=1e-4)
            assert table.unit == ("percent" if scale == 1 else "hundredths")
            assert table.rank(table.space.all_largest) is not None
    assert found.test_accuracy is None  # of no percentage
    percent = gk.load_benchmark("transnas-bench-101-micro-jigsaw").evaluate((1, 0, 2, 3, 3, 3))
    assert percent.test_accuracy == pytest.approx(trained("64-41414-1_02_333", "jigsaw")["metrics"]["test_top1"][1])


def test_the_skeletons_are_those_that_were_trained():
    """As many as the paper counts, each with a key of its own."""
    keys = {transnas_bench_101.key_of("macro", name) for name in transnas_bench_101.architectures("macro")}
    assert len(keys) == len(transnas_bench_101.architectures("macro")) == 3256


def test_a_pickle_with_code_is_not_loaded(tmp_path):
    """Nothing of it runs; the message says how to convert it, and what comes of that is read."""
    path = tmp_path / "transnas-bench.pth"
    torch.save({"data": np.float64(1.0), "more": RunsCode()}, path)
    with pytest.raises(InvalidParameter, match="nothing of it was loaded") as told:
        add_file(path)
    assert "weights_only=False" in str(told.value)
    assert not RunsCode.ran
    small = tmp_path / "transnas-bench.json"
    small.write_text(json.dumps(transnas_content(macro=["64-1234-basic", "64-2311-basic"], micro=[])))
    assert len(add_file(small)) == 7


class RunsCode:
    """An object whose pickle names code of its own."""

    ran = False

    def __reduce__(self):
        return _run, ()


def _run():
    RunsCode.ran = True
    return RunsCode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.update(valid_top1=[]), "one of each an epoch"),
        (lambda values: values.update(test_top1=[1.0]), "one of each an epoch"),
        (lambda values: values.update(valid_top1=["a", 1, 2]), "no number"),
        (lambda values: values.update(valid_top1=[float("nan"), 1, 2]), "no number"),
        (lambda values: values.update(valid_top1=[101.0, 1, 2]), "which it cannot be"),
        (lambda values: values.pop("valid_top1"), "valid_top1"),
    ],
)
def test_a_transnas_record_of_another_form_is_refused(change, said, tmp_path):
    """The message names space, architecture and task."""
    content = transnas_content(macro=["64-1234-basic"], micro=[])
    change(content["data"]["macro"]["64-1234-basic"]["class_scene"]["metrics"])
    path = tmp_path / "transnas.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataCorrupt, match=said):
        add_file(path)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"data": 1}', b'{"data": {"macro": {"64-1": 1}}}', b"\xff\x00"]
)
@pytest.mark.parametrize("name", ["a.tfrecord", "a.pth", "nas_bench.json", "transnas.json"])
def test_what_is_no_such_file_ends_in_an_error_of_ours(name, content, tmp_path):
    """Whatever stands in it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(GeniusKitError):
        add_file(path)
    path.unlink()
    with pytest.raises(DataMissing):
        add_file(path)
