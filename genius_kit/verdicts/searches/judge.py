"""Any agent judged in one call: the study does-it-search with a client of the user's own, and its verdict."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import Any

from genius_kit.benchmarks import MEASURED, Benchmark, load_benchmark
from genius_kit.benchmarks.tabular import TabularBenchmark
from genius_kit.budget.amounts import Limits
from genius_kit.budget.ledger import Share, study_ledger
from genius_kit.errors import AgentFailed, BudgetSpent, InvalidParameter, ModelError, StudyFailed
from genius_kit.journal import Run, read_run
from genius_kit.llm.agents import Agent, MakeClient, agent_of, shown
from genius_kit.prompts.views import CONTROLS
from genius_kit.proposers.base import PROPOSERS, QUIZ, TALKING
from genius_kit.stats.replies import LEAST_SHOWN
from genius_kit.studies.file import load_study
from genius_kit.studies.plan import Arm, Study
from genius_kit.studies.run import run_study
from genius_kit.verdicts.base import FEEDBACK, LABELS, Verdict
from genius_kit.verdicts.searches import memory
from genius_kit.verdicts.searches.decision import verdict

Seeds = int | Iterable[int]

STUDY, PLAIN = "does-it-search", "llm"
ARMS = (PLAIN, *FEEDBACK, *LABELS)
"""The arms that the verdict is made of."""

LEAST_OPTIONS = 3
"""Options of a position below which there is one other numbering at most."""

LEAST_BUDGET = LEAST_SHOWN + 1
"""Evaluations below which no reply comes after results that a derangement can deal out in more than one way."""


def does_it_search(
    make_client: MakeClient,
    benchmark: str | Benchmark,
    *,
    seeds: Seeds | None = None,
    budget: int | None = None,
    arms: Sequence[str] | None = None,
    questions: int = 0,
    name: str | None = None,
    folder: str | Path | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
    allow_unpriced: bool = False,
    progress: bool = True,
) -> Verdict:
    """Return the verdict on any agent: does it search, or does it recite?

    The verdict may be looked at as often as you like. Code that changed is not gone on with (see `agents.code_sha256`).

    Parameters
    ----------
    make_client
        `make_client(key)` makes the client of one search: a chat client (`chat.ChatClient`), or a function of messages
        (a list of {"role", "content"}) that returns text. The key is a string, another one for every search and arm and
        the same one in the next call, so that draws seeded with it are independent and can be repeated.
    benchmark
        A table or its name.
    seeds
        How many searches per arm, or which seeds; default 40.
    budget
        Evaluations per search; default 10.
    arms
        Arms of the study does-it-search; default those that make the verdict.
    questions
        Questions on the table's accuracies to ask before the searches, for `Verdict.knows_table`; `memory.QUESTIONS` is
        a good number, 0 asks none.
    name
        What the agent is called.
    folder
        Journals are kept in its does-it-search, as a study's are: the same call with more seeds goes on, and nothing is
        asked twice. None keeps journals only where a search fails.
    workers
        Searches at a time; default 8.
    limits
        What all of it together may take.
    allow_unpriced
        Consent to a model whose price is unknown.
    progress
        Show a progress bar.

    Raises
    ------
    InvalidParameter
        Before the first request, for what cannot give a verdict.
    StudyFailed
        The agent failed.
    """
    table = _table(benchmark)
    study = _study(table, _arms(arms), seeds, budget).with_money(limits, allow_unpriced)
    agent = agent_of(make_client, study.plan()[0].key, name)
    study = replace(study, models=(agent.model,), agents={agent.model: agent})
    with _journals(folder) as output:
        _check_journals(output / study.name, study, agent, table)
        try:
            answers = _asked(questions, study, agent, table, output / study.name) if questions else None
            results = run_study(study, output, workers=workers, progress=progress)
        except StudyFailed as failed:
            raise _failed(study, failed, output) from None
        except (AgentFailed, BudgetSpent, ModelError) as error:
            raise StudyFailed(f"the questions on {table.name} failed: {error}; {_how_to_go_on(output)}") from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_how_to_go_on(output)) from None
        found = verdict(results, plain=PLAIN, benchmark=table)
        return found if answers is None else found.with_questions(answers)


def _asked(questions: int, study: Study, agent: Agent, table: TabularBenchmark, folder: Path) -> Verdict:
    """Return the verdict on questions about the table, whose journal lies beside those of the searches."""
    if (count := _whole(questions)) is None:
        raise InvalidParameter(f"questions must be how many, such as {memory.QUESTIONS}, or 0, got {questions!r}")
    limits = study.money.limits
    run = memory.ask(
        table,
        client=agent.client(f"memory of {table.name}"),
        count=count,
        output=folder,
        share=Share(study_ledger(folder), limits) if limits else None,
        allow_unpriced=study.money.allow_unpriced,
    )
    return memory.memory(run)


def _study(table: TabularBenchmark, arms: Sequence[str], seeds: Seeds | None, budget: int | None) -> Study:
    """Return the study does-it-search of these arms on a table, checked; nobody answers in it yet."""
    shipped = load_study(STUDY)
    options = len(table.space.options)
    if "permuted-labels" in arms and options < LEAST_OPTIONS:
        raise InvalidParameter(
            f"{table.name} has {options} {'option' if options == 1 else 'options'}, and permuted-labels needs "
            f"{LEAST_OPTIONS} or more to have more than one other numbering; take another table"
        )
    return replace(
        shipped,
        benchmarks=(table.name,),
        tables={table.name: table},
        arms=tuple(Arm(one, "llm", {} if one == PLAIN else {"control": one}) for one in arms),
        seeds=shipped.seeds if seeds is None else _seeds(seeds),
        budget=shipped.budget if budget is None else _budget(budget, table, arms),
    )


def _table(benchmark: str | Benchmark) -> TabularBenchmark:
    loaded = benchmark
    if isinstance(benchmark, str) and benchmark not in MEASURED:
        loaded = load_benchmark(benchmark)
    if not isinstance(loaded, TabularBenchmark):
        raise InvalidParameter(
            f"the benchmark {getattr(loaded, 'name', loaded)!r} is no table, and the verdict needs the rank of "
            "every architecture; give a name of gk.list_benchmarks(), or a table that is loaded"
        )
    if loaded.objectives is not None or loaded.constraint is not None:
        raise InvalidParameter(
            f"{loaded.name} weighs several objectives or has a bound, and the verdict is on accuracy alone; load it "
            "without"
        )
    return loaded


def _arms(given: Sequence[str] | None) -> tuple[str, ...]:
    """Return the arms, those of the shipped study unless given; each has to enter the verdict."""
    if given is None:
        return tuple(arm.name for arm in load_study(STUDY).arms if arm.name in ARMS)
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise InvalidParameter(f"arms must be a list of names, {', '.join(ARMS)}, all at the one budget, got {given!r}")
    for one in given:
        _check_arm(one)
    if len(set(given)) < len(given):
        raise InvalidParameter(f"arms has a name twice: {', '.join(given)}; leave one out")
    for needed, what in (((PLAIN,), "nothing is changed"), (FEEDBACK, "results tell nothing"), (LABELS, "labels do")):
        if not set(needed) & set(given):
            raise InvalidParameter(f"the arm in which {what} is missing; add {' or '.join(needed)} to arms")
    if set(FEEDBACK) <= set(given):
        raise InvalidParameter(f"{' and '.join(FEEDBACK)} both take the results away; keep {FEEDBACK[0]}")
    return tuple(given)


def _check_arm(name: str) -> None:
    if name in ARMS:
        return
    known = f"the arms are {', '.join(ARMS)}"
    if name in PROPOSERS and name not in TALKING:
        raise InvalidParameter(
            f"the arm {name!r} does not ask the model; leave it out, as random search is known exactly here, or run it "
            f"beside the others by a study file; {known}"
        )
    what = "does not enter this verdict" if name in (*CONTROLS, *PROPOSERS) else "is not known"
    raise InvalidParameter(f"the arm {name!r} {what}; {known}")


def _seeds(given: Seeds) -> tuple[int, ...]:
    count = _whole(given)
    if count is not None:
        if count < 1:
            raise InvalidParameter(f"seeds must be at least 1 search per arm, 40 for most verdicts, got {count}")
        return tuple(range(count))
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidParameter(f"seeds must be a number of searches per arm, or which seeds, got {given!r}")
    listed = list(given)
    seeds = [seed for one in listed if (seed := _whole(one)) is not None and seed >= 0]
    if len(seeds) < len(listed) or not seeds:
        raise InvalidParameter(f"seeds must be one or more whole numbers from 0, such as range(40), got {listed!r}")
    if twice := [seed for seed, times in Counter(seeds).items() if times > 1]:
        raise InvalidParameter(
            f"seed {twice[0]} stands in seeds twice, and a repeated search counts once; leave it out"
        )
    return tuple(seeds)


def _budget(given: int, table: TabularBenchmark, arms: Sequence[str]) -> int:
    budget = _whole(given)
    if budget is None:
        raise InvalidParameter(f"budget must be one number of evaluations, the same for every arm, got {given!r}")
    least = LEAST_BUDGET if FEEDBACK[0] in arms else 2
    if budget < least:
        raise InvalidParameter(
            f"budget must be at least {least}, got {budget}: results that are shuffled over the architectures need "
            f"{least - 1} of them to have more than one order"
        )
    if budget > table.count:
        raise InvalidParameter(f"budget is {budget:,}, but {table.name} has only {table.count:,} architectures")
    return budget


def _whole(value: Any) -> int | None:
    """Return a whole number of whatever kind as an int, None for anything else."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


