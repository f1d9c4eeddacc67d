"""The options that several commands share, in groups: each is declared once, as a field of a dataclass.

A command takes a whole group as one argument (`grouped`); a method of the group makes of it what the package takes.
"""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from typer import Argument, Option

from genius_kit.benchmarks import Benchmark, load_benchmark
from genius_kit.benchmarks.base import OBJECTIVES
from genius_kit.budget.amounts import Limits
from genius_kit.budget.prices import load_prices
from genius_kit.chat import is_stand_in
from genius_kit.errors import InvalidParameter
from genius_kit.llm.settings import STRUCTURED, TIMEOUT_SECONDS, read_fields, read_params
from genius_kit.prompts.views import CHANGES, CONTROLS
from genius_kit.proposers.base import PROPOSERS, TALKING
from genius_kit.runs.approval import TerminalApprover
from genius_kit.studies.estimate import Assumptions
from genius_kit.studies.file import study_names

LIMITED_REPLY_TOKENS = 8192
"""The output limit of a run whose tokens or dollars are limited, where none is given: reasoning takes some of it."""

BenchmarkName = Annotated[
    str, Argument(help="Benchmark name (`genius-kit data status` lists them), the folder of one, or `train`.")
]
StudyFile = Annotated[str, Argument(help=f"A study file (YAML), or a shipped one: {', '.join(study_names())}.")]
Studies = Annotated[Path, Option(help="Folder of the studies; each has a folder of its name there.")]
Journals = Annotated[Path, Option(help="Folder of the journals.")]
Budget = Annotated[int, Option(min=1, help="Evaluations per run.")]
Runs = Annotated[int, Option(min=1, help="Number of runs, with seeds from --seed upwards.")]
By = Annotated[str | None, Option("--as", help="Your name in the journal; the user name by default.")]
Changes = Annotated[
    list[str] | None, Option("--set", help="A field of the recipe, e.g. --set epochs=2; may be repeated.")
]
Model = Annotated[str, Option(help="Model name; `offline` is a rule-based stand-in, no model.")]
Structured = Annotated[str | None, Option(help=f"Replies as JSON: {', '.join(STRUCTURED)}; auto by default.")]
Verbose = Annotated[bool, Option("--verbose", "-v", help="Print each evaluation.")]
Yes = Annotated[bool, Option("--yes", help="Do not ask.")]
Timeout = Annotated[
    float | None, Option(min=0.001, help=f"Seconds that one attempt may take; {TIMEOUT_SECONDS:g} by default.")
]


def read_changes(texts: list[str] | None) -> dict[str, Any]:
    """Return {"epochs": 2} for ["epochs=2"]; raises InvalidParameter as `read_fields` does."""
    return read_fields(texts or (), "--set", "epochs=2")


@dataclass(frozen=True)
class MeasuringOptions:
    """How a benchmark measures that is no table."""

    panel: ClassVar = "The benchmarks `train` and `proxy`"
    space: Annotated[str | None, Option(help="The search space.")] = None
    dataset: Annotated[str | None, Option(help="The data set; digits by default.")] = None
    recipe: Annotated[str | None, Option(help="With train: the recipe; quick by default.")] = None
    changes: Changes = None
    time_limit: Annotated[float | None, Option(help="With train: seconds per training.")] = None
    upper_millions: Annotated[int | None, Option(help="With train: the most MACs, in millions.")] = None
    proxy: Annotated[str | None, Option(help="With proxy: synflow, naswot, grad_norm, parameters, macs.")] = None


@dataclass(frozen=True)
class BenchmarkOptions(MeasuringOptions):
    """What is searched, beside the benchmark's name."""

    panel: ClassVar = "Benchmark"
    protocol: Annotated[str, Option(help="paper, or held-out (one recorded training is shown).")] = "paper"
    fed_run: Annotated[int, Option(min=0, help="With held-out: which recorded training is shown.")] = 0
    objectives: Annotated[str | None, Option(help=f"Objectives, with commas between: {', '.join(OBJECTIVES)}.")] = None

    def load(self, name: str) -> Benchmark:
        """Return the benchmark called `name`."""
        given = {**vars(self), "changes": read_changes(self.changes) or None}
        if (most := given.pop("upper_millions")) is not None:
            given["constraint"] = {"upper_millions": most}
        return load_benchmark(name, **{key: value for key, value in given.items() if value is not None})


