"""What the commands say and ask about money: `genius-kit estimate`, and the question before a run or a study."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import typer

from genius_kit.benchmarks import Benchmark
from genius_kit.budget.amounts import Limits
from genius_kit.cli import options
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import TALKING, make_proposer
from genius_kit.runs.batch import finished_seeds
from genius_kit.studies.estimate import WIDTH, Forecast, estimate_run, estimate_study
from genius_kit.studies.file import load_study
from genius_kit.texts import say

LOWERS = """what lowers it: --max-tokens (a lower limit of each reply), fewer runs or seeds,
  a smaller --budget; --max-dollars limits what may be spent"""

app = typer.Typer(rich_markup_mode="rich")
estimate = typer.Typer(
    epilog="Example: genius-kit estimate study does-it-search --models gpt-6.1-sol --max-tokens 2000",
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Estimate what a run or a study costs, before anything is sent.",
)
app.add_typer(estimate, name="estimate")


@estimate.command(epilog="Example: genius-kit estimate run nas-bench-201-cifar10 --model gpt-6.1-sol --max-tokens 2000")
@options.grouped
def run(
    benchmark: options.BenchmarkName,
    *,
    budget: options.Budget = 10,
    runs: options.Runs = 1,
    given: options.AssumptionOptions,
    searched: options.SearchOptions,
    problem: options.BenchmarkOptions,
) -> None:
    """Estimate what `genius-kit run` with the same options costs."""
    settings, loaded = searched.settings(), problem.load(benchmark)
    made = make_proposer(searched.proposer, loaded.space, **settings)
    _print(estimate_run(loaded, made, budget, runs=runs, assumptions=given.assumptions()))


@estimate.command(epilog="Example: genius-kit estimate study does-it-search --models gpt-6.1-sol --max-tokens 2000")
@options.grouped
def study(
    file: options.StudyFile,
    output: options.Studies = Path("studies"),
    *,
    said: options.StudyOptions,
    given: options.AssumptionOptions,
) -> None:
    """Estimate what `genius-kit study` with the same options costs; runs finished in its folder are left out."""
    from genius_kit.verdicts.searches.natures import power_text

    study = load_study(file, **said.settings())
    _print(estimate_study(study, output, assumptions=given.assumptions()))
    if told := power_text([str(arm.settings.get("control")) for arm in study.arms], len(study.seeds)):
        say(textwrap.fill(told, WIDTH))


def ask_before_run(
    benchmark: Benchmark,
    proposer: str,
    settings: dict[str, Any],
    record: options.RecordOptions,
    limits: Limits | None,
    consent: options.ConsentOptions,
) -> int:
    """Ask for consent where what is not finished of some runs may cost much; return how many runs are finished."""
    made = make_proposer(proposer, benchmark.space, **settings)
    finished = len(finished_seeds(benchmark, made, record.budget, record.seeds, record.output))
    left = record.runs - finished
    if left and proposer in TALKING:
        forecast = estimate_run(benchmark, made, record.budget, runs=left, limits=limits)
        ask_first(forecast, consent)
    return finished


def ask_first(forecast: Forecast, consent: options.ConsentOptions) -> None:
    """Ask on the terminal whether to go on, where the 95 % bound or the limit is above what is consented to.

    Raises InvalidParameter where nobody is there to answer, typer.Abort where the answer is no. What costs nothing is
    never asked about, nor is a model without a price: that was consented to, or it is on this machine.
    """
    bar, at_stake = consent.ask_above, forecast.at_stake
    if consent.yes or forecast.is_free or forecast.unpriced or (at_stake is not None and at_stake <= bar):
        return
    most = "more than can be said (a model has no known price)" if at_stake is None else f"up to ${at_stake:,.2f}"
    say(f"{forecast.table()}\n\n{forecast.assumptions.text}\n{LOWERS}", file=sys.stderr)
    question = f"{forecast.runs} run{'s' if forecast.runs > 1 else ''} may cost {most}"
    if not sys.stdin.isatty():
        raise InvalidParameter(
            f"{question}, above the ${bar:g} from which on you are asked, and nobody is at a terminal to answer. "
            "Nothing was sent: add --yes, a lower limit (--max-dollars), or another --ask-above"
        )
    typer.confirm(f"{question}. Go on?", abort=True, err=True)


def _print(forecast: Forecast) -> None:
    runs = f"{forecast.runs} run{'s' if forecast.runs != 1 else ''}"
    say(f"{runs}\n{forecast.table()}\n\n{forecast.assumptions.text}")
    if not forecast.is_free:
        say(LOWERS)
    if forecast.unpriced_runs:
        unknown = f"no price is known for the model of {forecast.unpriced_runs} run(s)"
        say(f"{unknown}; name a\n  price file in GENIUS_KIT_PRICES")
    elif forecast.limit is not None and forecast.limit != forecast.worst.dollars:
        say(f"the limits let at most ${forecast.limit:,.2f} be spent")
