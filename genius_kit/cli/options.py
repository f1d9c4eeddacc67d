"""The options that several commands share, in groups: each is declared once, as a field of a dataclass.

A command takes a whole group as one argument (`grouped`); a method of the group makes of it what the package takes.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from genius_kit.benchmarks.base import OBJECTIVES
from genius_kit.budget.amounts import Limits
from genius_kit.errors import InvalidParameter
from genius_kit.llm.offline import is_stand_in
from genius_kit.llm.parameters import TIMEOUT_SECONDS, read_fields, read_params
from genius_kit.llm.structured import STRUCTURED
from genius_kit.prompts.changes import CHANGES
from genius_kit.prompts.views import CONTROLS
from genius_kit.proposers.base import PROPOSERS, TALKING
from genius_kit.study_files import study_names

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.estimates import Assumptions
    from genius_kit.runs.gate import Approver

ASK_ABOVE_DOLLARS = 5.0
LIMITED_REPLY_TOKENS = 8192
"""The output limit of a run whose tokens or dollars are limited, where none is given: reasoning takes some of it."""

BenchmarkName = Annotated[
    str, typer.Argument(help="Benchmark name; `genius-kit data status` lists them; `train` trains each network.")
]
StudyFile = Annotated[str, typer.Argument(help=f"A study file (YAML), or a shipped one: {', '.join(study_names())}.")]
Studies = Annotated[Path, typer.Option(help="Folder of the studies; each has a folder of its name there.")]
Journals = Annotated[Path, typer.Option(help="Folder of the journals.")]
Budget = Annotated[int, typer.Option(min=1, help="Evaluations per run.")]
Runs = Annotated[int, typer.Option(min=1, help="Number of runs, with seeds from --seed upwards.")]
By = Annotated[str | None, typer.Option("--as", help="Who asks or decides, for the journal; else the user's name.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="A field of the recipe, e.g. --set epochs=2; may be repeated.")
]
Model = Annotated[str, typer.Option(help="Model name; `offline` is a rule-based stand-in, no model.")]
Structured = Annotated[str | None, typer.Option(help=f"Replies in a form of JSON: {', '.join(STRUCTURED)}; auto.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Timeout = Annotated[
    float | None, typer.Option(min=0.001, help=f"Seconds that one attempt may take; {TIMEOUT_SECONDS:g}.")
]


def read_changes(texts: list[str] | None) -> dict[str, Any]:
    """Return {"epochs": 2} for ["epochs=2"]; raises InvalidParameter as `read_fields` does."""
    return read_fields(texts or (), "--set", "epochs=2")


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is searched, beside the benchmark's name."""

    protocol: Annotated[str, typer.Option(help="paper, or held-out (one recorded run is shown).")] = "paper"
    fed_run: Annotated[int, typer.Option(min=0, help="With held-out: which recorded run is shown.")] = 0
    objectives: Annotated[
        str | None, typer.Option(help=f"What is weighed, such as accuracy,macs; known: {', '.join(OBJECTIVES)}.")
    ] = None
    space: Annotated[str | None, typer.Option(help="With train and proxy: the search space.")] = None
    dataset: Annotated[str | None, typer.Option(help="With train and proxy: the data set; digits by default.")] = None
    recipe: Annotated[str | None, typer.Option(help="With train: the recipe; quick by default.")] = None
    changes: Changes = None
    time_limit: Annotated[float | None, typer.Option(help="With train: seconds per training.")] = None
    upper_millions: Annotated[int | None, typer.Option(help="With train: the most MACs, in millions.")] = None
    proxy: Annotated[str | None, typer.Option(help="With proxy: synflow, naswot, grad_norm, parameters, macs.")] = None

    def load(self, name: str) -> Benchmark:
        """Return the benchmark called `name`."""
        from genius_kit.benchmarks import load_benchmark

        made_by: dict[str, Any] = {
            "space": self.space,
            "dataset": self.dataset,
            "recipe": self.recipe,
            "changes": read_changes(self.changes) or None,
            "time_limit": self.time_limit,
            "constraint": {"upper_millions": self.upper_millions} if self.upper_millions else None,
            "proxy": self.proxy,
        }
        given = {key: value for key, value in made_by.items() if value is not None}
        return load_benchmark(name, protocol=self.protocol, fed_run=self.fed_run, objectives=self.objectives, **given)


