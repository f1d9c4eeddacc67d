"""Every command and block of Python that the pages print: what each needs, and a run of those that need nothing.

`python -m tests.printed_commands FOLDER` runs the README's first command into FOLDER, checks its pages, and then runs
every other printed command and block that needs no extra, no data and no person, with the stand-in in place of a model,
in an environment that holds only what `pip install -e .` installs (this file imports nothing of the extras, so no
pytest). `FOLDER README.md docs/tutorial.md` runs those of the README and the tutorial only. `--list` prints them all.
"""

from __future__ import annotations

import ast
import functools
import importlib
import itertools
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from markdown_it import MarkdownIt
from typer.main import get_command

from genius_kit import extras
from genius_kit.benchmarks import catalogue
from genius_kit.benchmarks.catalogue import missing_data
from genius_kit.cli import commands as cli
from genius_kit.reports.parameters import needs_of, notebooks_in, read_notebook
from genius_kit.studies.file import load_study, study_names

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("genius-kit", "python", "torchrun", "pip")
UsageError = typer.BadParameter.__mro__[1]  # of the click that this typer brings

EXTRA_OF = {("--dask",): "dask", ("detect",): "detection"}
"""The words of a command that only an extra lets run."""

SHORTER = {
    "study": "--seeds 2 --budget 2",
    "run": "--runs 1 --budget 2",
    "train": "--set epochs=1",
    "training": "--repeats 1 --warmup 0 --batch-size 2 --image-size 64",
    "benchmark build": "--samples 100 --seeds 1 --epochs 1 --operations none,conv_3 --workers 2",
    "benchmark check": "--cells 1",
}
"""What is added to a command so that its run takes seconds; it is the printed one for the rest."""

HERE = "nas-bench-201-cifar10"
"""The table that comes with the package: a study over tables that are not here is run on it."""

DATA, KEY = "the data", "a key"

SET_UP = f"""import genius_kit as gk
benchmark = gk.load_benchmark("{HERE}")
proposer = gk.make_proposer("llm", benchmark.space)
run = gk.search(benchmark, proposer, journal="runs/a.jsonl", progress=False)
"""
"""What the blocks of a page go on from, and the journal that its commands name."""


@dataclass(frozen=True)
class Printed:
    """A piece of code on a page. `is_whole` is false within a sentence, where a command may lack its arguments."""

    page: str
    line: int
    text: str
    is_whole: bool
    is_python: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[Path]:
    """Return every page with commands on it, the README first."""
    more = [ROOT / "docs", ROOT / "data", ROOT / "data" / "private", ROOT / "notebooks"]
    return [
        ROOT / "README.md",
        *(path for folder in more for path in sorted(folder.glob("*.md")) + sorted(folder.glob("*.ipynb"))),
    ]


def printed_on(page: Path) -> Iterator[Printed]:
    """Yield the code of one page, in order."""
    name = page.relative_to(ROOT).as_posix()
    if page.suffix == ".md":
        yield from printed_in(page.read_text(encoding="utf-8"), name)
        return
    for number, cell in enumerate(read_notebook(page).cells):
        if cell.cell_type == "code":
            yield Printed(name, number, cell.source, True, is_python=True)
        else:
            yield from printed_in(cell.source, name)


