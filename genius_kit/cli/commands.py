"""The `genius-kit` command: each function reads its arguments, calls the package and prints.

Exit codes: 0 done, 1 failed, 2 wrong usage or data missing, 3 the model could not be reached (the run resumes), 4 a run
was ended before its end by a person or a limit (it resumes), 5 no reply of the model was taken in a run, 130 Ctrl-C,
143 SIGTERM.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genius_kit import errors
from genius_kit.cli import benchmark as benchmarks
from genius_kit.cli import control, estimate, record, report, study, train
from genius_kit.cli.options import (
    AskAbove,
    LimitOptions,
    RequestOptions,
    SearchOptions,
    Timeout,
    Weighed,
    Yes,
    grouped,
)

if TYPE_CHECKING:
    from genius_kit.journal import Run

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Neural architecture search by a language model: propose, evaluate, record, replay.",
)
data_app = typer.Typer(no_args_is_help=True, help="Get and check the published benchmark files.")
app.add_typer(data_app, name="data")
app.add_typer(benchmarks.benchmark_app, name="benchmark")
app.command()(train.train)
app.add_typer(train.detect_app, name="detect")
app.command()(study.study)
app.command()(study.slurm)
app.command()(control.ctl)
app.add_typer(estimate.estimate_app, name="estimate")
app.command()(report.report)
app.command()(record.verify)
app.command()(record.audit)
app.command()(record.redact)
app.command()(record.bundle)
app.command(context_settings=report.PASSED_ON)(report.lab)

_USAGE_ERRORS = (
    errors.DataMissing,
    errors.ExtraMissing,
    errors.UnknownName,
    errors.InvalidParameter,
    errors.InvalidArchitecture,
)


def main() -> None:
    """Run the command; an error of this package is one message on stderr and an exit code."""
    try:
        app()
    except errors.GeniusKitError as error:
        print(f"genius-kit: {error}", file=sys.stderr)
        usage, model = isinstance(error, _USAGE_ERRORS), isinstance(error, errors.ModelError)
        sys.exit(2 if usage else 3 if model else 4 if isinstance(error, errors.BudgetSpent) else 1)
    except OSError as error:
        print(f"genius-kit: {_refusal(error)}", file=sys.stderr)
        sys.exit(1)


def _refusal(error: OSError) -> str:
    """Return what to tell of something that the system refused: a disk that is full, a folder without rights."""
    place = f"{error.filename}: " if error.filename else ""
    return (
        f"{place}{error.strerror or error}. What is in journals, checkpoints and finished files is safe; make room or "
        "correct the rights, then give the same command again: it goes on from there"
    )


@app.command()
@grouped
def run(
    benchmark: Annotated[
        str, typer.Argument(help="Benchmark name; `genius-kit data status` lists them; `train` trains each network.")
    ],
    *,
    searched: SearchOptions,
    request: RequestOptions,
    protocol: Annotated[str, typer.Option(help="paper, or held-out (one recorded run is shown).")] = "paper",
    fed_run: Annotated[int, typer.Option(min=0, help="With held-out: which recorded run is shown.")] = 0,
    budget: Annotated[int, typer.Option(min=1, help="Evaluations a run.")] = 10,
    runs: Annotated[int, typer.Option(min=1, help="Number of runs, with seeds from --seed upwards.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first run.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder of the journals.")] = Path("runs"),
    space: Annotated[str | None, typer.Option(help="With train and proxy: the search space.")] = None,
    dataset: Annotated[str | None, typer.Option(help="With train and proxy: the data set; digits by default.")] = None,
    recipe: Annotated[str | None, typer.Option(help="With train: the recipe; quick by default.")] = None,
    changes: train.Changes = None,
    objectives: Weighed = None,
    proxy: Annotated[str | None, typer.Option(help="With proxy: synflow, naswot, grad_norm, parameters, macs.")] = None,
    time_limit: Annotated[float | None, typer.Option(help="With train: seconds a training.")] = None,
    upper_millions: Annotated[int | None, typer.Option(help="With train: the most MACs, in millions.")] = None,
    approve: control.Approve = False,
    by: control.By = None,
    money: LimitOptions,
    ask_above: AskAbove = None,
    yes: Yes = False,
) -> None:
    """Search BENCHMARK and write one journal a run. The same command again resumes what is unfinished."""
    from genius_kit.benchmarks import load_benchmark
    from genius_kit.runs.batch import search_many

    proposer, settings = searched.proposer, money.bounding(searched.settings(request))
    measured: dict[str, Any] = {
        "space": space,
        "dataset": dataset,
        "recipe": recipe,
        "changes": train.read_changes(changes) or None,
        "proxy": proxy,
        "time_limit": time_limit,
        "constraint": {"upper_millions": upper_millions} if upper_millions else None,
    }
    given: dict[str, Any] = {name: value for name, value in measured.items() if value is not None}
    loaded = load_benchmark(benchmark, protocol=protocol, fed_run=fed_run, objectives=objectives, **given)
    seeds = range(seed, seed + runs)
    estimate.ask_before_run(loaded, proposer, settings, budget, seeds, output, money.limits, ask_above, yes)
    settings |= {"limits": money.limits, "allow_unpriced": money.allow_unpriced}
    settings["reuse"] = output if money.reuse else None
    asked = control.terminal_approver(approve, by)
    with control.ends_at_once("the same command again goes on with what is unfinished"):
        done = search_many(loaded, proposer, seeds, budget, workers, output, not approve, asked, **settings)
    _print_runs(done)


@app.command()
@grouped
def resume(
    journal: Annotated[Path, typer.Argument(help="A journal that `genius-kit run` wrote.")],
    approve: control.Approve = False,
    by: control.By = None,
    timeout: Timeout = None,
    *,
    money: LimitOptions,
) -> None:
    """Continue an unfinished run with the settings it began with."""
    from genius_kit.runs.batch import resume as continue_run

    asked = control.terminal_approver(approve, by)
    spent: dict[str, Any] = {"limits": money.limits, "allow_unpriced": money.allow_unpriced, "timeout": timeout}
    with control.ends_at_once(f"`genius-kit resume {journal}` goes on"):
        done = continue_run(journal, approve=asked, reuse=journal.parent if money.reuse else None, **spent)
    _print_runs([done])


@app.command()
@grouped
def memory(
    benchmark: Annotated[str, typer.Argument(help="Name of a table; `genius-kit data status` lists them.")],
    model: Annotated[str, typer.Option(help="Model name; `offline` is a rule-based stand-in, no model.")] = "offline",
    questions: Annotated[int, typer.Option(help="Questions, at most; fewer where it is found to know.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Draws the questions.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder of the journal.")] = Path("runs"),
    *,
    request: RequestOptions,
    money: LimitOptions,
) -> None:
    """Ask a model for accuracies of the table BENCHMARK: does it know them by heart? The same command resumes."""
    from genius_kit import memory as asking
    from genius_kit.benchmarks import load_benchmark

    sent = money.bounding({"model": model, **request.settings()})
    sent |= {"limits": money.limits, "allow_unpriced": money.allow_unpriced, "reuse": money.reuse, "output": output}
    with control.ends_at_once("the same command again goes on"):
        done = asking.ask(load_benchmark(benchmark), count=questions, seed=seed, **sent)
    print(f"{done.path}\n{asking.memory(done).sentence}")
    control.tell_stand_in([model])


@app.command()
def replay(
    conversation: Annotated[
        str, typer.Argument(help="A published conversation (its file, or 329M or 401M), or the bundle of a study.")
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a prompt that differs from the recorded one.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(help="Journal to write; none by default. Of a bundle: the folder to write.")
    ] = None,
) -> None:
    """Run the search that a published conversation recorded, or draw a bundle again: no key, no network."""
    from genius_kit import data
    from genius_kit.bundles import is_bundle
    from genius_kit.runs.batch import replay_conversation

    path = Path(conversation)
    if path.is_file() and is_bundle(path):
        record.replay_bundle(path, output or Path(path.name.split(".")[0]))
        return
    if not path.is_file() and conversation.removesuffix(".json") in ("329M", "401M"):
        path = data.find(f"chat_history/{conversation.removesuffix('.json')}.json")
    done = replay_conversation(path, output, strict=strict)
    frame = done.frame()
    frame["macs"] = (frame["macs"] / 1e6).round(1)
    shown = frame[["iteration", "key", "macs", "feedback", "rejections"]].rename(
        columns={"macs": "macs_millions", "feedback": "accuracy"}
    )
    print(shown.to_string(index=False, na_rep="-"))


@app.command()
def doctor(base_url: Annotated[str | None, typer.Option(help="Server to try; else OPENAI_BASE_URL.")] = None) -> None:
    """Say what is installed, with which extras, which data and key are there, and whether the server answers."""
    from genius_kit.cli.doctor import findings

    for name, finding in findings(base_url):
        print(f"{name:22s} {finding}")


@data_app.command()
def status() -> None:
    """List the benchmarks and files, and what is there."""
    from genius_kit import data
    from genius_kit.benchmarks import list_benchmarks

    print(list_benchmarks().to_string(index=False))
    print()
    print(data.status().to_string(index=False))


@data_app.command()
def fetch(names: Annotated[list[str] | None, typer.Argument(help="Files; all by default.")] = None) -> None:
    """Download the published files (about 15 MB) and check their SHA-256."""
    from genius_kit import data

    with control.ends_at_once("the same command again fetches what is missing"):
        _print_here(data.fetch(names or None))


@data_app.command("import")
def import_(folder: Annotated[Path, typer.Argument(help="A folder that holds the published files.")]) -> None:
    """Copy the published files found in FOLDER and check their SHA-256."""
    from genius_kit import data

    _print_here(data.import_folder(folder))


@data_app.command()
def verify() -> None:
    """Check the SHA-256 of every file that is here; exit code 1 when one is wrong."""
    from genius_kit import data

    print(data.verify().to_string(index=False))


def _print_here(names: list[str]) -> None:
    from genius_kit import data

    for name in names:
        print(f"here: {data.data_folder() / name}")


def _print_runs(runs: list[Run]) -> None:
    import pandas as pd

    for done in runs:
        frame = done.frame()
        if frame.empty:
            print(f"{done.path}: nothing evaluated{_ending(done)}")
            continue
        shown = frame[["iteration", "architecture", "origin", "feedback", "rank_best", "rank_worst", "rejections"]]
        print(f"{done.path}{_ending(done)}")
        print(shown.to_string(index=False, na_rep="-"))
        for _, best in frame.dropna(subset="feedback").nlargest(1, "feedback").iterrows():
            rank = f", rank {best['rank_best']:.0f}-{best['rank_worst']:.0f}" if pd.notna(best["rank_best"]) else ""
            print(f"best: {best['architecture']} {best['feedback']:.2f} %{rank}\n")
    control.tell_stand_in(done.settings.get("settings", {}).get("model") for done in runs)
    control.tell_ended_early(runs)
    control.tell_only_fallbacks(runs)


def _ending(done: Run) -> str:
    return f" ({done.reason})" if done.finished else ""