@dataclass(frozen=True)
class RequestOptions:
    """What is sent to a model beside the prompt, and where."""

    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible server; else OPENAI_BASE_URL.")] = None
    temperature: Annotated[float | None, typer.Option(min=0, help="Sent only when given.")] = None
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Output limit of a request, sent when given; `run` and `memory` send "
            f"{LIMITED_REPLY_TOKENS} where tokens or dollars are limited.",
        ),
    ] = None
    param: Annotated[
        list[str] | None,
        typer.Option(help="A further field of each request, e.g. reasoning_effort=high; may be repeated."),
    ] = None
    timeout: Timeout = None

    def settings(self) -> dict[str, Any]:
        """Return them as the proposer "llm" takes them; raises InvalidParameter for fields that cannot be."""
        return {
            "base_url": self.base_url,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "params": read_params(self.param or ()),
            "timeout": self.timeout,
        }


@dataclass(frozen=True)
class SearchOptions(RequestOptions):
    """Who searches, what it is told, and what it is not."""

    proposer: Annotated[str, typer.Option(help=f"What searches: {', '.join(PROPOSERS)}.")] = "llm"
    control: Annotated[str | None, typer.Option(help=f"What the model does not see: {', '.join(CONTROLS)}.")] = None
    change: Annotated[
        str | None, typer.Option(help=f"A change of the prompt that keeps its meaning: {', '.join(CHANGES)}.")
    ] = None
    principles: Annotated[str | None, typer.Option(help="Design principles first: asked, or fed-back.")] = None
    model: Model = "offline"
    prompt: Annotated[str, typer.Option(help="minimal, standard, reasoned, published, or a template file.")] = (
        "standard"
    )
    history: Annotated[str, typer.Option(help="table (one fresh prompt) or dialogue (it grows).")] = "table"
    structured: Structured = None
    on_exhausted: Annotated[str, typer.Option(help="After too many refused replies: fallback or stop.")] = "fallback"

    def settings(self) -> dict[str, Any]:
        """Return the settings of the proposer; raises InvalidParameter for those of a model where none is asked."""
        aside = {"control": self.control, "change": self.change, "principles": self.principles}
        if self.proposer in TALKING:
            told = {"model": self.model, "prompt": self.prompt, "history": self.history, **super().settings()}
            return {**told, "structured": self.structured, "on_exhausted": self.on_exhausted, **aside}
        for name, value in aside.items():
            if value is not None:
                raise InvalidParameter(f"--{name} goes with a proposer that asks a model: {', '.join(TALKING)}")
        return {}


@dataclass(frozen=True)
class StudyOptions(RequestOptions):
    """What replaces what a study file says; what an arm of it says of itself stays."""

    seeds: Annotated[int | None, typer.Option(min=1, help="That many seeds in place of the file's.")] = None
    from_seed: Annotated[int | None, typer.Option(min=0, help="With --seeds: the first of them; 0 by default.")] = None
    budget: Annotated[int | None, typer.Option(min=1, help="Evaluations per run, of arms without their own.")] = None
    benchmarks: Annotated[str | None, typer.Option(help="Names, with commas between, in place of the file's.")] = None
    models: Annotated[str | None, typer.Option(help="Models, with commas between, in place of the file's.")] = None
    prompts: Annotated[str | None, typer.Option(help="Prompts, with commas between, in place of the file's.")] = None
    structured: Structured = None

    def settings(self) -> dict[str, Any]:
        """Return what the options say as the keys of a study file; None where an option was not given."""
        if self.from_seed is not None and self.seeds is None:
            raise InvalidParameter("--from-seed came without --seeds: say how many, such as --from-seed 100 --seeds 40")
        request = super().settings()
        return {
            "seeds": self.seeds if not self.from_seed else {"from": self.from_seed, "count": self.seeds},
            "budget": self.budget,
            "benchmarks": _listed(self.benchmarks),
            "models": _listed(self.models),
            "prompts": _listed(self.prompts),
            **{key: None if value == {} else value for key, value in request.items()},
            "structured": self.structured,
        }


@dataclass(frozen=True)
class RecordOptions:
    """How many runs there are, and where their journals go."""

    budget: Budget = 10
    runs: Runs = 1
    workers: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 1
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first run.")] = 0
    output: Journals = Path("runs")

    @property
    def seeds(self) -> range:
        """The seed of each run."""
        return range(self.seed, self.seed + self.runs)


@dataclass(frozen=True)
class ApprovalOptions:
    """Who approves each proposal."""

    approve: Annotated[bool, typer.Option("--approve", help="Ask on this terminal before each evaluation.")] = False
    by: By = None

    def approver(self) -> Approver | None:
        """Return who asks on the terminal, None where nobody is to be asked."""
        if not self.approve:
            if self.by is not None:
                raise InvalidParameter("--as says who approves: it goes with --approve")
            return None
        from genius_kit.runs.terminal_approval import TerminalApprover

        return TerminalApprover(self.by)


