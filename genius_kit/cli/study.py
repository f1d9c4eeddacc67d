"""The commands of studies: `genius-kit study` runs one, `genius-kit slurm` writes the script for a cluster."""

from __future__ import annotations

import math
import re
import shlex
import sys
import textwrap
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from genius_kit import files
from genius_kit.benchmarks.noise import describe
from genius_kit.cli import options
from genius_kit.cli.commands import ends_at_once, print_table, tell_stand_in
from genius_kit.cli.estimate import ask_first
from genius_kit.errors import InvalidParameter, StudyFailed
from genius_kit.journal import read_run
from genius_kit.journal.verify import write_heads
from genius_kit.pools import dask_executor
from genius_kit.prompts.base import sandbox
from genius_kit.proposers.methods import shown_model, stand_in_note
from genius_kit.studies.estimate import WIDTH, estimate_study
from genius_kit.studies.file import keep_study_file, load_study
from genius_kit.studies.models import asked_models, model_table
from genius_kit.studies.plan import Study
from genius_kit.studies.results import results_of, summary
from genius_kit.studies.run import places, run_study
from genius_kit.texts import UNKNOWN, csv_of, is_known, p_text, say
from genius_kit.verdicts.every import study_verdicts
from genius_kit.verdicts.tradeoffs import has_fronts, tradeoff_table

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(rich_markup_mode="rich")

SEARCHED = {"n": "n", "mean_rank": "mean rank (95 %)", "worth_random": "worth", "ratio": "ratio", "p_value": "p"}
WEIGHED = {"n": "n", "hypervolume": "hypervolume (95 %)", "gain": "gain (95 %)", "p_value": "p"}
MODELS = {"n": "n", "mean_rank": "mean rank (95 %)", "cost_a_run": "$ per run", "ratio": "ratio (95 %)", "p_value": "p"}
SERVED = {"served": "served as", "first_run": "first run", "last_run": "last run", "unfinished": "unfinished"}
"""What a study's tables show, by the column of the frame."""

ENDS = {"mean_rank": ("low", "high"), "hypervolume": ("low", "high"), "gain": ("gain_low", "gain_high"),
        "ratio": ("ratio_low", "ratio_high")}  # fmt: skip
"""The columns of an interval, where the frame has one."""

SHARED = {"model": "{}", "prompt": "prompt {}", "budget": "{} evaluations per search",
          "random_rank": "rank of random search {:,.0f}"}  # fmt: skip
"""What stands above a table where all of its rows have it in common."""


@app.command(epilog="Example: genius-kit study does-it-search --models gpt-6.1-sol --max-tokens 2000 --seeds 40")
@options.grouped
def study(
    file: options.StudyFile,
    output: options.Studies = Path("studies"),
    workers: Annotated[int | None, Option(min=1, help="Runs side by side; by default one per core.")] = None,
    dask: Annotated[str | None, Option(help="Address of a Dask scheduler whose workers run it.")] = None,
    shard: Annotated[str | None, Option(help="I/N: only every N-th run, from run I (counted from 0).")] = None,
    *,
    said: options.StudyOptions,
    money: options.RunLimitOptions,
    consent: options.ConsentOptions,
) -> None:
    """Run a study and print its summary. The same command again resumes what is unfinished."""
    loaded = load_study(file, **said.settings()).with_money(money.limits, money.allow_unpriced, money.reuse)
    if any(arm.talks for arm in loaded.arms):
        ask_first(estimate_study(loaded, output), consent)
    error: StudyFailed | None = None
    try:
        with ends_at_once("the same command again resumes what is unfinished"):
            _run(loaded, output, workers, dask, shard)
    except StudyFailed as failed:
        error = failed
    try:
        _report(loaded, output)
        keep_study_file(file, Path(output) / loaded.name, said.settings())
    finally:
        if error is not None:
            say(f"genius-kit: {error}", file=sys.stderr)
    if error is not None:
        raise typer.Exit(3 if error.only_model else 4 if error.only_limits else 1)


def _run(loaded: Study, output: Path, workers: int | None, dask: str | None, shard: str | None) -> None:
    with dask_executor(dask) if dask else nullcontext((None, workers)) as (executor, side_by_side):
        run_study(loaded, output, executor=executor, workers=side_by_side, shard=shard)


def _report(loaded: Study, output: Path) -> None:
    """Write results.csv and summary.csv of all runs there are by now, other shards' included, and print the summary."""
    folder = files.make_folder(Path(output) / loaded.name)
    with files.explained(folder / "results.csv"), files.locked(files.lock_of(folder / "results.csv")):
        # the last shard to write has seen the runs of all
        found = results_of(*places(loaded, output))
        arms = set(found.loc[found["reason"].notna() & found["rank"].notna(), "arm"])
        told = summary(found, loaded.reference if loaded.reference in arms else None)
        for name, frame in (("results", found), ("summary", told)):
            files.write_whole(folder / f"{name}.csv", csv_of(frame), private=True)
        write_heads(folder)
    if len(found):
        _print_tables(found, told)
        _print_limits(found)
        _print_only_fallbacks(found)
        tell_stand_in(found["model"])
    say(f"{len(found)} runs, {folder / 'results.csv'}; {folder / 'summary.csv'}")


