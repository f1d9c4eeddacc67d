"""Crafted files of others end in one sentence, in two seconds and 200 MB: studies, journals, templates, bundles."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile

import pytest

from genius_kit import archives
from genius_kit.errors import DataCorrupt, GeniusKitError, InvalidParameter, PromptError
from genius_kit.prompts.base import LONGEST_PROMPT, check_placeholders, fill
from genius_kit.reports.bundle import replay_bundle
from genius_kit.studies.file import MOST_RUNS, load_study
from tests.hostile import costs_of

STUDY = "name: s\nbenchmarks: [nas-bench-201-cifar10]\narms: [random]\nbudget: 3\nseeds: 2\n"
RUN = {"space": "nas-bench-201", "benchmark": "nas-bench-201-cifar10", "proposer": "random", "budget": 3, "seed": 0}
START = json.dumps({"event": "run_started", "run": {**RUN, "settings": {}}}) + "\n"
PLACEHOLDERS = "{{ problem }}\n{{ results }}\n"
IMPORTS = """
import genius_kit.reports.bundle, jinja2, yaml
from pathlib import Path
from genius_kit.budget.prices import load_prices
from genius_kit.journal import read_run
from genius_kit.journal.verify import read_heads, verify_run
from genius_kit.llm.agents import file_agent
from genius_kit.llm.recorded import ReplayClient
from genius_kit.private.tables import read_table
from genius_kit.prompts import load_prompt
from genius_kit.prompts.published import read_conversation
from genius_kit.reports.bundle import replay_bundle
from genius_kit.reports.parameters import read_grid
from genius_kit.runs.steps import open_run
from genius_kit.spaces import load_space
from genius_kit.studies.file import load_study
SPACE = load_space("nas-bench-201")
"""

ARMS = ", ".join(f"{{proposer: random, name: a{number}}}" for number in range(900))
STUDIES = {
    "a billion seeds": STUDY.replace("seeds: 2", "seeds: 1000000000"),
    "a billion seeds from": STUDY.replace("seeds: 2", "seeds: {from: 0, count: 1000000000}"),
    "a seed of many digits": STUDY.replace("seeds: 2", f"seeds: {{from: 1{'0' * 4000}, count: 2}}"),
    "seeds 2.0": STUDY.replace("seeds: 2", "seeds: 2.0"),
    "budget 2.0": STUDY.replace("budget: 3", "budget: 2.0"),
    "200,000 keys": STUDY + "".join(f"k{number}: 1\n" for number in range(200_000)),
    "4,500 keys": STUDY + "".join(f"k{number}: 1\n" for number in range(4_500)),
    "200,000 seeds": STUDY.replace("seeds: 2", f"seeds: {list(range(200_000))}"),
    "many arms": STUDY.replace("[random]", f"[{ARMS}]"),
    "many models": STUDY.replace("[random]", "[llm]") + f"models: [{', '.join(f'm{n}' for n in range(3_000))}]\n",
    "deep": STUDY + "params: " + "[" * 20_000,
    "a long name": STUDY.replace("name: s", f"name: {'s' * 20_000}"),
    "a long key": STUDY + f"{'k' * 20_000}: 1\n",
}

JOURNALS = {
    "deep": START + '{"event":"call","iteration":0,"messages":' + "[" * 200_000 + "]" * 200_000 + ',"text":"a"}\n',
    "less deep": START + '{"event":"x","a":' + "[" * 900 + "]" * 900 + "}\n",
    "digits": START + '{"event":"evaluation","iteration":0,"architecture":[1' + "0" * 5_000 + '],"feedback":1}\n',
    "a budget of a billion": START.replace('"budget": 3', '"budget": 1000000000') + '{"event":"x"}\n',
    "empty lines": START + "\n" * 3_000_000,
    "many events": START + '{"event":"x"}\n' * 1_000_000,
    "many lists": START + '{"event":"x","a":[' + "[]," * 5_000_000 + "0]}\n",
    "many objects": START + '{"event":"x","a":[' + "{}," * 5_000_000 + "0]}\n",
    "many fields": START + '{"event":"x",' + ",".join(f'"k{number}":1' for number in range(1_000_000)) + "}\n",
    "another space": START.replace('"nas-bench-201"', '"../../../etc"'),
}

TEMPLATES = {
    "recursion": "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    "a power": "{{ 9**(9**9) }}",
    "a long text": "{{ 'a' * 9999999999 }}",
    "a long list": "{{ ([1] * 999999999) | length }}",
    "endless loops": "{% for a in 'x' * 99999 %}{% for b in 'x' * 99999 %}{% for c in 'x' * 99999 %}a"
    "{% endfor %}{% endfor %}{% endfor %}",
    "silent loops": "{% for a in results %}{% for b in results %}{% set q = 1 %}{% endfor %}{% endfor %}",
    "doubling": "{% set n = 'aaaa' %}" + "{% set n = n ~ n %}" * 40 + "{{ n }}",
    "a width": "{{ '%999999999d' % 3 }}",
    "a filter": "{{ 'a' | center(999999999) }}",
    "a method": "{{ 'a'.center(9999999999) }}",
    "brackets": "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "conditions": "{% if problem %}" * 3_000 + "{% endif %}" * 3_000,
    "deep conditions": "{% if problem %}" * 150 + "a" + "{% endif %}" * 150,
    "a large file": "x" * 5_000_000,
    "many placeholders": "{{ problem }}" * 7_000,
}


def lay(folder):
    """Write the crafted files and return each attack on them, by name, as the code that reads it."""
    os.mkfifo(folder / "pipe")
    (folder / "endless").symlink_to("/dev/zero")
    (folder / "folder").mkdir()
    with (folder / "sparse").open("wb") as file:
        file.write(START.encode())
        file.truncate(2 << 30)
    found = {}
    for name, text in STUDIES.items():
        found[f"study: {name}"] = f"load_study({write(folder, f'{name}.yaml', text)!r}).plan()"
    for name, text in JOURNALS.items():
        path = write(folder, f"{name}.jsonl", text)
        found |= {f"journal: {name}, {how}": code for how, code in reading(path).items()}
    for name, text in TEMPLATES.items():
        path = write(folder, f"{name}.md", text + PLACEHOLDERS)
        found[f"template: {name}"] = f"load_prompt({path!r}, SPACE).messages(())"
    for kind in ("pipe", "endless", "folder", "sparse"):
        path = str(folder / kind)
        found |= {f"journal: {kind}, {how}": code for how, code in reading(path).items()}
        found[f"study: {kind}"] = f"load_study({path!r})"
        found[f"template: {kind}"] = f"load_prompt({path!r}, SPACE)"
        found[f"prices: {kind}"] = f"import os\nos.environ['GENIUS_KIT_PRICES'] = {path!r}\nload_prices()"
        found[f"conversation: {kind}"] = f"read_conversation({path!r})"
        found[f"agent: {kind}"] = f"file_agent('agent:' + {path!r} + ':make')"
        found[f"heads: {kind}"] = f"read_heads(Path({path!r}))"
        found[f"grid: {kind}"] = f"read_grid(Path({path!r}), {{}})"
        found[f"table: {kind}"] = f"read_table({path!r})"
    return found


def write(folder, name, text):
    (folder / name).write_text(text)
    return str(folder / name)


def reading(path):
    return {
        "read": f"read_run({path!r}).frame()",
        "verified": f"verify_run({path!r}).report()",
        "opened": f"open_run({path!r}).space",
        "replayed": f"ReplayClient.from_journal({path!r})",
    }


@pytest.mark.slow
def test_every_crafted_file_ends_in_time_and_memory(tmp_path):
    """Each is refused in one sentence of the package, or read, within 2 s of the processor and 200 MB."""
    costs = costs_of(lay(tmp_path), IMPORTS, patience=20)
    assert {name: cost for name, cost in costs.items() if not cost.is_bounded} == {}
    read = {name for name, cost in costs.items() if cost.kind is None}
    assert all(
        name.startswith("journal: ") or name in ("study: many arms", "template: many placeholders") for name in read
    )


def test_a_whole_number_is_one_and_a_study_has_an_end(tmp_path):
    """2.0 is no count of evaluations, and the message says how many runs a study may have."""
    path = write(tmp_path, "a.yaml", STUDIES["budget 2.0"])
    with pytest.raises(InvalidParameter, match=r"line 4: budget must be a whole number, got 2\.0"):
        load_study(path)
    path = write(tmp_path, "b.yaml", STUDIES["a billion seeds"])
    with pytest.raises(InvalidParameter, match=f"must be at most {MOST_RUNS:,}"):
        load_study(path)


def test_a_template_has_text_placeholders_and_conditions():
    """All else is named with its line; what one is filled to has a longest length."""
    check_placeholders(
        "{% if constraint and not macs_table %}a{% elif metric == 'b' %}{% endif %}{{ results }}", "t", []
    )
    with pytest.raises(PromptError, match=r"line 2, has more than text, placeholders and conditions \(For\)"):
        check_placeholders("a\n{% for a in results %}{% endfor %}", "t", [])
    with pytest.raises(PromptError, match=f"more than {LONGEST_PROMPT:,} characters"):
        fill("{{ results }}" * 20, {"results": "a" * 1_000_000}, "t")


# Bundles


def header(kind, size, content):
    """Return a member that is a header of `size` bytes, before one that is a file."""
    member = tarfile.TarInfo("h")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.USTAR_FORMAT) + content + b"\0" * (-size % 512) + tarfile.TarInfo("a").tobuf()


def packed(path, *pieces):
    """Write pieces of bytes, each (piece, times), as a gzip file."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for piece, times in pieces:
            for _ in range(times):
                file.write(piece)
    return str(path)


