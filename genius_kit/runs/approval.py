"""Who asks something of a run, and proposals that a person approves, edits or rejects: which, how, what is recorded."""

from __future__ import annotations

import getpass
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from genius_kit.budget.spending import cost_of_calls
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, TurnedDown
from genius_kit.records import Cost, Message, Rejection, Trial
from genius_kit.spaces import Architecture
from genius_kit.spaces.costs import count_cost
from genius_kit.texts import for_terminal, in_line

ALWAYS = "every proposal is approved by a person"
DECISIONS = ("approve", "edit", "reject", "end")
RULES = ("above_dollars", "above_macs")
REPLY_LINES, LINE_CHARACTERS = 8, 160  # of a reply, on the terminal
KEYS = {"a": "approve", "e": "edit", "r": "reject", "q": "end"}


@dataclass(frozen=True)
class Asker:
    """Who asks something of a run, and from where: `via` is "ctl", "lab", "api", "terminal" or a signal."""

    by: str | None
    via: str
    host: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return what an event says of it."""
        return {"by": self.by, "via": self.via, **({"host": self.host} if self.host else {})}


def here(via: str, by: str | None = None) -> Asker:
    """Return the user of this process, or the one that `by` names."""
    return Asker(by or user_name(), via)


def user_name() -> str:
    """Return the name of the user of this process, "unknown" where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


@dataclass(frozen=True)
class Decision:
    """What a person decides about a proposal: "approve", "edit", "reject" or "end", with who and why.

    `architecture` is what "edit" puts in the place of the proposal, as indices or as the space writes it.
    "end" ends the run, which resumes with the same question.
    """

    decision: str
    architecture: Sequence[int] | str | None = None
    reason: str = ""
    by: str | None = None
    via: str | None = None


@dataclass(frozen=True)
class Request:
    """A proposal that waits for a person. `cost` is None where it cannot be counted, `reply` where no model spoke.

    `why` says why a person is asked; `run` is the journal's path in words.
    """

    iteration: int
    architecture: Architecture
    text: str
    cost: Cost | None
    trials: Sequence[Trial]
    reply: str | None
    why: str
    run: str
    situation: Situation = field(repr=False)

    @classmethod
    def of(cls, situation: Situation, architecture: Architecture, why: str) -> Request:
        """Return what a person is shown of a proposal."""
        calls = [event for event in situation.journal.events if event["event"] == "call"]
        replies = [call["text"] for call in calls if call.get("iteration") == situation.iteration]
        return cls(
            situation.iteration,
            architecture,
            situation.benchmark.space.encode(architecture),
            cost_of(situation, architecture),
            tuple(situation.trials),
            replies[-1] if replies else None,
            why,
            str(situation.journal.path or "a run in memory"),
            situation,
        )

    def check(self, decision: Decision) -> Decision:
        """Return the decision with the architecture that it is about.

        Raises InvalidParameter or InvalidArchitecture where it cannot be taken: no such decision, or an architecture
        that is not of the space, was tried, or is over the bound.
        """
        if decision.decision not in DECISIONS:
            raise InvalidParameter(f"the decision is {decision.decision!r}; it is one of {', '.join(DECISIONS)}")
        if decision.decision != "edit":
            if decision.architecture is not None:
                raise InvalidParameter(
                    f"{decision.decision} takes no architecture; to evaluate another one, use 'edit'"
                )
            return replace(decision, architecture=self.architecture)
        if decision.architecture is None:
            raise InvalidParameter("edit needs the architecture that is to be evaluated in place of the proposal")
        space, given = self.situation.benchmark.space, decision.architecture
        edited = space.decode(given) if isinstance(given, str) else space.check(given)
        refusal = replace(self.situation, rejected_by_person={}).refusal(edited)
        if refusal is not None:
            raise InvalidParameter(f"the edited architecture cannot be evaluated: {refusal.detail}")
        return replace(decision, architecture=edited)


Approver = Callable[[Request], Decision | None]
"""Asks a person: returns the decision, None where nobody is there to decide, which denies."""


