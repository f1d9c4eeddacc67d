"""Does a model know this table by heart? Multiple-choice questions on its published accuracies, no search.

A question names an architecture and six accuracies: its own and those of others that are next to it in rank. They
differ in the decimals alone, by less than one training differs from the next, so that knowledge of networks (sizes,
operations, what is good where) does not help: which of the six belongs to it is, for everybody who has not seen the
table, drawn by chance. In every fourth question rows of the table are shown, with these six accuracies exchanged among
them (canaries): who reads answers what is shown, who knows the table by heart may answer what was published.

Related: completion and header tests of tables (Bordt et al., arXiv:2404.06209) and the exchangeability of the order
of rows (Oren et al., arXiv:2310.17623), which needs the log-probabilities of prompts; here those of the reply's letter
are used where a server tells them. What is left to knowledge: a model of networks that predicts a table to 0.03
percentage points, which no model does that was not fitted to the table itself (docs/studies.md has how far they come).
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.benchmarks import MEASURED
from genius_kit.budget.limits import RunBudget
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal import Event, Journal, Run, complete
from genius_kit.llm.calls import Caller
from genius_kit.llm.client import in_use
from genius_kit.llm.connection import recorded_address
from genius_kit.llm.recorded import answers_in
from genius_kit.llm.session import Session
from genius_kit.llm.settings import check_params
from genius_kit.prompts.base import fill, read_template
from genius_kit.prompts.views import derangement
from genius_kit.proposers.base import QUIZ
from genius_kit.proposers.llm import client_of
from genius_kit.proposers.methods import subject
from genius_kit.runs.loop import describe, journal_path, record_start
from genius_kit.runs.provenance import marked
from genius_kit.stats.evalues import betting_evidence
from genius_kit.verdicts.base import CANNOT_TELL, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.benchmarks.tabular import TabularBenchmark
    from genius_kit.budget.amounts import Limits
    from genius_kit.budget.ledger import Share
    from genius_kit.chat import ChatClient


OPTIONS = 6
"""Accuracies to choose from."""

CANARY_EVERY = 4
"""One question of so many shows altered rows."""

QUESTIONS = 64
"""Questions by default: one that knows nothing is then told "no sign of memory" in about nine of ten cases."""

DECISIVE = 200.0
"""The e-value that says "knows this table". Of those to whom a question is chance, one in 200 ever comes to it; the
other half of the one in 100 that is promised is for what a regression on the other rows still tells of the decimals."""

LITTLE = 0.25
"""Below this share of rows known (95 % bound) there is "no sign of memory"."""

KNOWS, NO_SIGN, NOT_ENOUGH = "knows this table", "no sign of memory", "not enough questions"
KINDS = (KNOWS, NO_SIGN, NOT_ENOUGH, CANNOT_TELL)

LOGPROBS = {"logprobs": True, "top_logprobs": 5}
"""What a server is asked for beside the reply; one that refuses it is asked without."""

_TAG = 2_601  # keeps these draws apart from others of the same seed
_LETTERS = string.ascii_uppercase[:OPTIONS]
_ANSWER = re.compile(rf"answer(?: is)?\W*([{_LETTERS}])\b(?!\w)", re.I)
_BARE = re.compile(rf"^\W*([{_LETTERS}])\b\W*(?:\d[\d.]*\W*)?$")


@dataclass(frozen=True)
class Question:
    """One question on a table's accuracies.

    Parameters
    ----------
    architecture
        The architecture that is asked about.
    name
        How the prompt names it.
    options
        The accuracies to choose from, as printed.
    published
        Place of the right one, from 0.
    shown
        Place of the accuracy that the altered rows show for it; None in three of four questions.
    rows
        What is shown of the table, with altered accuracies; empty in three of four questions.
    """

    architecture: tuple[int, ...]
    name: str
    options: tuple[str, ...]
    published: int
    shown: int | None = None
    rows: tuple[tuple[str, str], ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return what a journal says of it."""
        return {
            "architecture": list(self.architecture),
            "text": self.name,
            "options": list(self.options),
            "published": self.published,
            "shown": self.shown,
        }