@dataclass(frozen=True)
class RequestOptions:
    """What is sent to a model beside the prompt, and where."""

    panel: ClassVar = "Requests to the model"
    base_url: Annotated[str | None, Option(help="OpenAI-compatible server; else OPENAI_BASE_URL.")] = None
    temperature: Annotated[float | None, Option(min=0, help="Sent only when given.")] = None
    max_tokens: Annotated[
        int | None,
        Option(
            min=1,
            help="Output limit of a request, sent when given; `run` and `memory` send "
            f"{LIMITED_REPLY_TOKENS} where tokens or dollars are limited.",
        ),
    ] = None
    param: Annotated[
        list[str] | None,
        Option(help="A further field of each request, e.g. reasoning_effort=high; may be repeated."),
    ] = None
    timeout: Timeout = None

    def settings(self) -> dict[str, Any]:
        """Return them as the proposer "llm" takes them; raises InvalidParameter for fields that cannot be."""
        given = dict(vars(self))
        return {"params": read_params(given.pop("param") or ()), **given}


@dataclass(frozen=True)
class SearchOptions(RequestOptions):
    """Who searches, what it is told, and what it is not."""

    panel: ClassVar = "What searches, and what it sees"
    proposer: Annotated[str, Option(help=f"What searches: {', '.join(PROPOSERS)}.")] = "llm"
    control: Annotated[str | None, Option(help=f"What the model does not see: {', '.join(CONTROLS)}.")] = None
    change: Annotated[
        str | None, Option(help=f"A change of the prompt that keeps its meaning: {', '.join(CHANGES)}.")
    ] = None
    principles: Annotated[str | None, Option(help="Design principles first: asked, or fed-back.")] = None
    model: Model = "offline"
    prompt: Annotated[str, Option(help="minimal, standard, reasoned, published, or a template file.")] = "standard"
    history: Annotated[str, Option(help="table (one fresh prompt) or dialogue (it grows).")] = "table"
    structured: Structured = None
    on_exhausted: Annotated[str, Option(help="After too many refused replies: fallback or stop.")] = "fallback"

    def settings(self) -> dict[str, Any]:
        """Return the settings of the proposer; raises InvalidParameter for those of a model where none is asked."""
        given = super().settings()
        if given.pop("proposer") in TALKING:
            return given
        for name in ("control", "change", "principles"):
            if given[name] is not None:
                raise InvalidParameter(f"--{name} goes with a proposer that asks a model: {', '.join(TALKING)}")
        return {}


@dataclass(frozen=True)
class StudyOptions(RequestOptions):
    """What replaces what a study file says; what an arm of it says of itself stays."""

    panel: ClassVar = "In place of what the file says"
    seeds: Annotated[int | None, Option(min=1, help="That many seeds in place of the file's.")] = None
    from_seed: Annotated[int | None, Option(min=0, help="With --seeds: the first of them; 0 by default.")] = None
    budget: Annotated[int | None, Option(min=1, help="Evaluations per run, of arms without their own.")] = None
    benchmarks: Annotated[str | None, Option(help="Names, with commas between, in place of the file's.")] = None
    models: Annotated[str | None, Option(help="Models, with commas between, in place of the file's.")] = None
    prompts: Annotated[str | None, Option(help="Prompts, with commas between, in place of the file's.")] = None
    structured: Structured = None

    def settings(self) -> dict[str, Any]:
        """Return what the options say as the keys of a study file; None where an option was not given."""
        if self.from_seed is not None and self.seeds is None:
            raise InvalidParameter("--from-seed needs --seeds: say how many, such as --from-seed 100 --seeds 40")
        given = super().settings()
        if first := given.pop("from_seed"):
            given["seeds"] = {"from": first, "count": self.seeds}
        for key in ("benchmarks", "models", "prompts"):
            given[key] = None if given[key] is None else [name.strip() for name in given[key].split(",")]
        return {**given, "params": given["params"] or None}


@dataclass(frozen=True)
class RecordOptions:
    """How many runs there are, and where their journals go."""

    panel: ClassVar = "Runs and their journals"
    budget: Budget = 10
    runs: Runs = 1
    workers: Annotated[int, Option(min=1, help="Runs side by side.")] = 1
    seed: Annotated[int, Option(min=0, help="Seed of the first run.")] = 0
    output: Journals = Path("runs")
    verbose: Verbose = False

    @property
    def seeds(self) -> range:
        """The seed of each run."""
        return range(self.seed, self.seed + self.runs)


