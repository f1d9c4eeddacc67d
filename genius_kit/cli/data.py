"""The commands of what is on a machine: `genius-kit doctor`, `data` (published files), `benchmark` (tables made)."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from genius_kit import extras
from genius_kit.benchmarks import downloads, list_benchmarks
from genius_kit.benchmarks.own.folder import SPACE_FILE
from genius_kit.benchmarks.own.found import add_file, add_folder, is_published_file
from genius_kit.benchmarks.private import add_table
from genius_kit.budget.prices import edition
from genius_kit.cli.commands import ends_at_once, print_table
from genius_kit.errors import InvalidParameter, ModelError
from genius_kit.files import data_folder
from genius_kit.llm.connection import Connection
from genius_kit.private import builds
from genius_kit.private.cards import agreement_of, card_text
from genius_kit.private.draws import RECIPE, SAMPLES, drawn_plan, promising_secret
from genius_kit.private.signals import KINDS, SignalTask, new_secret
from genius_kit.private.tables import PrivatePlan, read_table
from genius_kit.private.training import SignalRecipe
from genius_kit.redaction import mask
from genius_kit.spaces.signal_cell import DEFAULT_OPERATIONS, OPERATIONS
from genius_kit.studies.estimate import WIDTH
from genius_kit.studies.folders import EXAMPLE, check_folder, init_folder
from genius_kit.texts import in_line, say

PACKAGES = ("genius-kit", "torch", "torchvision", "timm", "openai", "jupyterlab", "ipywidgets", "papermill")
SERVER_SECONDS = 5.0
SHOWN_SOURCE = 24
"""Characters of a source that are shown: that of a private table names a seal of 64 signs."""

Folder = Annotated[Path, Argument(help="Folder of the build.")]
Table = Annotated[Path, Argument(help="A folder of your own, a table.json, or the folder of a build.")]

app = typer.Typer(rich_markup_mode="rich")
files = typer.Typer(
    epilog="Example: genius-kit data fetch",
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Get and check the published benchmark files.",
)
benchmark = typer.Typer(
    epilog="Example: genius-kit benchmark init my-table",
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Bring a table of your own, or make one that no model can have read.",
)
app.add_typer(files, name="data")
app.add_typer(benchmark, name="benchmark")


@app.command(epilog="Example: genius-kit doctor --base-url http://localhost:11434/v1")
def doctor(base_url: Annotated[str | None, Option(help="Server to try; else OPENAI_BASE_URL.")] = None) -> None:
    """Say what is installed, with which extras, which data and key are there, and whether the server answers."""
    import pandas as pd

    print_table(pd.DataFrame(findings(base_url), columns=["what", "found"]))
    if not list_benchmarks()["available"].all():
        say("\nmissing benchmarks: `genius-kit data fetch`, or `genius-kit data import DIR`")


def findings(base_url: str | None = None) -> Iterator[tuple[str, str]]:
    """Yield (what was looked at, what was found). A key is only ever said to be set or not."""
    for name in PACKAGES:
        yield name, _installed(name)
    yield "prices", "{file} {version} of {as_of}".format(**edition())
    yield "GPU", _gpu()
    for extra, packages in extras.extras().items():
        missing = [name for name, is_here in packages.items() if not is_here]
        lacking = f"missing ({', '.join(missing)}); {extras.how_to_get(extra)}" if missing else "available"
        yield f"extra {extra}", f"{extras.PURPOSES.get(extra, 'not used any more')}: {lacking}"
    for row in list_benchmarks().itertuples(index=False):
        yield str(row.name), "available" if row.available else "missing"
    yield "OPENAI_API_KEY", "set" if os.environ.get("OPENAI_API_KEY") else "not set (needed for OpenAI's server only)"
    url = base_url or os.environ.get("OPENAI_BASE_URL")
    yield "server", server_finding(url) if url else "none named; give --base-url or OPENAI_BASE_URL to try one"


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none (a CPU suffices for every tabular benchmark)"
    return ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))


def server_finding(url: str) -> str:
    """Return what the server says when it is asked for its models, over the connection that runs have."""
    try:
        connection = Connection(url, SERVER_SECONDS)
    except InvalidParameter as error:
        return str(error)
    try:
        models = connection.models()
    except ModelError as error:
        return f"no usable answer: {error}"
    finally:
        connection.close()
    return mask(f"answers at {connection.shown_url}; models: {', '.join(models[:5]) or 'none listed'}")


@files.command(epilog="Example: genius-kit data status")
def status(
    verbose: Annotated[bool, Option("--verbose", "-v", help="Print contents, licences, places.")] = False,
) -> None:
    """List the benchmarks and files, and what is there."""
    benchmarks, published = list_benchmarks(), downloads.status()
    benchmarks["state"] = benchmarks["available"].map({True: "available", False: "missing"})
    source = benchmarks["source"].map(lambda source: in_line(source, SHOWN_SOURCE))
    shown = benchmarks.assign(source=source, architectures=benchmarks["size"])
    print_table(shown[["name", "architectures", "state", "source"]])
    say()
    print_table(published[["name", "state", "megabytes"]])
    for row in published.to_dict("records") if verbose else ():
        say(f"\n{row['name']}")
        for field in ("contents", "licence", "address", "path"):
            text = f"  {field}: {row[field]}"
            say(textwrap.fill(text, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False))
    if not benchmarks["available"].all():
        say("\nwhat is missing: `genius-kit data fetch`, or `genius-kit data import DIR`")


@files.command(epilog="Example: genius-kit data fetch")
def fetch(names: Annotated[list[str] | None, Argument(help="Files; all by default.")] = None) -> None:
    """Download the published files and check their SHA-256."""
    with ends_at_once("the same command again fetches what is missing"):
        _tell_where(downloads.fetch(names or None))


@files.command("import", epilog="Example: genius-kit data import ~/genius-data")
def import_(folder: Annotated[Path, Argument(help="A folder that holds the published files.")]) -> None:
    """Copy the published files found in FOLDER and check their SHA-256."""
    _tell_where(downloads.import_folder(folder))


@files.command(epilog="Example: genius-kit data verify")
def verify() -> None:
    """Check the SHA-256 of every file that is here; exit code 1 when one is wrong."""
    print_table(downloads.verify()[["name", "state"]])


def _tell_where(names: list[str]) -> None:
    for name in names:
        say(f"here: {data_folder() / name}")


@benchmark.command(epilog="Example: genius-kit benchmark build my-signals")
def build(
    folder: Folder,
    name: Annotated[str | None, Option(help="What it is called; by default as its folder.")] = None,
    task: Annotated[
        str | None, Option(help=f"Choose what is told apart: {', '.join(KINDS)}; by default the secret does.")
    ] = None,
    samples: Annotated[int | None, Option(min=100, help="Signals of each part.")] = None,
    noise: Annotated[float | None, Option(min=0, help="Deviation of the noise; with --task.")] = None,
    operations: Annotated[str | None, Option(help=f"With --task: of {', '.join(OPERATIONS)}; with commas.")] = None,
    seeds: Annotated[int | None, Option(min=1, help="Trainings of each cell; 3 by default.")] = None,
    epochs: Annotated[
        int | None, Option(min=1, help="Passes over the training part; 3 by default, 5 with --task.")
    ] = None,
    pilot: Annotated[
        int, Option(min=0, help="Rows trained before, until a secret makes a sound table; 0 takes any secret.")
    ] = 40,
    workers: Annotated[int | None, Option(min=1, help="Processes; by default one a core.")] = None,
) -> None:
    """Train every cell of a small space that a fresh secret draws. The same command again resumes.

    The secret draws the task, the operations and their order, and the rules of the networks; with --task, --noise or
    --operations these are yours and it decides the signals only.
    """
    secret, known = None, builds.kept_plan(folder)
    if known is None:
        called = name or folder.resolve().name
        known = PrivatePlan(called, SignalTask(), SignalRecipe(), DEFAULT_OPERATIONS)
        if task is None and noise is None and operations is None:
            recipe = _changed(RECIPE, seeds=seeds, epochs=epochs)
            secret, known = _drawn(called, samples or SAMPLES, recipe, pilot)
    plan = replace(
        known,
        name=name or known.name,
        task=_changed(known.task, kind=task, samples=samples, noise=noise),
        recipe=_changed(known.recipe, seeds=seeds, epochs=epochs),
        operations=tuple(word.strip() for word in operations.split(",")) if operations else known.operations,
    )
    with ends_at_once("the same command again resumes it"):
        table = builds.build(plan, folder, secret=secret, workers=workers)
    say(f"{len(plan.cells()):,} cells: {table}")
    say(f"the secret is in {folder / 'secret'}: keep it, and tell it to nobody until you want to prove the table")


def _drawn(name: str, samples: int, recipe: SignalRecipe, rows: int) -> tuple[str, PrivatePlan]:
    """Return a fresh secret and what it draws: the first one whose pilot passes, any without a pilot."""
    secret = new_secret()
    plan = drawn_plan(name, secret, samples, recipe)
    for secret, plan, found in promising_secret(name, samples, recipe, rows) if rows else ():  # noqa: B007
        say(found)
    return secret, plan


def _changed(known: Any, **given: Any) -> Any:
    """Return `known` with the fields that were given."""
    return replace(known, **{name: value for name, value in given.items() if value is not None})


@benchmark.command(epilog="Example: genius-kit benchmark reveal my-signals")
def reveal(folder: Folder) -> None:
    """Print the secret of a build: from then on everybody can check its table, and train on its signals."""
    say(builds.secret_of(folder))


@benchmark.command(epilog="Example: genius-kit benchmark init my-table")
def init(folder: Annotated[Path, Argument(help="A new folder.")]) -> None:
    """Write a working example to replace with your own: a folder with its space, its task and its table."""
    init_folder(folder)
    say(f"{folder}: {', '.join(EXAMPLE)}")
    say(f"next: `genius-kit benchmark check {folder}`, then put your own in their place")


@benchmark.command(epilog="Example: genius-kit benchmark check my-table")
def check(
    table: Table,
    secret: Annotated[str | None, Option(help="The secret, where it was revealed.")] = None,
    seal: Annotated[str | None, Option(help="The seal as it was published elsewhere.")] = None,
    cells: Annotated[int, Option(min=0, help="With --secret: cells to train again and compare.")] = 4,
) -> None:
    """Check a folder of your own, every mistake with its line; or that no cell of a private table was altered.

    With the secret of a private table, also how it was made, some cells trained again.
    """
    is_own = table.is_dir() and ((table / SPACE_FILE).is_file() or not any(table.glob("*.json")))
    if is_own:
        say(*check_folder(table), sep="\n")
        return
    say(*builds.check_seal(table, seal), sep="\n")
    for line in builds.check_table(table, secret, cells) if secret else ():
        say(line)


@benchmark.command(epilog="Example: genius-kit benchmark stamp my-signals 'commit 1a2b3c of my paper, 2026-11-27'")
def stamp(table: Table, text: Annotated[str, Argument(help="Where its seal was shown, and when.")]) -> None:
    """Write into a table where its seal was shown and when: a commit, a DOI, the name of a proof file beside it."""
    say(f"{builds.stamp(table, text)}: {text}")


@benchmark.command(epilog="Example: genius-kit benchmark card my-signals")
def card(table: Table) -> None:
    """Print the data card of a table in Markdown: what it is made of, its noise, and what cheap guesses score on it."""
    say(card_text(read_table(table)))


@benchmark.command(epilog="Example: genius-kit benchmark compare my-signals other-signals")
def compare(first: Table, second: Table) -> None:
    """Print how two tables agree, row by row: by option numbers, and by operations where both have them."""
    found = agreement_of(read_table(first), read_table(second))
    say(f"by key: Spearman {found.by_key:.3f} (n = {found.keys:,} rows)")
    say(f"by operation: Spearman {found.by_meaning:.3f} (n = {found.meanings:,} rows that both tables have)")


@benchmark.command(epilog="Example: genius-kit benchmark add my-signals")
def add(table: Table) -> None:
    """Copy a whole table, or a folder of your own, into the data folder, from where it loads by its name.

    Of a file of NAS-Bench-101 (.tfrecord) or TransNAS-Bench-101 (.pth) that you have, each table becomes a folder.
    """
    if is_published_file(table):
        added = add_file(table)
    else:
        added = [add_folder(table) if (table / SPACE_FILE).is_file() else add_table(table)]
    for place in added:
        say(f"{place}: `genius-kit run {place.name.removesuffix('.json')}` searches it")