@contextmanager
def _journals(folder: str | Path | None) -> Iterator[Path]:
    """Yield the folder of the journals; one of our own is removed, unless an error leaves replies in it."""
    if folder is not None:
        yield Path(folder)
        return
    made = Path(tempfile.mkdtemp(prefix=f"{STUDY}-"))
    try:
        yield made
    except BaseException:
        if not _is_answered(made):
            shutil.rmtree(made)
        raise
    shutil.rmtree(made)


def _is_answered(folder: Path) -> bool:
    return any(read_run(path).of("call") for path in folder.rglob("*.jsonl"))


def _check_journals(folder: Path, study: Study, agent: Agent, table: TabularBenchmark) -> None:
    """Raise InvalidParameter where the folder holds searches of this agent that this call would not go on with."""
    for path in folder.glob("*.jsonl"):
        run = read_run(path)
        of = run.settings
        if not of or (of["benchmark"], of["settings"].get("model")) != (table.name, agent.model):
            continue
        if of["proposer"] == QUIZ:
            continue
        changes = {
            f"have a budget of {of['budget']}, not {study.budget}": of["budget"] != study.budget,
            f"are of {shown(agent.model)} with other code": of["resolved"].get("agent_sha256") != agent.sha256,
            f"are of another table called {table.name}": not _is_of(run, table),
        }
        for told in (told for told, is_so in changes.items() if is_so):
            raise InvalidParameter(f"searches in {folder} {told}, and one verdict cannot mix both; give another folder")


def _is_of(run: Run, table: TabularBenchmark) -> bool:
    scored = run.of("evaluation")
    return run.settings["space"] == table.space.name and all(
        table.evaluate(one["architecture"]).feedback == one["feedback"] for one in scored
    )


def _failed(study: Study, failed: StudyFailed, output: Path) -> StudyFailed:
    """Return what went wrong in one sentence: which search, why, how many more, and how to go on."""
    order, reason = min(failed.reasons.items())
    task = study.plan()[order]
    more = f"; {len(failed.reasons) - 1} other searches failed too" if len(failed.reasons) > 1 else ""
    return StudyFailed(
        f"the search of the arm {task.arm} with the key {task.key!r} failed: {reason}{more}; {_how_to_go_on(output)}",
        only_model=failed.only_model,
        only_limits=failed.only_limits,
        reasons=failed.reasons,
    )


def _how_to_go_on(output: Path) -> str:
    if not _is_answered(output):
        return "no reply was given, so none is lost"
    return f"the same call with folder={str(output)!r} goes on from the replies that were given"