def _print_tables(found: pd.DataFrame, told: pd.DataFrame) -> None:
    """Print the summary, and the shares of the front or the table of the models where the study has those."""
    _print_table(told.assign(arm=told["method"]), SEARCHED)
    say("mean rank: of the best found, 1 is best; worth: random evaluations as good;")
    say("ratio: rank over that of the reference arm, above 1 is worse\n")
    if has_fronts(found):
        table = tradeoff_table(found)
        _print_table(table.assign(arm=table["method"]), WEIGHED)
        say("hypervolume: share of the table's; gain: over random search\n")
    if len(asked_models(found)) > 1:
        table = model_table(found)
        table = table.assign(arm=table["model"].map(shown_model))
        _print_table(table, MODELS)
        _print_table(table, SERVED)


def _print_table(table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """Print one table per benchmark: what its rows have in common stands above it."""
    import pandas as pd

    table = table.assign(model=table["model"].map(shown_model, na_action="ignore"))
    for benchmark, rows in table.groupby("benchmark", sort=False):
        values = {name: list(rows[name].dropna().unique()) for name in SHARED if name in rows}
        common = [SHARED[name].format(found[0]) for name, found in values.items() if len(found) == 1]
        apart = [name for name, found in values.items() if len(found) > 1 and name != "random_rank"]
        if (rows["arm"] == rows["model"]).all():
            apart = [name for name in apart if name != "model"]
        say(_filled(f"{benchmark}: {', '.join(common)}" if common else str(benchmark)))
        shown = {name: name for name in ["arm", *apart]} | {
            name: heading for name, heading in columns.items() if name in rows and rows[name].notna().any()
        }
        records = [
            {heading: _cell(row, name, heading) for name, heading in shown.items()} for row in rows.to_dict("records")
        ]
        print_table(pd.DataFrame(records))
        say()


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _cell(row: Mapping[Any, Any], name: str, heading: str) -> str:
    """Return a value as it is printed, with its interval where the heading names one."""
    value = row[name]
    if name == "p_value":
        return p_text(value)
    if not isinstance(value, float) or math.isnan(value):
        return str(value) if is_known(value) or isinstance(value, str) else UNKNOWN
    low, high = (row.get(end, math.nan) for end in ENDS.get(name, ("", "")))
    if "95 %" not in heading or math.isnan(low):
        return _short(value)
    return f"{_short(value)} ({_short(low)} to {_short(high)})"


def _print_limits(found: pd.DataFrame) -> None:
    """Print what each table's noise leaves undecided, and every verdict that the study allows."""
    from genius_kit.benchmarks.catalogue import recorded_benchmark

    for journal in found.drop_duplicates("benchmark")["journal"]:
        say(_filled(describe(recorded_benchmark(read_run(journal).settings))))
    for verdict in study_verdicts(found):
        _print_verdict(verdict)
    say()


def _print_verdict(verdict: Any) -> None:
    """Print a verdict as a headline and the table of its comparisons, or the sentence on what it lacks."""
    say("\n" + _filled(verdict if isinstance(verdict, str) else verdict.headline()))
    if not isinstance(verdict, str) and len(table := verdict.contrasts()):
        print_table(table)


def _print_only_fallbacks(found: pd.DataFrame) -> None:
    """Say of each arm in how many of its runs no reply of the model was taken."""
    suspect = (found["fallbacks"] > 0) & (found["model_proposals"] == 0)
    lost = [flag and read_run(path).only_fallbacks for flag, path in zip(suspect, found["journal"], strict=True)]
    for keys, group in found.assign(lost=lost).groupby(["benchmark", "arm", "model", "prompt"], sort=False):
        if group["lost"].any():
            arm = ", ".join(map(str, keys))
            say(
                f"No reply was taken in {group['lost'].sum()} of {len(group)} runs of {arm}: all that they evaluated "
                "are random fallbacks, which are no evidence about the model.\n"
            )


def _short(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


@app.command(epilog="Example: genius-kit slurm optimisers --shards 8 | sbatch")
def slurm(
    file: options.StudyFile,
    shards: Annotated[int, Option(min=1, help="Jobs of the array; each runs its part of the study.")],
    output: options.Studies = Path("studies"),
    gpus: Annotated[int, Option(min=0, help="GPUs per job; none by default.")] = 0,
    cpus: Annotated[int, Option(min=1, help="Cores per job.")] = 1,
    memory: Annotated[str, Option(help="Memory per job, as Slurm writes it.")] = "4G",
    hours: Annotated[float, Option(min=0.02, help="Time limit of a job.")] = 12,
    yes: options.Yes = False,
) -> None:
    """Print the script that runs a study as a Slurm job array: `genius-kit slurm FILE --shards 8 | sbatch`.

    The study is checked first. A job that is stopped after --hours goes on when it is sent again; --yes consents to
    what the study may cost, since a job has no terminal on which to ask.
    """
    if not re.fullmatch(r"[1-9]\d*[KMGT]?", memory):
        raise InvalidParameter(f"memory must be a number with K, M, G or T, such as 4G, got {memory!r}")
    loaded = load_study(file)
    named: Any = Path(file).resolve() if Path(file).is_file() else file
    template = (Path(__file__).parent.parent / "templates" / "study.sbatch.j2").read_text(encoding="utf-8")
    script = sandbox(keep_trailing_newline=True, lstrip_blocks=False).from_string(template)
    text = script.render(
        study=loaded.name,
        note=stand_in_note(task.settings.get("model") for task in loaded.plan()),
        last=shards - 1,
        shards=shards,
        gpus=gpus,
        cpus=cpus,
        memory=memory,
        minutes=max(1, round(hours * 60)),
        programs=shlex.quote(str(Path(sys.executable).parent)),
        file=shlex.quote(str(named)),
        output=shlex.quote(str(Path(output).resolve())),
        yes=yes,
    )
    say(text, end="")