@dataclass(frozen=True)
class ApprovalOptions:
    """Who approves each proposal."""

    panel: ClassVar = "Approval"
    approve: Annotated[bool, Option("--approve", help="Ask on this terminal before each evaluation.")] = False
    by: By = None

    def approver(self) -> TerminalApprover | None:
        """Return who asks on the terminal, None where nobody is to be asked."""
        if self.by is not None and not self.approve:
            raise InvalidParameter("--as says who approves: it goes with --approve")
        return TerminalApprover(self.by) if self.approve else None


@dataclass(frozen=True)
class LimitOptions:
    """What may be spent."""

    panel: ClassVar = "Limits"
    max_calls: Annotated[int | None, Option(min=0, help="Requests that may be billed, at most.")] = None
    max_total_tokens: Annotated[int | None, Option(min=0, help="Tokens of prompts and replies together, at most.")] = (
        None
    )
    max_dollars: Annotated[float | None, Option(min=0, help="US dollars at list price, at most.")] = None
    max_seconds: Annotated[float | None, Option(min=0, help="Seconds of wall time, over all starts, at most.")] = None
    allow_unpriced: Annotated[bool, Option("--allow-unpriced", help="Consent to a model without a known price.")] = (
        False
    )
    reuse: Annotated[bool, Option("--reuse", help="Answer identical requests from the journals in the folder.")] = False
    reserve: Annotated[str | None, Option(help="Reserve all attempts of a request (worst) or one (95%).")] = None

    @property
    def limits(self) -> Limits | None:
        """The limits that the options name, None where they name none."""
        names = [one.name for one in fields(self) if one.name.startswith("max_")]
        given = {name.removeprefix("max_").removeprefix("total_"): getattr(self, name) for name in names}
        found = Limits(**given, reserve=self.reserve)
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
        price = load_prices().find(model, settings.get("base_url") or os.environ.get("OPENAI_BASE_URL"))
        longest = (price and price.max_output) or 2 * LIMITED_REPLY_TOKENS
        return {**settings, "max_tokens": min(LIMITED_REPLY_TOKENS, longest // 2)}


@dataclass(frozen=True)
class RunLimitOptions(LimitOptions):
    """What may be spent where networks may be trained."""

    max_gpu_hours: Annotated[float | None, Option(min=0, help="Hours of evaluations on a GPU, at most.")] = None


@dataclass(frozen=True)
class ConsentOptions:
    """From which price on a person is asked first."""

    panel: ClassVar = "Limits"
    ask_above: Annotated[float, Option(min=0, envvar="GENIUS_KIT_ASK_ABOVE", help="Dollars above which to ask.")] = 5.0
    yes: Yes = False


@dataclass(frozen=True)
class AssumptionOptions:
    """What an estimate takes for granted."""

    panel: ClassVar = "Assumptions"
    refusal_rate: Annotated[float, Option(min=0, max=0.99, help="Share of replies that is refused.")] = 0.1
    reply_tokens: Annotated[int, Option(min=1, help="Tokens of a reply.")] = 500
    characters_a_token: Annotated[float, Option(min=0.1, help="Characters of a prompt for each token.")] = 4.0
    attempts: Annotated[float, Option(min=1, help="Attempts for each reply.")] = 1.05
    reply_seconds: Annotated[float, Option(min=0.001, help="Seconds for each reply.")] = 10.0

    def assumptions(self) -> Assumptions:
        """Return them as an estimate takes them."""
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
    """Yield a parameter for each field of a group, in the panel of the class that declares it."""
    kinds, alone = get_type_hints(group, include_extras=True), inspect.Parameter.KEYWORD_ONLY
    for one in sorted(fields(group), key=lambda one: one.name not in group.__annotations__):  # its own come first
        home: Any = next(base for base in group.__mro__ if one.name in inspect.get_annotations(base))
        kind, declared = get_args(kinds[one.name])
        shown = copy.copy(declared)
        shown.rich_help_panel = declared.rich_help_panel or getattr(home, "panel", None)
        yield inspect.Parameter(one.name, alone, default=one.default, annotation=Annotated[kind, shown])