def within_macs(most: int, by: str) -> Approver:
    """Return an approver that decides by one rule in the name of `by`: networks of at most `most` MACs, no others.

    It denies, by deciding nothing, where the MACs are unknown.
    """

    def approve(request: Request) -> Decision | None:
        if request.cost is None:
            return None
        if request.cost.macs <= most:
            return Decision("approve", by=by, via="rule")
        reason = f"{request.cost.macs:,} multiply-accumulates are more than {most:,}."
        return Decision("reject", by=by, via="rule", reason=reason)

    return approve


class Gate:
    """Who is asked about proposals, and which of them: `rule` is what a study requires, see `check_rule`."""

    def __init__(self, approve: Approver | None = None, rule: Mapping[str, Any] | None = None) -> None:
        self.approve = approve
        self.rule = check_rule(rule or {})

    def ask(self, request: Request) -> Decision | None:
        """Return what the approver decides, checked and with the user's name where it names nobody.

        Raises InvalidParameter or InvalidArchitecture where that cannot be taken.
        """
        told: object = self.approve(request) if self.approve is not None else None
        if told is None:
            return None
        if not isinstance(told, Decision):
            raise InvalidParameter(f"approve must return a Decision, or None where nobody is there, got {told!r:.100}")
        return request.check(replace(told, by=told.by or user_name(), via=told.via or "api"))

    def why(self, situation: Situation, architecture: Architecture) -> str | None:
        """Return why a person has to be asked about a proposal, None where that is not so."""
        if not self.rule:
            return ALWAYS if self.approve is not None else None
        return self._above_dollars(situation) or self._above_macs(situation, architecture)

    def _above_dollars(self, situation: Situation) -> str | None:
        limit = self.rule.get("above_dollars")
        if limit is None:
            return None
        spent = spent_dollars(situation)
        if spent is None:
            return f"the price of a call is unknown, and above ${limit:g} a person has to approve"
        if spent < limit:
            return None
        return f"${spent:.4g} are spent or reserved, and from ${limit:g} on a person has to approve"

    def _above_macs(self, situation: Situation, architecture: Architecture) -> str | None:
        limit = self.rule.get("above_macs")
        if limit is None:
            return None
        cost = cost_of(situation, architecture)
        if cost is None:
            return f"the MACs of the network are unknown, and above {limit:,} a person has to approve"
        if cost.macs <= limit:
            return None
        return f"the network makes {cost.macs:,} MACs, and above {limit:,} a person has to approve"


