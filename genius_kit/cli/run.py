"""The commands of runs: `genius-kit run`, `resume`, `ctl` and `memory`."""

from __future__ import annotations

import json
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from genius_kit.benchmarks import load_benchmark
from genius_kit.cli import options
from genius_kit.cli.commands import ENDED_EARLY, ONLY_FALLBACKS, ends_at_once, print_table, tell_stand_in
from genius_kit.cli.estimate import ask_before_run
from genius_kit.errors import InvalidParameter
from genius_kit.llm.connection import check_models
from genius_kit.progress import is_progress_wanted
from genius_kit.records import RankRange
from genius_kit.runs import batch, remote
from genius_kit.runs.approval import Asker, user_name
from genius_kit.runs.remote import COMMANDS, how_to_go_on, why_stopped
from genius_kit.texts import say

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.journal import Run

app = typer.Typer(rich_markup_mode="rich")


@app.command(
    epilog="Example: genius-kit run nas-bench-201-cifar10 --model gpt-6.1-sol --max-tokens 2000 --max-dollars 1"
)
@options.grouped
def run(
    benchmark: options.BenchmarkName,
    *,
    record: options.RecordOptions,
    searched: options.SearchOptions,
    money: options.RunLimitOptions,
    consent: options.ConsentOptions,
    approval: options.ApprovalOptions,
    problem: options.BenchmarkOptions,
) -> None:
    """Search BENCHMARK and write one journal per run. The same command again resumes what is unfinished."""
    asked = approval.approver()
    loaded, settings = problem.load(benchmark), money.bounding(searched.settings())
    if settings:
        check_models([(settings.get("base_url"), settings["model"])])
    finished = ask_before_run(loaded, searched.proposer, settings, record, money.limits, consent)
    with ends_at_once("the same command again resumes what is unfinished"):
        done = batch.search_many(
            loaded,
            searched.proposer,
            record.seeds,
            record.budget,
            record.workers,
            record.output,
            progress=not approval.approve and (record.verbose or is_progress_wanted()),
            approve=asked,
            reuse=record.output if money.reuse else None,
            **money.terms(),
            **settings,
        )
    _print_runs(done, record.verbose)
    if finished:
        say(f"Note: {finished} of {len(done)} runs were finished before; this command did not repeat them.")


@app.command(epilog="Example: genius-kit resume runs/JOURNAL --max-dollars 2")
@options.grouped
def resume(
    journal: Annotated[Path, Argument(help="A journal that `genius-kit run` wrote.")],
    *,
    timeout: options.Timeout = None,
    base_url: Annotated[str | None, Option(help="Its server, where OPENAI_BASE_URL does not name it.")] = None,
    approval: options.ApprovalOptions,
    money: options.RunLimitOptions,
) -> None:
    """Continue an unfinished run with the settings it began with."""
    asked, reuse = approval.approver(), journal.parent if money.reuse else None
    with ends_at_once(f"`genius-kit resume {journal}` resumes it"):
        done = batch.resume(journal, approve=asked, reuse=reuse, timeout=timeout, base_url=base_url, **money.terms())
    _print_runs([done])


@app.command(epilog="Example: genius-kit ctl runs pause")
def ctl(
    run: Annotated[Path, Argument(help="A journal, or a folder: all of its unfinished runs.")],
    command: Annotated[str, Argument(help=f"{', '.join(COMMANDS)} or status.")],
    number: Annotated[int | None, Argument(help="With budget: the new number of evaluations.")] = None,
    by: options.By = None,
    reason: Annotated[str, Option(help="Why, for the journal.")] = "",
    as_json: Annotated[bool, Option("--json", help="With status: print JSON.")] = False,
) -> None:
    """Tell a run that is under way elsewhere to pause, resume or stop, or give it another budget."""
    if command == "status":
        if number is not None:
            raise InvalidParameter(f"status takes no number, got {number}")
        rows = [{"journal": str(path), "state": state, "told": more} for path, state, more in remote.status(run)]
        say(json.dumps(rows) if as_json else "\n".join("{journal}: {state}, {told}".format(**row) for row in rows))
        return
    asker = Asker(by or user_name(), "ctl", socket.gethostname())
    for heard in remote.command(run, command, number, asker=asker, reason=reason):
        say(f"{heard.journal}: {heard.answer}")


