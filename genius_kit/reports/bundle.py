"""A study in one archive: journals, what they were made with and what was drawn from them, to be redrawn offline."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import archives, files
from genius_kit.benchmarks.catalogue import recorded_benchmark, title_of
from genius_kit.errors import DataCorrupt, DataMissing, InvalidParameter, JournalError, UnknownName
from genius_kit.figures.files import save_figure
from genius_kit.figures.studies import arm_ranks, rank_curves, study_runs
from genius_kit.figures.tradeoffs import front_table, hypervolume_figure, pareto_front_figure
from genius_kit.journal.lines import read_content
from genius_kit.journal.redact import redacted
from genius_kit.journal.verify import HEADS, Verification, heads_table, read_heads, verify_study
from genius_kit.located import read_yaml
from genius_kit.prompts.template import prompt_source
from genius_kit.proposers.base import QUIZ
from genius_kit.proposers.methods import shown_model
from genius_kit.runs.provenance import marked
from genius_kit.spaces import recorded_space
from genius_kit.studies.file import STUDY_FILE
from genius_kit.studies.results import curves, read_results, summary
from genius_kit.studies.tradeoffs import share_curves
from genius_kit.texts import csv_of
from genius_kit.version import __version__

if TYPE_CHECKING:
    import pandas as pd

BUNDLE_FORMAT = 1
MANIFEST, JOURNALS = "manifest.json", "journals"
RESULTS, SUMMARY, FIGURES = "results.csv", "summary.csv", "figures"
LONGEST_MANIFEST = 10_000_000
"""Bytes of a manifest: it has some 150 a member."""
RECORDED = Path(__file__).resolve().parents[2] / "data" / "recorded"
"""The bundles that come with the checkout: studies of a real language model."""
REDRAWN = "redrawn"
"""The folder beside the unpacked files into which everything is drawn again."""


@dataclass(frozen=True)
class Replayed:
    """Result of replaying a bundle.

    Parameters
    ----------
    folder
        Where it was unpacked.
    runs
        The verified journals.
    matched, differing
        Files that were drawn again as they were packed, and those that were not.
    missing
        Which data is not here to redraw with; None where all is.
    """

    folder: Path
    runs: tuple[Verification, ...]
    matched: tuple[str, ...]
    differing: tuple[str, ...]
    missing: str | None = None


def bundle(folder: str | Path, output: str | Path, withhold: Collection[str] = ()) -> Path:
    """Write a study as one .tar.gz or .tar.xz, and return its path; the same content gives the same bytes.

    It holds the journals, study file, prompts, prices, installed versions, heads, and results, summary and figures
    drawn from the journals, with the SHA-256 of each. Published tables are not in it: they are not ours to pass on.

    Parameters
    ----------
    folder
        The folder of the study.
    output
        The file to write.
    withhold
        Whose words are left out of the journals, see `redact`.

    Raises
    ------
    JournalError
        A journal is not as it was written.
    DataMissing
        A table is not here.
    InvalidParameter
        The output is there already.
    """
    folder, output = Path(folder), Path(output)
    if output.exists():
        raise InvalidParameter(f"{output} is there; name a file that is not: no record is written over")
    if not folder.is_dir():
        raise InvalidParameter(f"{folder} is no folder; `genius-kit study` writes its journals to studies/NAME")
    runs = _checked(folder)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        for run in runs:
            content = read_content(run.path)
            target = home / JOURNALS / run.path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(redacted(run.path, content, withhold) if withhold else content)
        reference = _reference(folder / STUDY_FILE)
        draw_all(home / JOURNALS, home, reference)
        journals = sorted((home / JOURNALS).rglob("*.jsonl"))
        contents: dict[str, bytes | Path] = {
            path.relative_to(home).as_posix(): path for path in sorted(home.rglob("*")) if path.is_file()
        }
        contents |= {HEADS: heads_table(journals, home).encode(), **_made_with(folder, runs)}
        manifest = _manifest(contents, runs, reference)
        archives.pack({**contents, MANIFEST: manifest}, output)
    return output


def _checked(folder: Path) -> list[Verification]:
    runs, wrong = verify_study(folder)
    if altered := _altered(runs, wrong):
        told = "\n".join(f"- {text}" for text in altered[:10])
        raise JournalError(
            f"{folder} is not bundled: not all of it is as it was written (`genius-kit verify {folder}` tells all; a "
            f"torn last line goes when the same `genius-kit study` command runs again)\n{told}"
        )
    return runs


def _altered(runs: Collection[Verification], wrong: Collection[object]) -> list[str]:
    return [f"{run.path.name}: {run.findings[0]}" for run in runs if run.findings] + list(map(str, wrong))


def _reference(path: Path) -> str | None:
    content = read_yaml(path.read_text(encoding="utf-8", errors="replace"), path.name).data if path.is_file() else None
    reference = content.get("reference") if isinstance(content, dict) else None
    return reference if isinstance(reference, str) else None


def _made_with(folder: Path, runs: Collection[Verification]) -> dict[str, bytes | Path]:
    """Return the files that say what the runs were made with: study, prompts, prices, installed versions."""
    priced = {run.path.name: run.price for run in runs if run.price}
    made: dict[str, bytes | Path] = {
        "prices.json": f"{json.dumps(priced, indent=1, sort_keys=True)}\n".encode(),
        "environment.txt": _environment().encode(),
    }
    own = Path(os.environ.get("GENIUS_KIT_PRICES") or "").expanduser()
    if own.is_file():
        made["own_prices.toml"] = own
    if (folder / STUDY_FILE).is_file():
        made[STUDY_FILE] = folder / STUDY_FILE
    return made | _prompts(runs)


def _prompts(runs: Collection[Verification]) -> dict[str, bytes | Path]:
    """Return the template of each prompt that was used, where it is still to be found and ours to pass on."""
    used: dict[str, bytes | Path] = {}
    for run in runs:
        name = run.run.settings.get("settings", {}).get("prompt")
        if not isinstance(name, str) or name == "published":
            continue
        try:
            used[f"prompts/{Path(name).stem}.md"] = prompt_source(name, recorded_space(run.run.settings)).encode()
        except (UnknownName, InvalidParameter):
            continue  # its SHA-256 is in the journals, and so is every text that was sent
    return used


def _environment() -> str:
    from importlib.metadata import distributions

    names = {f"{found.metadata['Name']}=={found.version}\n" for found in distributions()}
    return "".join([f"# Python {platform.python_version()}, {platform.system()}\n", *sorted(names, key=str.lower)])


def _manifest(contents: Mapping[str, bytes | Path], runs: Collection[Verification], reference: str | None) -> bytes:
    packed = {}
    for name, given in contents.items():
        content = given.read_bytes() if isinstance(given, Path) else given
        packed[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    data = {name: sum_ for run in runs for name, sum_ in run.data.items()}
    manifest = {
        "format": BUNDLE_FORMAT,
        "genius-kit": __version__,
        "reference": reference,
        "data": data,
        "files": packed,
    }
    return (json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def is_bundle(path: Path) -> bool:
    """Return whether a file is an archive, by its first bytes."""
    with path.open("rb") as stream:
        return stream.read(len(archives.XZ)).startswith((b"\x1f\x8b", archives.XZ))


def replay_bundle(path: str | Path, output: str | Path) -> Replayed:
    """Unpack a bundle, check it, and draw all of it again, without a network.

    Data that is not here is named in `missing`, and only the chains are checked.

    Parameters
    ----------
    path
        The bundle.
    output
        A folder that is not there yet.

    Raises
    ------
    DataCorrupt
        The bundle is cut, altered or not safe to unpack; then nothing stays written.
    """
    path, output = Path(path), Path(output)
    if output.exists():
        raise InvalidParameter(f"{output} is there; name a folder that is not")
    manifest = _read_manifest(path)
    try:
        archives.unpack(path, output)
        return _redrawn(path, output, manifest)
    except BaseException:
        shutil.rmtree(output, ignore_errors=True)
        raise


def read_bundle(path: str | Path, output: str | Path) -> pd.DataFrame:
    """Return `studies.results` of the runs in a bundle, whose sums, chains and heads are checked.

    The journals, which verdicts read, are unpacked once, to a folder named by the bundle and its SHA-256. Runs on a
    table that is not here are left out, and a warning says how to get it.

    Parameters
    ----------
    path
        The bundle, or the name of one in `data/recorded/` of the checkout.
    output
        The folder below which it is unpacked.

    Raises
    ------
    UnknownName
        There is no such bundle.
    DataCorrupt
        The bundle is cut, altered or not safe to unpack, or what was unpacked from it was altered.
    """
    known = {found.name.split(".")[0]: found for found in sorted(RECORDED.glob("*.tar.?z"))}
    if not Path(path).is_file() and str(path) not in known:
        raise UnknownName.of("recorded study", str(path), list(known))
    path = known.get(str(path), Path(path))
    folder = _unpacked(path, Path(output))
    runs = [one.run for one in _verified(path, folder) if one.run.settings.get("proposer") != QUIZ]
    kept, missing = [], set()
    for run in sorted(runs, key=lambda run: int(run.events[0].get("study", {}).get("order", 0))):
        try:
            recorded_benchmark(run.settings)
            kept.append(run)
        except DataMissing as error:
            missing.add(str(error))
    if missing:
        told = "; ".join(sorted(missing))
        warnings.warn(f"{len(runs) - len(kept)} of {len(runs)} runs of {path.name} are left out: {told}", stacklevel=2)
    return read_results(kept)


def _unpacked(path: Path, output: Path) -> Path:
    """Return the folder of a bundle below `output`, unpacked by this or an earlier call; raises DataCorrupt."""
    manifest, content = _read_manifest(path), path.read_bytes()
    folder = output / f"{path.name.split('.')[0]}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=files.make_folder(output)) as scratch:
            archives.unpack(path, Path(scratch) / folder.name)
            with suppress(OSError):  # another process was faster
                os.replace(Path(scratch) / folder.name, folder)
    heads = folder / HEADS
    listed = hashlib.sha256(heads.read_bytes()).hexdigest() if heads.is_file() else None
    if listed != manifest["files"][HEADS]["sha256"]:
        raise DataCorrupt(f"{folder} is not what {path} holds: remove the folder, and it is unpacked again")
    return folder


def _verified(path: Path, folder: Path) -> list[Verification]:
    """Return the journals of an unpacked bundle; raises DataCorrupt where one is not as it was written."""
    heads = {name.removeprefix(f"{JOURNALS}/"): head for name, head in read_heads(folder / HEADS).items()}
    runs, wrong = verify_study(folder / JOURNALS, heads)
    if told := "; ".join(_altered(runs, wrong)):
        raise DataCorrupt(f"{path}: its sums are right, but not all of its journals are as they were written: {told}")
    return runs


def _redrawn(path: Path, output: Path, manifest: dict[str, Any]) -> Replayed:
    """Check the journals of an unpacked bundle, and draw everything again."""
    runs = _verified(path, output)
    packed = sorted(name for name in manifest["files"] if name in (RESULTS, SUMMARY) or name.startswith(f"{FIGURES}/"))
    try:
        draw_all(output / JOURNALS, output / REDRAWN, manifest.get("reference"))
    except (DataMissing, DataCorrupt) as error:
        needed = ", ".join(f"{name} (SHA-256 {sum_})" for name, sum_ in sorted(manifest["data"].items()))
        return Replayed(output, tuple(runs), (), (), f"{error}\nthe bundle was drawn with {needed}")
    same = {name: _same(output / name, output / REDRAWN / name) for name in packed}
    return Replayed(output, tuple(runs), tuple(n for n in packed if same[n]), tuple(n for n in packed if not same[n]))


def _same(first: Path, second: Path) -> bool:
    return second.is_file() and first.read_bytes() == second.read_bytes()


def _read_manifest(path: Path) -> dict[str, Any]:
    """Return the manifest of an archive whose members are all as it says; raises DataCorrupt."""
    sums = archives.sums(path)
    try:
        content = archives.read(path, MANIFEST, LONGEST_MANIFEST) or b""
        manifest: dict[str, Any] = json.loads(b"" if files.is_dense([content]) else content)
        expected = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        known = manifest["format"] == BUNDLE_FORMAT and isinstance(manifest["data"], dict)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataCorrupt(f"{path} is no bundle of a study: {MANIFEST} is not in it or cannot be read") from None
    if not known:
        raise DataCorrupt(
            f"{path} is a bundle of format {manifest['format']!r}, this kit reads {BUNDLE_FORMAT}: update the kit"
        )
    del sums[MANIFEST]
    wrong = [name for name in sorted({*sums, *expected}) if sums.get(name) != expected.get(name)]
    if wrong:
        raise DataCorrupt(f"{path}: not as its manifest says: {', '.join(wrong[:10])}; get the bundle again")
    if HEADS not in sums:
        raise DataCorrupt(f"{path} names no heads: {HEADS} is not in it")
    return manifest


def draw_all(journals: Path, target: Path, reference: str | None = None) -> None:
    """Write results.csv, summary.csv and the figures of the journals under a folder into `target`.

    `reference` is the arm that the others are compared with, where it is among them. Raises DataMissing without a
    table that the runs searched.
    """
    target.mkdir(parents=True, exist_ok=True)
    found = read_results(journals)
    named = reference if reference in set(found["arm"]) else None
    told = summary(found, named)
    places = [Path(path).relative_to(journals).as_posix() for path in found["journal"]]
    for name, frame in ((RESULTS, found.assign(journal=places)), (SUMMARY, told)):
        files.write_whole(target / name, csv_of(frame), private=True)
    judged = found[found["reason"].notna() & found["rank"].notna()]
    if len(judged):
        ranks = curves(judged)
        save_figure(rank_curves(ranks), target / FIGURES, "rank_curves", ranks)
        for title, ending, part in _parts(judged):
            _draw_arms(part, told, named, title, f"arm_ranks{ending}", target / FIGURES)
            if "hypervolume" in part:
                _draw_fronts(part, ending, target / FIGURES)


def _draw_arms(
    part: pd.DataFrame, told: pd.DataFrame, reference: str | None, title: str, name: str, folder: Path
) -> None:
    expected = told.loc[told["benchmark"] == part["benchmark"].iloc[0], "random_rank"]
    expected_random = float(expected.iloc[0]) if expected.nunique() == 1 else None
    figure = arm_ranks(part, expected_random, reference if reference in set(part["arm"]) else None, title)
    save_figure(figure, folder, name, marked(part.copy(), part).drop(columns="journal"))


def _draw_fronts(part: pd.DataFrame, ending: str, folder: Path) -> None:
    """Draw the fronts of runs with several objectives, and the share of the table's hypervolume that they find."""
    runs = study_runs(part[part["hypervolume"].notna()])
    shares = share_curves(runs)
    save_figure(pareto_front_figure(runs), folder, f"pareto_front{ending}", front_table(runs))
    save_figure(hypervolume_figure(runs, shares), folder, f"hypervolume{ending}", shares)


def _parts(found: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield title, ending of file names and runs of each benchmark, model and prompt; other arms stand in each."""
    for benchmark, here in found.groupby("benchmark", sort=False):
        asked = here[here["model"].notna()]
        pairs = [tuple(pair) for pair in asked[["model", "prompt"]].drop_duplicates().itertuples(index=False)]
        for model, prompt in pairs or [("", "")]:
            same = (here["model"] == model) & (here["prompt"] == prompt)
            several = [str(word) for word in (model, prompt) if len(pairs) > 1]
            title = ", ".join([title_of(str(benchmark)), *map(shown_model, several)])
            ending = "".join(f"_{re.sub(r'[^A-Za-z0-9]+', '-', word)}" for word in (str(benchmark), *several))
            yield title, ending, here[same | here["model"].isna()]