def check_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of approval: `above_dollars` spent, or proposals of networks `above_macs`; {} requires nothing.

    Raises InvalidParameter for anything else.
    """
    unknown = sorted(set(rule) - set(RULES))
    if unknown:
        raise InvalidParameter(f"approval has no {', '.join(map(repr, unknown))}; it has {', '.join(RULES)}")
    for name, limit in rule.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0:
            raise InvalidParameter(f"approval: {name} must be a number from 0, got {limit!r}")
    return dict(rule)


def spent_dollars(situation: Situation) -> float | None:
    """Return what the run has spent so far, with what calls without a reply may have cost; None if unknown."""
    cost = cost_of_calls(situation.journal.events)
    return None if cost is None else max(cost, float(situation.session.budget.spent.dollars))


def cost_of(situation: Situation, architecture: Architecture) -> Cost | None:
    """Return parameters and MACs of an architecture, None where the kit cannot count them."""
    try:
        return count_cost(situation.benchmark.space, architecture)
    except (GeniusKitError, KeyError, ValueError):
        return None


# in the search


def approved(proposer: Proposer, situation: Situation, rejected: dict[Architecture, str]) -> Suggestion | Stop:
    """Return the proposal that is to be evaluated: the proposer's own, where nobody is asked about it.

    A rejected architecture goes into `rejected`, which the situation shows; the proposer is told the reason and asked
    again.
    """
    while True:
        step = proposer.propose(situation)
        decided = None if isinstance(step, Stop) else _decision(situation, step)
        if isinstance(step, Stop) or decided is None or decided[0] == "approve":
            return step
        name = proposer.naming(situation)
        decision, architecture, reason = decided
        if decision == "edit":
            return _edited(step, architecture, name)
        rejected[situation.benchmark.space.canonical(step.architecture)] = reason
        refusal = _record_rejection(situation, step, name)
        situation = replace(situation, last_turned_down=TurnedDown(step, refusal))


def _decision(situation: Situation, step: Suggestion) -> tuple[str, Architecture, str] | None:
    """Return decision, architecture and reason, from the record where they are there, else from a person, or None.

    While other events are on record nobody was asked about this one.
    """
    journal, proposed = situation.journal, list(step.architecture)
    if journal.next_is("approval"):
        event = journal.record("approval", iteration=situation.iteration, proposed=proposed)
    elif journal.replaying or (decided := situation.session.control.review(situation, step)) is None:
        return None
    else:
        event = journal.record(
            "approval",
            iteration=situation.iteration,
            decision=decided.decision,
            architecture=list(decided.architecture or ()),
            proposed=proposed,
            reason=decided.reason,
            by=decided.by,
            via=decided.via,
        )
    return event["decision"], situation.benchmark.space.check(event["architecture"]), event["reason"]


def _edited(step: Suggestion, architecture: Architecture, name: Callable[[Architecture], str]) -> Suggestion:
    """Return what a person put in the place of a proposal; the conversation, where there is one, says so."""
    if architecture == step.architecture:
        return step
    told = f"{name(step.architecture)} was changed to {name(architecture)} before it was measured."
    exchange = (*step.exchange, Message(role="user", content=told)) if step.exchange else ()
    return Suggestion(architecture, "edited", exchange)


def _record_rejection(situation: Situation, step: Suggestion, name: Callable[[Architecture], str]) -> Rejection:
    refusal = situation.refusal(step.architecture, name)
    assert refusal is not None  # it has just been rejected
    situation.journal.record(
        "rejected",
        iteration=situation.iteration,
        reason=refusal.reason,
        detail=refusal.detail,
        architecture=list(step.architecture),
    )
    return refusal


# on the terminal


class TerminalApprover:
    """Asks about one proposal at a time; without a terminal, or when it is closed, nobody decides, which denies."""

    _one_at_a_time = threading.Lock()  # runs side by side share the terminal

    def __init__(
        self,
        by: str | None = None,
        read: Callable[[], str] | None = None,
        write: Callable[[str], None] | None = None,
    ) -> None:
        """`by` is who decides, by default the user. `read` returns a line, "" at the end; `write` takes text."""
        self._by = by or user_name()
        self._has_terminal = read is not None or sys.stdin.isatty()
        self._read = read or sys.stdin.readline
        self._write = write or _write

    def __call__(self, request: Request) -> Decision | None:
        """Return the decision of the person at the terminal, None where there is none."""
        if not self._has_terminal:
            return None
        with self._one_at_a_time:
            self._write(_described(request))
            try:
                return self._decision(request)
            except EOFError:
                self._write("\nno answer: nothing is evaluated\n")
                return None

    def _decision(self, request: Request) -> Decision:
        while True:
            key = self._line("[a]pprove, [e]dit, [r]eject, [q] end the run? ").lower()[:1]
            if key not in KEYS:
                continue
            architecture = self._line("evaluate instead: ") if key == "e" else None
            try:
                request.check(Decision(KEYS[key], architecture))
            except GeniusKitError as error:
                self._write(f"{error}\n")
                continue
            reason = self._line("reason (may be empty): ") if key != "a" else ""
            return Decision(KEYS[key], architecture, reason, self._by, "terminal")

    def _line(self, question: str) -> str:
        self._write(question)
        line = self._read()
        if not line:
            raise EOFError
        return in_line(line)


def _described(request: Request) -> str:
    """Return what a person needs to know: the architecture, its cost, the results so far, the reply's end."""
    cost = request.cost
    best = [trial.evaluation.feedback for trial in request.trials if trial.evaluation.feedback is not None]
    told = [
        f"\n{request.run}, architecture {request.iteration}: {request.text}",
        f"  {cost.macs:,} MACs, {cost.parameters:,} parameters" if cost else "  MACs and parameters are not known",
        f"  {len(request.trials)} evaluated so far{f', best {max(best):.2f} %' if best else ''}; {request.why}",
    ]
    lines = [for_terminal(line)[:LINE_CHARACTERS] for line in (request.reply or "").strip().splitlines()]
    told += [f"  | {line}" for line in lines[-REPLY_LINES:]]
    return "\n".join(told) + "\n"


def _write(text: str) -> None:
    sys.stderr.write(for_terminal(text))
    sys.stderr.flush()