def printed_in(text: str, page: str) -> Iterator[Printed]:
    """Yield the code in a Markdown text: lines of commands, blocks of Python, and what stands within sentences."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "fence" and token.info == "python":
            yield Printed(page, line, token.content, True, is_python=True)
        elif token.type == "code_block" or (token.type == "fence" and token.info in ("", "bash")):
            for number, one in enumerate(token.content.splitlines()):
                yield Printed(page, line + number, one.strip(), True)
        for child in token.children or ():
            if child.type == "code_inline":
                yield Printed(page, line, " ".join(child.content.split()), False)


def commands_in(printed: Printed) -> Iterator[list[str]]:
    """Yield the words of each of our commands in a printed line, which may join several."""
    if printed.is_python or not printed.text.startswith(PROGRAMS):
        return
    for part in re.split(r" && | \| ", printed.text):
        words = [word for word in shlex.split(part, comments=True) if word != "..."]
        if words and ours(words):
            yield words


def ours(words: Sequence[str]) -> bool:
    """Return whether it is a command of the kit; `python -m tests.fuzz` and the like are not."""
    module = words[2] if words[:2] == ["python", "-m"] and len(words) > 2 else ""
    is_program = words[0] in ("genius-kit", "torchrun") or words[:2] == ["pip", "install"]
    return is_program or module.startswith(("genius_kit", "tests.speed"))


# What a command says


@dataclass(frozen=True)
class Command:
    """A command as the program reads it: its name, such as "data fetch", and its parameters by name."""

    name: str
    given: dict[str, Any]
    is_complete: bool = True


def parse(words: Sequence[str]) -> Command:
    """Return what our program reads in a command; raises UsageError or ValueError where it would refuse it."""
    program, *rest = words
    if program == "genius-kit":
        return read_by(cli.app, rest)
    if program == "torchrun":
        return read_by_torchrun(rest)
    if program == "python":
        module = rest[1]
        app = cli.app if module == "genius_kit" else importlib.import_module(module).app
        return read_by(app, rest[2:])
    for extra in installed_by(words):
        if extra not in extras.PURPOSES:
            raise ValueError(f"there is no extra {extra!r}; the known ones are {', '.join(extras.PURPOSES)}")
    return Command("pip", {})


@functools.cache
def command_of(app: typer.Typer) -> Any:
    """Return the command of a typer app, with all commands below it."""
    command: Any = get_command(app)
    if app is cli.app:
        command.commands = {name: cli.loaded(name) for name in cli.COMMANDS}
    return command


def read_by(app: typer.Typer, words: Sequence[str]) -> Command:
    """Return what a typer app reads in the words after its name."""
    command = command_of(app)
    names, left = [], list(words)
    while hasattr(command, "commands"):
        if not left:
            return Command(" ".join(names), {}, is_complete=False)
        name = left.pop(0)
        if name not in command.commands:
            raise ValueError(
                f"there is no command {' '.join([*names, name])!r}; the commands are {', '.join(command.commands)}"
            )
        names.append(name)
        command = command.commands[name]
    try:
        return Command(" ".join(names), command.make_context(names[-1], left).params)
    except UsageError as error:
        if type(error).__name__ == "MissingParameter" or "requires an argument" in str(error):
            return Command(" ".join(names), {}, is_complete=False)
        raise


def read_by_torchrun(words: Sequence[str]) -> Command:
    from torch.distributed.run import get_args_parser

    try:
        read = get_args_parser().parse_args([*words])
    except SystemExit:
        raise ValueError(f"torchrun does not know these options: {shlex.join(words)}") from None
    return parse(["python", "-m", read.training_script, *read.training_script_args])


def installed_by(words: Sequence[str]) -> list[str]:
    """Return the extras that a pip command installs."""
    if words[0] != "pip":
        return []
    return [name for word in words for found in re.findall(r"\[(.+)\]", word) for name in found.split(",")]


@functools.cache
def options() -> frozenset[str]:
    """Return every option of every command."""
    known: set[str] = {"--help"}
    waiting: list[Any] = [command_of(cli.app)]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        known |= {name for parameter in command.params for name in parameter.opts}
    return frozenset(known)


# What it needs


def extras_needed(words: Sequence[str]) -> list[str]:
    """Return the extras without which a command, or the part of one, does not run."""
    return [extra for known, extra in EXTRA_OF.items() if known in {*zip(words), *itertools.pairwise(words)}]


def needs(words: Sequence[str], command: Command) -> str:
    """Return what a machine lacks on which only `pip install -e .` was run, "" where that is nothing."""
    given = command.given
    if command.name == "pip":
        return "a registry of packages"
    if needed := extras_needed(words):
        return f"the extra {needed[0]}"
    if not command.is_complete:
        return "its arguments"
    if command.name in ("lab", "data fetch", "data import") or given.get("approve") or given.get("pdf"):
        return {"lab": "a browser", "data fetch": "a network", "data import": "the files"}.get(command.name, "a person")
    if not command.name.startswith("estimate") and any(
        asks(model) for name in ("model", "models") for model in (given.get(name) or "").split(",")
    ):
        return KEY
    if command.name == "ctl" and given["command"] != "status":
        return "a run under way"
    if lacking := missing_data(data_of(command)):
        return f"{DATA} {', '.join(dict.fromkeys(lacking))}"
    unknown = [word for word in filled(words) if re.fullmatch(r"[A-Z]{2,}|.*\.(ya?ml|tfrecord|pth)", word)]
    return f"your {unknown[0]}" if unknown else ""


def asks(model: str) -> bool:
    """Return whether a model is one of a server."""
    return model not in ("", "offline") and not model.startswith("reciter:")


def data_of(command: Command) -> list[str]:
    """Return the tables and files that a command reads."""
    given = command.given
    if command.name == "replay" and given["conversation"] in ("329M", "401M"):
        return [f"chat_history/{given['conversation']}.json"]
    if command.name == "report":
        chosen = given["names"] or ()
        every = [need for path in notebooks_in(ROOT / "notebooks", chosen) for need in needs_of(read_notebook(path))]
        return every if chosen or given["all_notebooks"] else []
    study, instead = given.get("file"), given.get("benchmarks")
    of_study = instead.split(",") if instead else load_study(study).benchmarks if study in study_names() else ()
    named = [given.get("benchmark"), *of_study]
    return [name for name in named if name in catalogue.table_names()]


FILE = "to be a file"
FILES = ("tiny",)
"""Modules that a page prints as files."""


def python_needs(block: str) -> str:
    """Return what a block needs beside the package: a key, for the model of a server; that it is a file."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ClassDef) and "gk.SearchSpace" in map(ast.unparse, node.bases):
            return FILE
        if isinstance(node, ast.keyword) and node.arg == "model" and asks(str(getattr(node.value, "value", ""))):
            return KEY
    return ""