def member(name, size):
    made = tarfile.TarInfo(name)
    made.size = size
    return made.tobuf(tarfile.USTAR_FORMAT)


def bundle_of(path, contents):
    """Write a bundle whose sums are right."""
    files = {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in contents.items()}
    manifest = json.dumps({"format": 1, "data": {}, "reference": None, "files": files}).encode()
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in {**contents, "manifest.json": manifest}.items():
            made = tarfile.TarInfo(name)
            made.size = len(content)
            archive.addfile(made, io.BytesIO(content))
    return str(path)


HEADS = b"journal,lines,head\n"
MEGABYTE = b" " * (1 << 20)


def crafted_bundles(folder):
    pax = header(tarfile.XHDTYPE, 300 << 20, b"%d comment=" % (300 << 20))
    return {
        "a long header": packed(folder / "1", (pax[:512], 1), (MEGABYTE, 300), (pax[-512:], 1)),
        "a long name": packed(
            folder / "2", (header(tarfile.GNUTYPE_LONGNAME, 200 << 20, b"")[:512], 1), (MEGABYTE, 200)
        ),
        "a large member": packed(folder / "3", (member("manifest.json", 1 << 30), 1), (MEGABYTE, 300)),
        "a large manifest": packed(folder / "4", (member("manifest.json", 200 << 20), 1), (b"[" * (1 << 20), 200)),
        "many members": packed(folder / "5", *((member(f"a{number}", 0), 1) for number in range(30_000))),
        "many lines": packed(folder / "6", (member("a", 200 << 20), 1), (b"{}\n\n" * (1 << 18), 200)),
        "many events": bundle_of(
            folder / "7", {"heads.csv": HEADS, "journals/a.jsonl": (START + '{"event":"x"}\n' * 300_000).encode()}
        ),
        "many lists": bundle_of(
            folder / "8",
            {"heads.csv": HEADS, "journals/a.jsonl": f'{START}{{"event":"x","a":[{"[]," * 5_000_000}0]}}\n'.encode()},
        ),
        "a nested line": bundle_of(
            folder / "9", {"heads.csv": HEADS, "journals/a.jsonl": f'{START}{{"event":{"[" * 300_000}\n'.encode()}
        ),
        "many heads": bundle_of(folder / "10", {"heads.csv": HEADS + b"a,1,2\n" * 900_000, "journals/a.jsonl": b""}),
    }