@dataclass(frozen=True)
class LimitOptions:
    """What may be spent."""

    max_calls: Annotated[int | None, typer.Option(min=0, help="Requests that may be billed, at most.")] = None
    max_total_tokens: Annotated[
        int | None, typer.Option(min=0, help="Tokens of prompts and replies together, at most.")
    ] = None
    max_dollars: Annotated[float | None, typer.Option(min=0, help="US dollars at list price, at most.")] = None
    max_seconds: Annotated[float | None, typer.Option(min=0, help="Wall time while it is under way, at most.")] = None
    allow_unpriced: Annotated[
        bool, typer.Option("--allow-unpriced", help="Consent to a model without a known price.")
    ] = False
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Answer identical requests from the journals in the folder.")
    ] = False

    @property
    def limits(self) -> Limits | None:
        """The limits that the options name, None where they name none."""
        names = [one.name for one in fields(self) if one.name.startswith("max_")]
        found = Limits(**{name.removeprefix("max_").removeprefix("total_"): getattr(self, name) for name in names})
        return found if found.given() else None

    def terms(self) -> dict[str, Any]:
        """Return the limits and the consent as a search takes them."""
        return {"limits": self.limits, "allow_unpriced": self.allow_unpriced}

    def bounding(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings of a model with an output limit where tokens or dollars are limited and none is given.

        Without it a reservation would have to cover the longest reply that the model can give, 128,000 tokens say. It
        is at most half of that, since some models count prompt and reply together.
        """
        model = settings.get("model")
        bounds = (settings.get("max_tokens"), (settings.get("params") or {}).get("max_completion_tokens"))
        is_counted = self.max_total_tokens is not None or self.max_dollars is not None
        if model is None or is_stand_in(model) or not is_counted or any(bound is not None for bound in bounds):
            return settings
        from genius_kit.budget.prices import load_prices

        price = load_prices().find(model, settings.get("base_url") or os.environ.get("OPENAI_BASE_URL"))
        longest = (price and price.max_output) or 2 * LIMITED_REPLY_TOKENS
        return {**settings, "max_tokens": min(LIMITED_REPLY_TOKENS, longest // 2)}


@dataclass(frozen=True)
class RunLimitOptions(LimitOptions):
    """What may be spent where networks may be trained."""

    max_gpu_hours: Annotated[float | None, typer.Option(min=0, help="Hours of evaluations on a GPU, at most.")] = None


@dataclass(frozen=True)
class ConsentOptions:
    """From which price on a person is asked first."""

    ask_above: Annotated[
        float | None, typer.Option(min=0, help=f"Dollars above which to ask; ${ASK_ABOVE_DOLLARS:g}.")
    ] = None
    yes: Yes = False


@dataclass(frozen=True)
class AssumptionOptions:
    """What an estimate takes for granted."""

    refusal_rate: Annotated[float, typer.Option(min=0, max=0.99, help="Share of replies that is refused.")] = 0.1
    reply_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a reply.")] = 500
    characters_a_token: Annotated[float, typer.Option(min=0.1, help="Characters of a prompt for each token.")] = 4.0
    attempts: Annotated[float, typer.Option(min=1, help="Attempts for each reply.")] = 1.05
    reply_seconds: Annotated[float, typer.Option(min=0.001, help="Seconds for each reply.")] = 10.0

    def assumptions(self) -> Assumptions:
        """Return them as an estimate takes them."""
        from genius_kit.estimates import Assumptions

        return Assumptions(**vars(self))


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes, in the place of each argument that is a group, one option for each field of it."""
    kinds = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in kinds.items() if is_dataclass(kind)}
    taken: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        taken += _options(groups[one.name]) if one.name in groups else [one.replace(annotation=kinds[one.name])]
    signature = inspect.Signature(taken)

    def called(*given: Any, **named: Any) -> None:
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        values = bound.arguments
        made = {name: kind(**{one.name: values.pop(one.name) for one in fields(kind)}) for name, kind in groups.items()}
        command(**values, **made)

    called.__name__, called.__doc__, called.__module__ = command.__name__, command.__doc__, command.__module__
    called.__signature__ = signature  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in taken}
    return called


def _options(group: Any) -> Iterator[inspect.Parameter]:
    """Yield a parameter for each field of a group."""
    kinds = get_type_hints(group, include_extras=True)
    for one in fields(group):
        yield inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=kinds[one.name]
        )


def _listed(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]