def faults(printed: Printed, said: set[str]) -> list[str]:
    """Return what is wrong with a piece of code, with the extras that its page says how to get."""
    try:
        wrong = [f"the page does not say how to get the extra {extra}" for extra in unsaid(printed, said)]
        for words in commands_in(printed):
            command = parse(words)
            if printed.is_whole and not command.is_complete:
                wrong.append("it lacks an argument")
        if not printed.is_whole and (flag := re.match(r"--[a-z-]+", printed.text)) and flag[0] not in options():
            wrong.append(f"no command has the option {flag[0]}")
        for name in re.findall(r"\b(?:gk|genius_kit)(?:\.[A-Za-z_]+)+", printed.text):
            pkgutil.resolve_name(re.sub("^gk", "genius_kit", name))
        if printed.is_python:
            resolve_imports(printed.text)
    except (UsageError, ValueError, SyntaxError, ImportError, AttributeError) as error:
        wrong = [str(error)]
    return [f"{printed}: {one}" for one in wrong]


def unsaid(printed: Printed, said: set[str]) -> list[str]:
    """Return the extras that a command, or an option within a sentence, needs and the page does not say."""
    parts = [[*printed.text.split()]] if printed.text.startswith("--") else list(commands_in(printed))
    return [extra for words in parts for extra in extras_needed(words) if extra not in said]


def said_on(page: Sequence[Printed]) -> set[str]:
    """Return the extras that the commands of a page install."""
    return {extra for one in page for words in commands_in(one) for extra in installed_by(words)}


def modules_in(block: str) -> Iterator[str]:
    """Yield the modules and names that a block imports, with dots."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def resolve_imports(block: str) -> None:
    """Raise ImportError or AttributeError where a block imports what is not there."""
    for name in modules_in(block):
        if name.partition(".")[0] not in FILES:
            pkgutil.resolve_name(name)


# Running them


def clean_environment(home: Path) -> dict[str, str]:
    """Return the variables of a machine on which nothing was set: an empty home, no data, no key."""
    for name in ("home", "data"):
        (home / name).mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    return {"PATH": path, "HOME": str(home / "home"), "GENIUS_KIT_DATA": str(home / "data"), "LANG": "C.UTF-8"}


def first_command() -> list[str]:
    """Return the words of the README's first command after its `pip install`."""
    return next(words for one in printed_on(ROOT / "README.md") for words in commands_in(one) if words[0] != "pip")


def expected_pages() -> set[str]:
    """Return the pages that a report leaves on a machine without data: an index, one per notebook that needs none."""
    notebooks = notebooks_in(ROOT / "notebooks")
    return {"index.html"} | {f"{path.stem}.html" for path in notebooks if not needs_of(read_notebook(path))}


def filled(words: Sequence[str]) -> list[str]:
    """Return a command with the names of what is there in place of those that stand for a file of the reader's."""
    journal = Path("runs/a.jsonl")
    known = {"JOURNAL": str(journal), "RUN": str(journal), "runs/JOURNAL": str(journal)}
    secret = Path("my-signals/secret")
    if secret.is_file():
        known["SECRET"] = secret.read_text(encoding="ascii").strip()
    if journal.is_file():
        head = json.loads(journal.read_text(encoding="utf-8").splitlines()[-1])["chain"]
        known |= {word: head for word in words if re.fullmatch(r"[0-9a-f]{8}\.\.\.", word)}
    return [known.get(word, word) for word in words]


