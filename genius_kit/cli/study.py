"""The commands of studies: `genius-kit study` runs one, `genius-kit slurm` writes the script for a cluster."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from genius_kit import files
from genius_kit.benchmarks.noise import describe
from genius_kit.cli import options
from genius_kit.cli.commands import ends_at_once, tell_stand_in
from genius_kit.cli.estimate import ask_first
from genius_kit.errors import InvalidParameter, StudyFailed
from genius_kit.journal import read_run
from genius_kit.journal.verify import write_heads
from genius_kit.pools import dask_executor
from genius_kit.prompts.base import sandbox
from genius_kit.proposers.methods import STAND_IN, shown_model, stand_in_note
from genius_kit.studies.estimate import estimate_study
from genius_kit.studies.file import keep_study_file, load_study
from genius_kit.studies.models import asked_models, model_table
from genius_kit.studies.plan import Study
from genius_kit.studies.results import results_of, summary
from genius_kit.studies.run import places, run_study
from genius_kit.verdicts.every import study_sentences
from genius_kit.verdicts.tradeoffs import has_fronts, tradeoff_table

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(rich_markup_mode="rich")

SHOWN = ("benchmark", "arm", "model", "prompt", "budget", "n", "mean_rank", "low", "high", "top_percent", "random_rank")
COMPARED = ("worth_random", "worth_gp", "ratio", "p_value", "own_share")
WEIGHED = (
    *SHOWN[:6], "hypervolume", "low", "high", "random", "gain", "gain_low", "gain_high", "p_value", "repeated",
)  # fmt: skip
MODELS = (
    "benchmark", "model", "served", "prompt", "first_run", "last_run", "n", "unfinished", "mean_rank", "low", "high",
    "worth_random", "cost", "cost_a_run", "pairs", "ratio", "ratio_low", "ratio_high", "p_value",
)  # fmt: skip


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
            print(f"genius-kit: {error}", file=sys.stderr)
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
            files.write_whole(folder / f"{name}.csv", frame.to_csv(index=False))
        write_heads(folder)
    if len(found):
        _print_tables(found, told)
        _print_limits(found)
        _print_only_fallbacks(found)
        tell_stand_in(found["model"])
    print(f"{len(found)} runs, {folder / 'results.csv'}; {folder / 'summary.csv'}")


def _print_tables(found: pd.DataFrame, told: pd.DataFrame) -> None:
    """Print the summary, and the shares of the front or the table of the models where the study has those."""
    _print_table(told, (*SHOWN, *COMPARED))
    if has_fronts(found):
        _print_table(tradeoff_table(found), WEIGHED)
    if len(asked_models(found)) > 1:
        _print_table(model_table(found), MODELS)


def _print_table(table: pd.DataFrame, columns: Sequence[str]) -> None:
    named = table.assign(arm=table["method"], model=table["model"].map(shown_model, na_action="ignore"))
    if set(table["model_kind"].dropna()) == {STAND_IN}:  # the arms say so
        named["model"] = None
    shown = [name for name in columns if named[name].notna().any()]
    print(named[shown].to_string(index=False, na_rep="-", float_format=_short), end="\n\n")


def _print_limits(found: pd.DataFrame) -> None:
    """Print what each table's noise leaves undecided, and every verdict that the study allows."""
    from genius_kit.benchmarks.catalogue import recorded_benchmark

    for journal in found.drop_duplicates("benchmark")["journal"]:
        print(describe(recorded_benchmark(read_run(journal).settings)))
    for sentence in study_sentences(found):
        print(f"\n{sentence}")
    print()


def _print_only_fallbacks(found: pd.DataFrame) -> None:
    """Say of each arm in how many of its runs no reply of the model was taken."""
    suspect = (found["fallbacks"] > 0) & (found["model_proposals"] == 0)
    lost = [flag and read_run(path).only_fallbacks for flag, path in zip(suspect, found["journal"], strict=True)]
    for keys, group in found.assign(lost=lost).groupby(["benchmark", "arm", "model", "prompt"], sort=False):
        if group["lost"].any():
            arm = ", ".join(map(str, keys))
            print(
                f"No reply was taken in {group['lost'].sum()} of {len(group)} runs of {arm}: all that they evaluated "
                "are random fallbacks, which are no evidence about the model.\n"
            )


def _short(value: float) -> str:
    if 0 < abs(value) < 0.001:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


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
        raise InvalidParameter(f"memory {memory!r} came; expected a number with K, M, G or T, such as 4G")
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
    print(text, end="")