def questions(benchmark: TabularBenchmark, seed: int = 0) -> Iterator[Question]:
    """Yield questions on the better half of a table's accuracies, each architecture in one of them at most.

    Parameters
    ----------
    benchmark
        The table.
    seed
        Draws the questions.

    Raises
    ------
    InvalidParameter
        There is no table, or fewer than twelve different accuracies in it.
    """
    if benchmark.kind in MEASURED:
        raise InvalidParameter(
            f"{benchmark.name} has no table that could be known by heart; name a tabular benchmark, such as "
            "nas-bench-201-cifar10"
        )
    printed = np.round(benchmark.scores(), 2)
    values = np.unique(printed[np.isfinite(printed)])
    if len(values) < 2 * OPTIONS:
        raise InvalidParameter(
            f"{benchmark.name} has {len(values)} different accuracies, and questions take {2 * OPTIONS} at least; "
            "name another table"
        )
    draws = np.random.default_rng([seed, _TAG])
    left = {value: list(draws.permutation(np.flatnonzero(printed == value))) for value in values[len(values) // 2 :]}
    for number in range(1, len(printed)):
        known = np.array([value for value, rows in left.items() if rows])
        if len(known) < OPTIONS:
            return
        start = int(draws.integers(len(known) - OPTIONS + 1))
        group = [(int(left[value].pop()), f"{value:.2f}") for value in known[start : start + OPTIONS]]
        yield _question(benchmark, group, draws, is_canary=number % CANARY_EVERY == 0)


def _question(
    benchmark: TabularBenchmark, group: list[tuple[int, str]], draws: np.random.Generator, is_canary: bool
) -> Question:
    """Return the question on one of some rows, drawn by chance, the accuracies in an order drawn by chance."""
    space, asked = benchmark.space, int(draws.integers(OPTIONS))
    accuracies = [accuracy for _, accuracy in group]
    options = tuple(accuracies[place] for place in draws.permutation(OPTIONS))
    architectures = [space.at(row) for row, _ in group]
    names = [space.encode(one) for one in architectures]
    question = Question(architectures[asked], names[asked], options, options.index(accuracies[asked]))
    if not is_canary:
        return question
    altered = [accuracies[place] for place in derangement(OPTIONS, draws)]
    rows = tuple((names[place], altered[place]) for place in draws.permutation(OPTIONS))
    return Question(question.architecture, question.name, options, question.published, options.index(altered[asked]),
                    rows)  # fmt: skip


def message(benchmark: TabularBenchmark, question: Question) -> str:
    """Return a question in words.

    Parameters
    ----------
    benchmark
        The table.
    question
        One of `questions`.
    """
    values = {
        "title": benchmark.title,
        "metric": benchmark.feedback_name,
        "dataset": benchmark.dataset,
        "architecture": question.name,
        "rows": question.rows,
        "options": list(zip(_LETTERS, question.options, strict=True)),
    }
    return fill(read_template("memory", "question"), values, "memory/question.md")


def ask(
    benchmark: TabularBenchmark,
    *,
    model: str = "offline",
    client: ChatClient | None = None,
    count: int = QUESTIONS,
    seed: int = 0,
    output: str | Path | None = None,
    limits: Limits | None = None,
    share: Share | None = None,
    allow_unpriced: bool = False,
    reuse: bool = False,
    base_url: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    params: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> Run:
    """Ask a model questions on a table, fewer where it is found to know it, and return the record.

    Parameters
    ----------
    benchmark
        The table.
    model
        Model to ask; "offline" is the rule-based stand-in.
    client
        Answers in place of the model.
    count
        The most questions.
    seed
        Draws the questions.
    output
        Folder of the journal, where the same call again goes on; None keeps the record in memory.
    limits, share, allow_unpriced
        As `search` takes them.
    reuse
        Answer identical requests from the journals in `output`.
    base_url
        The server to ask.
    temperature, max_tokens, params, timeout
        As the proposer "llm" takes them.

    Raises
    ------
    InvalidParameter
        Fewer than one question, or more than the table has.
    BudgetSpent
        A limit is reached.
    """
    settings = {
        "model": model if client is None else client.model,
        "base_url": recorded_address(base_url),
        "temperature": temperature,
        "max_tokens": max_tokens,
        **({"params": told} if (told := check_params(params)) else {}),
    }
    if client is None:
        client = client_of({**settings, "base_url": base_url}, extra=LOGPROBS, timeout=timeout)
    resolved = {"client": client.kind, **client.settings()}
    asker: Any = SimpleNamespace(name=QUIZ, settings=settings, resolved=resolved, client=client)
    quiz = _quiz(benchmark, count, seed)
    described = describe(benchmark, asker, count, seed)
    path = None if output is None else journal_path(output, described)
    with in_use(client), Journal(path) as record:
        spending = RunBudget(limits, allow_unpriced=allow_unpriced, share=share)
        session = Session(record, spending, replies=answers_in(output) if reuse and output is not None else None)
        caller = Caller(client, session)
        record_start(session, benchmark, asker, described)
        try:
            reason = _ask(benchmark, quiz, caller, session)
        finally:
            spending.release()
        record.record("run_finished", reason=reason)
        return Run(record.path, record.events)


def _quiz(benchmark: TabularBenchmark, count: int, seed: int) -> list[Question]:
    if count < 1:
        raise InvalidParameter(f"count must be at least 1 ({QUESTIONS} by default), got {count}")
    quiz = [question for question, _ in zip(questions(benchmark, seed), range(count), strict=False)]
    if len(quiz) < count:
        raise InvalidParameter(f"{benchmark.name} has architectures for {len(quiz)} questions, got {count}")
    return quiz


def _ask(benchmark: TabularBenchmark, quiz: Sequence[Question], caller: Caller, session: Session) -> str:
    values: list[float] = []
    for number, question in enumerate(quiz, start=1):
        session.budget.check_time(session.journal, number)
        event = session.journal.record("question", iteration=number, **question.fields())
        reply = caller.ask([{"role": "user", "content": message(benchmark, question)}], number)
        values.append(_value(event, _chances(reply.text, reply.letters)))
        if betting_evidence(values)[-1] >= math.log(DECISIVE):
            return "found"
    return "budget"


def _chances(text: object, letters: Mapping[str, float] | None) -> np.ndarray:
    """Return the probability that a reply gives to each option, zeros where it says none."""
    place = _read(text)
    if place is None:
        return np.zeros(OPTIONS)
    if letters is None or _LETTERS[place] not in letters:
        return np.eye(OPTIONS)[place]
    chances = np.array([math.exp(min(letters.get(letter, -math.inf), 0.0)) for letter in _LETTERS])
    return chances / max(chances.sum(), 1.0)


def _read(text: object) -> int | None:
    """Return the place of the letter that a reply chose, None where there is none to be read."""
    lines = [line for line in str(text or "").splitlines() if line.strip()]
    if not lines:
        return None
    found = _ANSWER.findall("\n".join(lines))
    bare = _BARE.match(lines[-1])
    letter = found[-1].upper() if found else bare[1] if bare else None
    return None if letter is None else _LETTERS.index(letter)


def _value(question: Event, chances: np.ndarray) -> float:
    """Return what a reply wins for who bets on memory at fair odds: from -1 to 5, 0 on average without memory.

    Each accuracy that is not shown beside the architecture is as likely to be its own.
    """
    others = np.arange(OPTIONS) != question["shown"]
    return float(others.sum() * chances[question["published"]] - chances[others].sum())


def memory(run: Run) -> Verdict:
    """Return the verdict on the answers of a model to questions on a table.

    "knows this table": the published accuracies were chosen more often than chance allows (DECISIVE: at
    most one in a hundred of those that do not know them is told so). "no sign of memory": it knows less than a quarter
    of the rows (95 % bound). "cannot tell": it gave no readable answers, or did not answer what was shown to it, so
    that its other answers mean nothing. "not enough questions": anything else.

    Parameters
    ----------
    run
        The record of `ask`.

    Returns
    -------
    Verdict
        Its evidence has one row per question: number, architecture, canary (whether altered rows were shown),
        published, shown and answer (accuracies as printed, answer None where no letter could be read), value (0 on
        average for who does not know the table) and e_value, of all questions so far.

    Raises
    ------
    JournalError
        The record of something else.
    """
    if run.settings.get("proposer") != QUIZ:
        raise JournalError(f"{run.path} holds no questions on a table; `genius-kit memory` writes such a journal")
    with complete(run.path):
        found = _answers(run)
    closed, canaries = found[~found["canary"]], found[found["canary"]]
    evidence = float(found["e_value"].max()) if len(found) else 1.0
    kind, reason = _judge(closed, canaries, evidence)
    right, n = int((closed["answer"] == closed["published"]).sum()), len(closed)
    told = [f"the published accuracy was chosen in {right} of {n} questions, one in {OPTIONS} being chance"]
    if len(canaries):
        reads, knows = (int((canaries["answer"] == canaries[name]).sum()) for name in ("shown", "published"))
        altered = f"of {len(canaries)} altered rows it answered the shown accuracy in {reads}"
        told.append(f"{altered}, the published one in {knows}")
    told += [f"e-value {min(evidence, 1e99):.3g} for memory", _source(run)]
    who = subject(str(run.settings["settings"]["model"]))
    verb = {KNOWS: KNOWS, NO_SIGN: "shows no sign of memory"}.get(kind, "has no verdict")
    sentence = f"{who} {verb} ({run.settings['benchmark']}): {reason}; {'; '.join(told)}."
    return Verdict(sentence, kind, marked(found, run))


def _answers(run: Run) -> pd.DataFrame:
    import pandas as pd

    calls = {call["iteration"]: call for call in run.of("call")}
    rows, values = [], []
    for event in run.of("question"):
        call = calls.get(event["iteration"])
        if call is None:
            continue
        options, chances = event["options"], _chances(call["text"], call.get("letters"))
        values.append(_value(event, chances))
        answer = options[int(chances.argmax())] if chances.any() else None
        shown = None if event["shown"] is None else options[event["shown"]]
        rows.append((event["iteration"], event["text"], shown is not None, options[event["published"]], shown, answer,
                     values[-1]))  # fmt: skip
    columns = ["number", "architecture", "canary", "published", "shown", "answer", "value"]
    found = pd.DataFrame(rows, columns=columns).astype({"canary": bool})
    return found.assign(e_value=np.exp(np.minimum(betting_evidence(values), 700.0)))


def _judge(closed: pd.DataFrame, canaries: pd.DataFrame, evidence: float) -> tuple[str, str]:
    from scipy.stats import beta

    if evidence >= DECISIVE:
        return KNOWS, "who has not seen it could not choose its accuracies so often"
    n, answered = len(closed), int(closed["answer"].notna().sum())
    reads = int((canaries["answer"] == canaries["shown"]).sum())
    if not len(canaries):
        return NOT_ENOUGH, f"{n} questions decide little; ask {QUESTIONS}"
    if 2 * answered < n:
        return CANNOT_TELL, f"it gave an answer that can be read to {answered} of {n} questions only"
    if 2 * reads < len(canaries):
        return CANNOT_TELL, (
            "it does not even answer what is shown to it, so that wrong answers do not mean that it does not know"
        )
    right = int((closed["answer"] == closed["published"]).sum())
    most = float(beta.ppf(0.95, right + 1, n - right)) if right < n else 1.0
    share = max(0.0, (most - 1 / OPTIONS) / (1 - 1 / OPTIONS))
    if share < LITTLE:
        return NO_SIGN, f"it knows less than {100 * share:.0f} % of the rows (95 % bound)"
    return NOT_ENOUGH, (
        f"it may know up to {100 * share:.0f} % of the rows (95 % bound); ask more questions to tell that from none"
    )


def _source(run: Run) -> str:
    told = sum(call.get("letters") is not None for call in run.of("call"))
    if not told:
        return "the server told no log-probabilities, so that each reply counts as sure"
    return f"log-probabilities were told for {told} of {len(run.of('call'))} replies"