def shortened(words: Sequence[str], command: Command, need: str) -> list[str]:
    """Return a command with what makes it take seconds, and with the stand-in where it asks a model."""
    more = SHORTER.get(command.name, "").split()
    if need == KEY:  # without its limit of tokens: runs that differ in a setting alone are not bundled together
        words = [word for before, word in itertools.pairwise(["", *words]) if "--max-tokens" not in (before, word)]
        more += ["--model" if command.name in ("run", "memory") else "--models", "offline"]
    if command.name == "run" and command.given["benchmark"] == "train":
        more += ["--set", "epochs=1"]
    if command.name == "study" and missing_data(data_of(command)):
        more += ["--benchmarks", HERE]
    return [*filled(words), *more]


def told(words: Sequence[str], home: Path, environment: dict[str, str], name: str = "") -> str:
    """Run a command, called `name` where it is not to be shown; return what went wrong, "" where nothing did."""
    start = time.perf_counter()
    if words[:2] == ["python", "-m"] and words[2].startswith("tests."):  # those are typed in the checkout
        environment = {**environment, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words], cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=600, errors="replace"
    )
    shown = name or shlex.join(words)
    print(f"{time.perf_counter() - start:6.1f} s  exit {done.returncode}  {shown}", flush=True)
    return "" if done.returncode == 0 else f"{shown}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


def run_report(home: Path) -> list[str]:
    """Run the README's first command in `home`, and return what went wrong; every page has to be there."""
    words = [*first_command(), "--output", str(home / "report")]
    wrong = told(words, home, clean_environment(home))
    left = {path.name for path in (home / "report").glob("*.html")}
    return [*filter(None, [wrong]), *(f"{shlex.join(words)}: there is no {name}" for name in expected_pages() - left)]


def blocks_of(page: Iterable[Printed]) -> list[str]:
    """Return the blocks of Python of a page, with the stand-in in place of each model."""
    return [re.sub(r'\bmodel="[^"]+"', 'model="offline"', one.text) for one in page if one.is_python]


def run_others(home: Path, chosen: Sequence[str]) -> list[str]:
    """Run every other command and block of the pages that needs nothing, in order, and return what went wrong."""
    environment, seen = clean_environment(home), {shlex.join(first_command())}
    begun = blocks_of(printed_on(ROOT / "README.md"))  # what the other pages go on from, and the journal they name
    wrong = [told(["python", "-c", "\n".join(begun)], home, environment, "the Python of README.md")]
    for page in (page for page in pages() if not chosen or page.relative_to(ROOT).as_posix() in chosen):
        printed = list(printed_on(page))
        for words in (words for one in printed for words in commands_in(one)):
            command, text = parse(words), shlex.join(words)
            need = needs(words, command)
            if text not in seen and (need in ("", KEY) or (need.startswith(DATA) and command.name == "study")):
                wrong.append(told(shortened(words, command, need), home, environment))
            seen.add(text)
        own = any(one.is_python and python_needs(one.text) == FILE for one in printed)  # see tests/test_new_space.py
        if page.suffix == ".md" and not own and (blocks := blocks_of(printed)) not in ([], begun):
            script = re.sub(r"budget=(?!10)\d+", "budget=2", "\n".join([*begun, *blocks]))
            wrong.append(told(["python", "-c", script], home, environment, f"the Python of {page.name}"))
    return [*filter(None, wrong)]


def listing() -> Iterator[str]:
    """Yield a line for each printed command and block: where it stands and what it needs."""
    for page in pages():
        for one in printed_on(page):
            found = [(needs(words, parse(words)), shlex.join(words)) for words in commands_in(one)]
            if one.is_python:
                found = [(python_needs(one.text), one.text.splitlines()[0])]
            yield from (f"{f'{one.page}:{one.line}':34s} {need or 'nothing':28s} {text}" for need, text in found)


def main(arguments: Sequence[str]) -> int:
    """Run it all or the named pages, or with `--list` print what it would be; return the exit code."""
    if arguments == ["--list"]:
        print("\n".join(listing()))
        return 0
    home, chosen = Path(arguments[0]).resolve(), arguments[1:]
    if unknown := {*chosen} - {page.relative_to(ROOT).as_posix() for page in pages()}:
        sys.exit(f"there is no page {min(unknown)}")
    if more := [name for packages in extras.extras().values() for name, is_here in packages.items() if is_here]:
        sys.exit(f"this is for an environment of `pip install -e .` alone, but {more[0]} is here; only extras bring it")
    os.environ.update(clean_environment(home))
    os.chdir(home)
    wrong = [*run_report(home), *run_others(home, chosen)]
    print("\n\n".join([*wrong, f"{len(wrong)} printed commands failed" if wrong else "every printed command works"]))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
