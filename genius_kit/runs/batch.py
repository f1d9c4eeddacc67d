"""Searches side by side, searches that go on, and the searches that published conversations recorded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import files
from genius_kit.benchmarks import downloads
from genius_kit.benchmarks.catalogue import recorded_benchmark
from genius_kit.budget.amounts import Amount, Limits
from genius_kit.budget.spending import recorded_terms, spent_of
from genius_kit.chat import OFFLINE, is_stand_in
from genius_kit.errors import InvalidParameter, JournalError, ModelError
from genius_kit.journal import Run, complete, read_run
from genius_kit.llm.client import in_use
from genius_kit.llm.connection import own_address
from genius_kit.progress import Progress
from genius_kit.proposers.base import QUIZ, TALKING, Proposer, make_proposer
from genius_kit.runs.approval import Gate, here
from genius_kit.runs.live_control import Control
from genius_kit.runs.loop import NO_FIRST, Terms, describe, first_architecture, journal_path, search
from genius_kit.runs.remote import size_of

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.spaces import Architecture

INTERRUPT_SECONDS = 2.0  # how long searches are waited for after Ctrl-C: calls end at once, an evaluation may not


def finished_seeds(
    benchmark: Benchmark, proposer: Proposer, budget: int, seeds: Sequence[int], output: str | Path
) -> list[int]:
    """Return the seeds whose run `search_many` has finished in the folder `output`."""
    paths = {seed: _journal_path(benchmark, proposer, budget, seed, output) for seed in seeds}
    return [seed for seed, path in paths.items() if path.exists() and read_run(path).finished]


def _journal_path(
    benchmark: Benchmark,
    proposer: Proposer,
    budget: int,
    seed: int,
    output: str | Path,
    first: Architecture | None = None,
) -> Path:
    proposer.load_prompt(benchmark)  # an edited prompt is another run, with another file
    return journal_path(output, describe(benchmark, proposer, budget, seed, first))


def search_many(
    benchmark: Benchmark,
    proposer: str,
    seeds: Sequence[int],
    budget: int = 10,
    workers: int | None = None,
    output: str | Path | None = None,
    progress: bool = True,
    *,
    first: str = NO_FIRST,
    **settings: Any,
) -> list[Run]:
    """Run one search per seed, side by side in threads, and return them in the order of `seeds`.

    When one fails the others go on; the first error is raised at the end. A run that got no reply, and whose requests
    nobody can have billed, leaves no journal. Ctrl-C ends all of them, with the calls under way.

    Parameters
    ----------
    benchmark
        What evaluates the proposals.
    proposer
        Name of the search method.
    seeds
        One search each.
    budget
        Evaluations per search.
    workers
        Searches at a time; default all of them.
    output
        Folder of the journals, named by settings and seed: the same call again resumes what is unfinished and leaves
        what is finished. None keeps the records in memory.
    progress
        Show a progress bar.
    first
        What every search evaluates first: "none", "random" (by its seed), "largest" or a key.
    **settings
        Settings of the proposer, and terms of each run as `search` takes them.
    """
    terms = {one.name: settings.pop(one.name) for one in fields(Terms) if one.name in settings}
    asked = make_proposer(proposer, benchmark.space, **settings)
    client = asked.client
    if client is not None:
        settings = {**asked.settings, "client": client}  # one client, so one pool of connections
    controls: list[Control] = []
    heard = size_of(output) if output is not None else None
    with in_use(client), Progress(budget * len(seeds)) if progress else nullcontext(None) as watch:

        def one(seed: int) -> Run:
            made = make_proposer(proposer, benchmark.space, **settings)
            begun = first_architecture(first, benchmark.space, seed, benchmark.known)
            path = None if output is None else _journal_path(benchmark, made, budget, seed, output, begun)
            if path is not None and path.exists() and (known := read_run(path)).finished:
                return known
            control = Control(gate=Gate(terms.get("approve"), terms.get("approval")), folder_from=heard)
            controls.append(control)
            told: dict[str, Any] = {"on_event": watch, "progress": False, "control": control}
            try:
                return search(benchmark, made, budget, seed, path, first=begun, **told, **terms)
            except ModelError:
                if path is not None:
                    _drop_empty(path)
                raise

        pool = ThreadPoolExecutor(workers or max(1, len(seeds)))
        futures = [pool.submit(one, seed) for seed in seeds]
        try:
            wait(futures)
        except KeyboardInterrupt as interrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for control in controls:
                control.stop(True, here(str(interrupt) or "Ctrl-C"))
            wait(futures, timeout=INTERRUPT_SECONDS)
            raise
        pool.shutdown()
        return [future.result() for future in futures]


def _drop_empty(path: Path) -> None:
    """Remove the journal of a run without reply and evaluation, if none of its requests may have been billed."""
    with files.locked(files.lock_of(path)):
        run = read_run(path)
        if not run.of("call") and not run.of("evaluation") and spent_of(run.events) == Amount():
            path.unlink()


def resume(
    journal: str | Path,
    client: Any = None,
    *,
    timeout: float | None = None,
    base_url: str | None = None,
    **given: Any,
) -> Run:
    """Continue an unfinished run with the settings it began with; a finished one is returned as it is.

    A server that the journal names is asked only where OPENAI_BASE_URL or `base_url` names it too, or where there is no
    key to send: a journal may come from another person.

    Parameters
    ----------
    journal
        The journal to continue.
    client
        Answers in place of the recorded model.
    timeout
        Seconds per attempt, in place of the recorded ones.
    base_url
        The server to ask.
    **given
        Terms as `search` takes them. Approval and limits on record go on, those of the study included; `limits`
        replaces those of the run that it names. For a benchmark that trains also `executor`, `device` and `cache`.

    Raises
    ------
    JournalError
        The journal was altered, finished or not.
    InvalidParameter
        A recorded server that nothing here names.
    """
    run = read_run(journal)
    if run.finished:
        _check_sound(run)
        return run
    if not run.settings:
        raise JournalError(f"{journal} holds no run_started event; start the run again with `genius-kit run`")
    kept, begun = run.settings, run.events[0]
    limits, allowed, share = recorded_terms(run.events, Path(journal).parent)
    terms = Terms(**{one.name: given.pop(one.name) for one in fields(Terms) if one.name in given})
    terms = replace(
        terms,
        limits=(terms.limits or Limits()).over(limits),
        share=share,
        allow_unpriced=terms.allow_unpriced or allowed,
        approval=begun.get("approval"),
    )
    with complete(run.path):
        name, budget, seed, settings = (kept[field] for field in ("proposer", "budget", "seed", "settings"))
        if name == QUIZ:
            raise InvalidParameter(f"{journal} asks what a model knows: the same `genius-kit memory` command goes on")
        benchmark = recorded_benchmark(kept, **given)
    told: dict[str, Any] = {"client": client} if client is not None else {}
    if name in TALKING:
        told["timeout"] = begun.get("timeout") if timeout is None else timeout
        if client is None and not is_stand_in(str(settings.get("model") or OFFLINE)):
            told["base_url"] = own_address(settings.get("base_url"), base_url)
    proposer = make_proposer(name, benchmark.space, **{**settings, **told})
    first = benchmark.space.decode(kept["first"]) if "first" in kept else None
    return search(benchmark, proposer, budget, seed, journal, first=first, **vars(terms))


def _check_sound(run: Run) -> None:
    """Raise JournalError for a finished run whose journal is not as it was written; an unfinished one is read anew."""
    from genius_kit.journal.verify import verify_run

    if run.path is not None and (found := verify_run(run.path).findings):
        raise JournalError(
            f"{run.path} is not as it was written: {found[0]}. Nothing was changed; "
            f"`genius-kit verify {run.path}` tells every place"
        )


def replay_conversation(path: str | Path, journal: str | Path | None = None, strict: bool = False) -> Run:
    """Run the search that a published conversation recorded, from its own replies; needs no key and no network.

    Parameters
    ----------
    path
        The conversation, a JSON file of the published form, or the name of a published one, "329M" or "401M".
    journal
        Where the record is written; None keeps it in memory.
    strict
        Refuse a prompt that differs from the recorded one; otherwise it is counted in the client's `mismatches`.

    Raises
    ------
    ReplayMismatch
        With `strict`, a prompt that differs.
    """
    from genius_kit.llm import ReplayClient
    from genius_kit.prompts.published import RecordedBenchmark, read_conversation

    published = f"chat_history/{Path(path).name.removesuffix('.json')}.json"
    if published in downloads.FILES and not Path(path).is_file():
        path = downloads.find(published)
    conversation = read_conversation(path)
    benchmark = RecordedBenchmark(conversation)
    proposer = make_proposer(
        "llm",
        benchmark.space,
        client=ReplayClient.from_turns(conversation.turns, strict, source=conversation.source),
        prompt="published",
        conversation=str(path),
        rejections_limit=20,
        on_exhausted="stop",
    )
    accepted = sum(turn.accepted for turn in conversation.turns)
    return search(benchmark, proposer, accepted, 0, journal, progress=False)
