"""What the commands say and ask about money: `genius-kit estimate`, the options of limits, the question before."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genius_kit import study_options
from genius_kit.amounts import Limits
from genius_kit.benchmarks.base import OBJECTIVES
from genius_kit.errors import InvalidParameter
from genius_kit.proposers import PROPOSERS, TALKING

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.estimates import Forecast

ASK_ABOVE_DOLLARS = 5.0
ASK_ABOVE_VARIABLE = "GENIUS_KIT_ASK_ABOVE"

MaxCalls = Annotated[int | None, typer.Option(min=0, help="Requests that may be billed, at most.")]
MaxTotalTokens = Annotated[int | None, typer.Option(min=0, help="Tokens of prompts and replies together, at most.")]
MaxDollars = Annotated[float | None, typer.Option(min=0, help="US dollars at list price, at most.")]
MaxGpuHours = Annotated[float | None, typer.Option(min=0, help="Hours of evaluations on a GPU, at most.")]
MaxSeconds = Annotated[float | None, typer.Option(min=0, help="Wall time while it is under way, at most.")]
AllowUnpriced = Annotated[bool, typer.Option("--allow-unpriced", help="Consent to a model without a known price.")]
Reuse = Annotated[bool, typer.Option("--reuse", help="Answer identical requests from the journals in the folder.")]
AskAbove = Annotated[float | None, typer.Option(min=0, help=f"Dollars above which to ask; ${ASK_ABOVE_DOLLARS:g}.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Weighed = Annotated[
    str | None, typer.Option(help=f"What is weighed, such as accuracy,macs; known: {', '.join(OBJECTIVES)}.")
]

RefusalRate = Annotated[float, typer.Option(min=0, max=0.99, help="Share of replies that is refused.")]
ReplyTokens = Annotated[int, typer.Option(min=1, help="Tokens of a reply.")]
CharactersAToken = Annotated[float, typer.Option(min=0.1, help="Characters of a prompt for each token.")]
Attempts = Annotated[float, typer.Option(min=1, help="Attempts for each reply.")]
ReplySeconds = Annotated[float, typer.Option(min=0.001, help="Seconds for each reply.")]

estimate_app = typer.Typer(no_args_is_help=True, help="Say what a run or a study will take, before anything is sent.")


@estimate_app.command()
def run(
    benchmark: Annotated[str, typer.Argument(help="Benchmark name.")],
    proposer: Annotated[str, typer.Option(help=f"What searches: {', '.join(PROPOSERS)}.")] = "llm",
    control: Annotated[str | None, typer.Option(help="What the model does not see.")] = None,
    change: Annotated[str | None, typer.Option(help="What ought not to matter.")] = None,
    principles: Annotated[str | None, typer.Option(help="Design principles first: asked, or fed-back.")] = None,
    model: Annotated[str, typer.Option(help="Model name.")] = "offline",
    prompt: Annotated[str, typer.Option(help="minimal, standard, reasoned, or a template file.")] = "standard",
    history: Annotated[str, typer.Option(help="table or dialogue.")] = "table",
    max_tokens: Annotated[int | None, typer.Option(help="Output limit of a request.")] = None,
    protocol: Annotated[str, typer.Option(help="paper, or held-out.")] = "paper",
    objectives: Weighed = None,
    budget: Annotated[int, typer.Option(min=1, help="Evaluations a run.")] = 10,
    runs: Annotated[int, typer.Option(min=1, help="Number of runs.")] = 1,
    refusal_rate: RefusalRate = 0.1,
    reply_tokens: ReplyTokens = 500,
    characters_a_token: CharactersAToken = 4.0,
    attempts: Attempts = 1.05,
    reply_seconds: ReplySeconds = 10.0,
) -> None:
    """Estimate what `genius-kit run` with the same options takes."""
    from genius_kit.benchmarks import load_benchmark
    from genius_kit.estimates import Assumptions, estimate_run
    from genius_kit.proposers import make_proposer

    loaded = load_benchmark(benchmark, protocol=protocol, objectives=objectives)
    told = {"model": model, "prompt": prompt, "history": history, "max_tokens": max_tokens, "control": control}
    told |= {"change": change, "principles": principles}
    made = make_proposer(proposer, loaded.space, **(told if proposer in TALKING else {}))
    given = Assumptions(reply_tokens, refusal_rate, characters_a_token, attempts, reply_seconds)
    _print(estimate_run(loaded, made, budget, runs=runs, assumptions=given))


@estimate_app.command()
def study(
    file: study_options.StudyFile,
    output: Annotated[Path, typer.Option(help="Folder of the studies: what is finished there is left out.")] = Path(
        "studies"
    ),
    seeds: study_options.Seeds = None,
    from_seed: study_options.FromSeed = None,
    budget: study_options.Budget = None,
    benchmarks: study_options.Benchmarks = None,
    models: study_options.Models = None,
    prompts: study_options.Prompts = None,
    max_tokens: study_options.MaxTokens = None,
    refusal_rate: RefusalRate = 0.1,
    reply_tokens: ReplyTokens = 500,
    characters_a_token: CharactersAToken = 4.0,
    attempts: Attempts = 1.05,
    reply_seconds: ReplySeconds = 10.0,
) -> None:
    """Estimate what is left of `genius-kit study` with the same options."""
    from genius_kit.estimates import Assumptions, estimate_study
    from genius_kit.study_files import load_study
    from genius_kit.verdicts.power import power_text

    given = Assumptions(reply_tokens, refusal_rate, characters_a_token, attempts, reply_seconds)
    said = study_options.overrides(seeds, from_seed, budget, benchmarks, models, prompts, max_tokens)
    study = load_study(file, **said)
    _print(estimate_study(study, output, assumptions=given))
    if told := power_text([str(arm.settings.get("control")) for arm in study.arms], len(study.seeds)):
        print(told)


def limits_of(
    calls: int | None, tokens: int | None, dollars: float | None, gpu_hours: float | None, seconds: float | None
) -> Limits | None:
    """Return the limits that the options name, None where they name none."""
    limits = Limits(calls, tokens, dollars, gpu_hours, seconds)
    return limits if limits.given() else None


def ask_before_run(
    benchmark: Benchmark,
    proposer: str,
    settings: dict[str, Any],
    budget: int,
    seeds: Sequence[int],
    output: Path,
    limits: Limits | None,
    ask_above: float | None,
    yes: bool,
) -> None:
    """Ask for consent where what is not finished of some runs may cost more than `ask_above` dollars."""
    from genius_kit.estimates import estimate_run
    from genius_kit.proposers import make_proposer
    from genius_kit.searches import finished_seeds

    if proposer not in TALKING:
        return
    made = make_proposer(proposer, benchmark.space, **settings)
    left = len(seeds) - len(finished_seeds(benchmark, made, budget, seeds, output))
    if left:
        ask_first(estimate_run(benchmark, made, budget, runs=left, limits=limits), ask_above, yes)


def ask_first(forecast: Forecast, ask_above: float | None, yes: bool) -> None:
    """Ask on the terminal whether to go on, where more than `ask_above` dollars may be spent.

    Raises InvalidParameter where nobody is there to answer, typer.Abort where the answer is no. What costs nothing is
    never asked about, nor is a model without a price: that was consented to, or it is on this machine.
    """
    bar = _ask_above(ask_above)
    at_stake = forecast.at_stake
    if yes or forecast.is_free or forecast.unpriced or (at_stake is not None and at_stake <= bar):
        return
    most = "more than can be said (no output limit: --max-tokens)" if at_stake is None else f"up to ${at_stake:,.2f}"
    print(f"{forecast.table()}\n{forecast.assumptions.text}", file=sys.stderr)
    question = f"{forecast.runs} run{'s' if forecast.runs > 1 else ''} may cost {most}"
    if not sys.stdin.isatty():
        raise InvalidParameter(
            f"{question}, above the ${bar:g} from which on you are asked, and nobody is at a terminal to answer. "
            "Nothing was sent: add --yes, a lower limit (--max-dollars), or another --ask-above"
        )
    typer.confirm(f"{question}. Go on?", abort=True, err=True)


def _ask_above(given: float | None) -> float:
    text = os.environ.get(ASK_ABOVE_VARIABLE, "")
    if given is not None or not text:
        return ASK_ABOVE_DOLLARS if given is None else given
    try:
        return float(text)
    except ValueError:
        raise InvalidParameter(f"{ASK_ABOVE_VARIABLE} is {text!r}; expected dollars, such as 5") from None


def _print(forecast: Forecast) -> None:
    print(forecast.table())
    print()
    print(f"{forecast.runs} run{'s' if forecast.runs != 1 else ''}; {forecast.assumptions.text}")
    if forecast.unpriced:
        print("no price is known for the model: name a price file in GENIUS_KIT_PRICES")
    if forecast.limit is not None and forecast.limit != forecast.worst.dollars:
        print(f"the limits let at most ${forecast.limit:,.2f} be spent")
