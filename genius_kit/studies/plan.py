"""A study as plain values: what is compared, on what, and the runs that it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import Limits
from genius_kit.errors import InvalidParameter
from genius_kit.proposers.base import TALKING, WARM
from genius_kit.runs.loop import NO_FIRST

if TYPE_CHECKING:
    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.llm.agents import Agent


@dataclass(frozen=True)
class Arm:
    """One way to search: a proposer with its own settings.

    Parameters
    ----------
    name
        The name that is shown.
    proposer
        Name of the search method.
    settings
        Its settings, by name.
    budget
        Evaluations per search; None: the study's.
    """

    name: str
    proposer: str
    settings: dict[str, Any] = field(default_factory=dict)
    budget: int | None = None

    @property
    def talks(self) -> bool:
        """Whether the arm asks a language model."""
        return self.proposer in TALKING


@dataclass(frozen=True)
class Money:
    """What a study may take: all its runs together (`limits`) and each of them (`run_limits`).

    `allow_unpriced` consents to models whose price is unknown; with `reuse`, identical requests are answered from the
    journals of the study. None of it decides a result that an independent run would have.
    """

    limits: Limits | None = None
    run_limits: Limits | None = None
    allow_unpriced: bool = False
    reuse: bool = False


@dataclass(frozen=True)
class Task:
    """One run of a study as plain values that any process can take.

    Parameters
    ----------
    study
        Name of the study.
    order
        Place in the plan, from 0.
    arm
        Name of the arm.
    benchmark, protocol, fed_run, source
        As in `load_benchmark`.
    proposer, settings
        The search method and its settings.
    budget
        Number of evaluations.
    seed
        Seed of the search.
    first
        What is evaluated first, as in `Study`.
    version
        The kit's version where the run was planned; a worker with another one refuses it.
    money
        Limits, and what is consented to.
    approval
        From when on a proposal needs a person, as in `Study`.
    objectives
        What the run weighs.
    agent
        Answers in place of a server.
    table
        A table that cannot be loaded by name.
    """

    study: str
    order: int
    arm: str
    benchmark: str
    protocol: str
    fed_run: int
    source: str | None
    proposer: str
    settings: dict[str, Any]
    budget: int
    seed: int
    first: str
    version: str
    money: Money = Money()
    approval: dict[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    agent: Agent | None = None
    table: TabularBenchmark | None = None

    @property
    def talks(self) -> bool:
        """Whether the run asks a language model."""
        return self.proposer in TALKING

    @property
    def follows(self) -> bool:
        """Whether the run begins with the replies of the reference arm, which are on record once that has run."""
        return self.proposer in WARM

    @property
    def key(self) -> str:
        """The search in words without who answers: what an agent makes its client of.

        A run that goes on from the replies of the reference arm has the key of that arm, so that it begins alike.
        """
        prompt = [str(self.settings["prompt"])] if "prompt" in self.settings else []
        return f"{'llm' if self.follows else self.arm} on {self.benchmark}, {', '.join([*prompt, f'seed {self.seed}'])}"

    @property
    def title(self) -> str:
        """Say in words which run it is."""
        told = [str(self.settings[key]) for key in ("model", "prompt") if key in self.settings]
        return f"{self.arm} on {self.benchmark}, {', '.join([*told, f'seed {self.seed}'])}"


@dataclass(frozen=True)
class Study:
    """What a study file says, checked; `load_study` makes it.

    Parameters
    ----------
    name
        Names the folder of the journals.
    benchmarks
        Names of tables.
    arms
        What is compared.
    budget
        Evaluations per search.
    seeds
        One search per seed, arm, model, prompt and benchmark.
    first
        What every search evaluates first: "none", "random", "largest" or a key.
    models, prompts
        Multiply the arms that ask a model.
    protocol, fed_run, source
        As in `load_benchmark`.
    reference
        The arm that the others are compared with.
    language
        Settings that all arms which ask a model share.
    money
        Limits, and what is consented to.
    approval
        From when on each proposal needs a person: `above_dollars` spent by the run, or a network `above_macs`.
    objectives
        What every run weighs, accuracy first; empty for accuracy alone.
    agents
        The agents among the models, by name.
    tables
        Benchmarks that cannot be loaded by name.
    """

    name: str
    benchmarks: tuple[str, ...]
    arms: tuple[Arm, ...]
    budget: int
    seeds: tuple[int, ...]
    first: str = NO_FIRST
    models: tuple[str, ...] = ("offline",)
    prompts: tuple[str, ...] = ("standard",)
    protocol: str = "paper"
    fed_run: int = 0
    source: str | None = None
    reference: str | None = None
    language: dict[str, Any] = field(default_factory=dict)
    money: Money = Money()
    approval: dict[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    agents: Mapping[str, Agent] = field(default_factory=dict)
    tables: Mapping[str, TabularBenchmark] = field(default_factory=dict)

    def plan(self) -> tuple[Task, ...]:
        """Return every run, always in the same order: seed by seed, so that a study cut short has its arms level."""
        return tuple(self._tasks())

    def with_money(self, limits: Limits | None, allow_unpriced: bool = False, reuse: bool = False) -> Study:
        """Return the study with other limits for all runs together, and with further consent.

        Parameters
        ----------
        limits
            Replace those of the study, one by one.
        allow_unpriced
            Consent to models whose price is unknown.
        reuse
            Answer identical requests from the journals of the study.
        """
        own = self.money
        both = own.limits if limits is None else limits.over(own.limits or Limits())
        money = Money(both, own.run_limits, allow_unpriced or own.allow_unpriced, reuse or own.reuse)
        return replace(self, money=money)

    def variants(self, arm: Arm) -> list[dict[str, Any]]:
        """Return the settings that an arm runs with: one set, or one per model and prompt where it asks a model.

        Parameters
        ----------
        arm
            An arm of this study.
        """
        if not arm.talks:
            return [arm.settings]
        asked = product(self.models, self.prompts)
        told = [{**self.language, "model": model, "prompt": prompt, **arm.settings} for model, prompt in asked]
        return [settings for place, settings in enumerate(told) if settings not in told[:place]]

    def _tasks(self) -> Iterator[Task]:
        from genius_kit.version import __version__

        runs = [
            (benchmark, arm, settings)
            for benchmark in self.benchmarks
            for arm in self.arms
            for settings in self.variants(arm)
        ]
        for order, (seed, (benchmark, arm, settings)) in enumerate(product(self.seeds, runs)):
            yield Task(
                study=self.name,
                order=order,
                arm=arm.name,
                benchmark=benchmark,
                protocol=self.protocol,
                fed_run=self.fed_run,
                source=self.source,
                proposer=arm.proposer,
                settings=dict(settings),
                budget=arm.budget or self.budget,
                seed=seed,
                first=self.first,
                version=__version__,
                money=self.money,
                approval=dict(self.approval),
                objectives=self.objectives,
                agent=self.agents.get(settings.get("model", "")),
                table=self.tables.get(benchmark),
            )


def shard_of(plan: tuple[Task, ...], shard: str | None) -> tuple[Task, ...]:
    """Return the part of a plan that "I/N" names: every N-th run from run I, counted from 0; all of it for None.

    Raises InvalidParameter unless 0 <= I < N.
    """
    if shard is None:
        return plan
    index, slash, count = shard.partition("/")
    if not slash or not (index.isdecimal() and count.isdecimal()) or int(index) >= int(count):
        raise InvalidParameter(f"shard must be I/N with 0 <= I < N, such as 0/4 for the first of four, got {shard!r}")
    return plan[int(index) :: int(count)]
