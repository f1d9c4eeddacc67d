"""Mutation testing of one module: `python -m tests.mutation replies`; needs `pip install mutmut` (3.8 or later).

The module is changed in one place at a time, in a copy of the repository, and its own tests are run: a change that
they do not notice is printed. `docs/testing.md` explains those that are left.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
QUICK_REPLIES = (
    "not long_replies and not takes_long and not leave and not printed_form and not written_reply and not journal"
)
TESTS = {
    "replies": (["tests/test_replies.py", "tests/test_fuzz.py"], QUICK_REPLIES),
    "reasoning": (["tests/test_replies.py", "tests/test_fuzz.py"], QUICK_REPLIES),
    "benchmarks/base": (["tests/test_benchmarks.py"], ""),
    "statistics": (["tests/test_statistics.py"], ""),
    "journal/chain": (["tests/test_chain.py", "tests/test_verify.py"], "not every_byte and not commands"),
    "journal/journal": (
        ["tests/test_journal.py", "tests/test_chain.py", "tests/test_search.py"],
        "not at_every_byte and not of_the_last_record",
    ),
}
"""The tests of each module, and which of them are run (pytest's -k): those that repeat the others at length are not."""

CONFIGURATION = """
[tool.mutmut]
source_paths = ["genius_kit"]
only_mutate = ["genius_kit/{module}.py"]
also_copy = ["genius_kit"]
pytest_add_cli_args = {arguments}
pytest_add_cli_args_test_selection = {tests}
"""
VERDICTS = {0: "survived", 33: "no test runs it", 5: "no test runs it"}


def main() -> None:
    """Run the mutants of a module, and print how many its tests kill and what the others changed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", choices=TESTS)
    parser.add_argument("--work", type=Path, help="folder for the copy; a run goes on from what is in it")
    parser.add_argument("--children", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    options = parser.parse_args()
    if importlib.util.find_spec("mutmut") is None:
        sys.exit("this needs mutmut: pip install 'mutmut>=3.8'")
    work = options.work or Path(tempfile.mkdtemp(prefix="mutation-"))
    copy_repository(work, options.module)
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(options.children)]
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    subprocess.run(command, cwd=work, env=environment, check=True)
    report(work, options.module)


def copy_repository(work: Path, module: str) -> None:
    """Put the package, its tests and a configuration for `module` into `work`."""
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for folder in ("genius_kit", "tests"):
        shutil.rmtree(work / folder, ignore_errors=True)
        shutil.copytree(REPOSITORY / folder, work / folder, ignore=ignored)
    tests, chosen = TESTS[module]
    arguments = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow and not full and not alone"]
    arguments += ["--hypothesis-seed=0"]
    arguments += ["-k", chosen] if chosen else []
    configuration = CONFIGURATION.format(module=module, tests=json.dumps(tests), arguments=json.dumps(arguments))
    (work / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text() + configuration)


def report(work: Path, module: str) -> None:
    """Print the figures of a finished run and the change of every mutant that was not killed."""
    found = json.loads((work / "mutants" / "genius_kit" / f"{module}.py.meta").read_text())["exit_code_by_key"]
    verdicts = {name: VERDICTS.get(code, "killed") for name, code in found.items()}
    counts = Counter(verdicts.values())
    for name, verdict in verdicts.items():
        if verdict != "killed":
            shown = subprocess.run(
                [sys.executable, "-m", "mutmut", "show", name], cwd=work, capture_output=True, text=True, check=True
            )
            changed = [
                line for line in shown.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
            ]
            print(f"{verdict}: {name}", *changed, sep="\n  ")
    print(f"{module}: {counts['killed']} of {len(verdicts)} killed, {100 * counts['killed'] / len(verdicts):.1f} %")


if __name__ == "__main__":
    main()