@pytest.mark.slow
def test_a_crafted_bundle_is_refused_in_constant_memory(tmp_path):
    """Headers, members, sums, lines and nesting have limits while they are read; nothing of them stays."""
    paths = crafted_bundles(tmp_path)
    costs = costs_of(
        {name: f"replay_bundle({path!r}, {path + '.out'!r})" for name, path in paths.items()}, IMPORTS, patience=60
    )
    too_slow = {"many lines", "a large manifest"}  # 200 MB are unpacked before they are refused
    assert {n: cost for n, cost in costs.items() if not cost.is_refusal and n not in too_slow} == {}
    assert all(costs[name].kind == "GeniusKitError" and costs[name].megabytes < 200 for name in too_slow)
    assert not list(tmp_path.glob("*.out"))


def test_an_altered_bundle_leaves_no_folder(tmp_path):
    """A journal that is not as it was written is found after unpacking, and what was unpacked is removed."""
    path = bundle_of(tmp_path / "a.tar.gz", {"heads.csv": HEADS, "journals/a.jsonl": f"{START}{{broken\n".encode()})
    with pytest.raises(GeniusKitError):
        replay_bundle(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_header_has_a_longest_length(tmp_path):
    """Where a header is longer than any that the kit writes, the archive is refused before it is read."""
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        made = tarfile.TarInfo("a")
        made.pax_headers = {"comment": "x" * 200_000}
        archive.addfile(made)
    with pytest.raises(DataCorrupt, match=f"a header has more than {archives.HEADER_LIMIT:,} bytes"):
        archives.sums(path)