@app.command(epilog="Example: genius-kit memory nas-bench-201-cifar10 --model gpt-6.1-sol --max-tokens 2000")
@options.grouped
def memory(
    benchmark: options.BenchmarkName,
    model: options.Model = "offline",
    questions: Annotated[int, Option(help="Questions, at most; fewer once it clearly knows the table.")] = 64,
    seed: Annotated[int, Option(min=0, help="Draws the questions.")] = 0,
    output: options.Journals = Path("runs"),
    *,
    request: options.RequestOptions,
    money: options.LimitOptions,
) -> None:
    """Ask a model for accuracies of the table BENCHMARK: does it know them by heart? The same command resumes."""
    from genius_kit.verdicts.searches import memory as asking

    sent = {**money.bounding({"model": model, **request.settings()}), **money.terms(), "reuse": money.reuse}
    with ends_at_once("the same command again resumes it"):
        done = asking.ask(load_benchmark(benchmark), count=questions, seed=seed, output=output, **sent)
    say(f"{done.path}\n{asking.memory(done).sentence}")
    tell_stand_in([model])


def _print_runs(runs: list[Run], verbose: bool = False) -> None:
    """Print one row per run, with `verbose` one row per evaluation before, and where the journals are."""
    import pandas as pd

    for done in runs if verbose else ():
        _print_evaluations(done)
    print_table(pd.DataFrame([_row(done) for done in runs]))
    say("\njournals:", *(f"  {done.path}" for done in runs), sep="\n")
    tell_stand_in(done.settings.get("settings", {}).get("model") for done in runs)
    _tell_ended_early([run for run in runs if not run.finished])
    _tell_only_fallbacks([run for run in runs if run.only_fallbacks])


def _row(done: Run) -> dict[str, object]:
    """Return the best architecture of a run by its short key."""
    frame = done.frame()
    told = {"seed": done.settings["seed"], "evaluations": len(frame), "ended by": done.reason or "-"}
    for _, best in frame.dropna(subset="feedback").nlargest(1, "feedback").iterrows() if len(frame) else ():
        told |= {"best": best["key"], done.settings.get("unit", "%"): float(best["feedback"]), "rank": _rank(best)}
    return {**told, "refused": len(done.of("rejected"))}


def _print_evaluations(done: Run) -> None:
    frame = done.frame()
    if frame.empty:
        return
    shown = frame.assign(rank=frame.apply(_rank, axis=1), seed=done.settings["seed"])
    names = {"key": "architecture", "feedback": done.settings.get("unit", "%"), "rejections": "refused"}
    print_table(shown[["seed", "iteration", "key", "origin", "feedback", "rank", "rejections"]].rename(columns=names))
    say()


def _rank(row: pd.Series) -> str:
    """Return the rank of an evaluation of its table, in words."""
    if row["rank_best"] != row["rank_best"] or row["rank_best"] is None:
        return "-"
    best, worst = int(row["rank_best"]), int(row["rank_worst"])
    return f"{RankRange(best, worst, int(row['rank_of']))} of {int(row['rank_of']):,}"


def _tell_ended_early(runs: list[Run]) -> None:
    """Say of each run why it was ended before its end, and what goes on; raises typer.Exit where there is one."""
    for run in runs:
        why = why_stopped(run) or "it was ended"
        say(f"genius-kit: {run.path}: {why}; to go on: {how_to_go_on(run)}", file=sys.stderr)
    if runs:
        raise typer.Exit(ENDED_EARLY)


def _tell_only_fallbacks(runs: list[Run]) -> None:
    """Say of each run in which no reply was taken why not; raises typer.Exit where there is one."""
    for run in runs:
        reasons = Counter(event["reason"] for event in run.of("rejected")).most_common()
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons)
        say(
            f"genius-kit: {run.path}: no reply of the model was taken, all {len(run.of('evaluation'))} evaluations are "
            f"random fallbacks; refused: {why}. It is no evidence about the model: look at its replies "
            f'(`gk.read_run(...).of("call")`) before you run it again',
            file=sys.stderr,
        )
    if runs:
        raise typer.Exit(ONLY_FALLBACKS)
