"""The human gate: which proposals need a person, what the person is shown, and what may be decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from genius_kit.budget.spending import cost_of_calls
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.records import Cost, Trial
from genius_kit.spaces import Architecture
from genius_kit.runs.control import DECISIONS, Decision, user_name

if TYPE_CHECKING:
    from genius_kit.proposers.base import Situation

ALWAYS = "every proposal is approved by a person"
RULES = ("above_dollars", "above_macs")


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
        refusal = replace(self.situation, turned_down={}).refusal(edited)
        if refusal is not None:
            raise InvalidParameter(f"the edited design cannot be evaluated: {refusal.detail}")
        return replace(decision, architecture=edited)


Approver = Callable[[Request], Decision | None]
"""Asks a person: returns the decision, None where nobody is there to decide, which denies."""


def signed(told: object) -> Decision:
    """Return what an approver returned, with the user's name where it names nobody; raises InvalidParameter."""
    if not isinstance(told, Decision):
        raise InvalidParameter(f"approve returned {told!r:.100}; expected a Decision, or None where nobody is there")
    return replace(told, by=told.by or user_name(), via=told.via or "api")


class Gate:
    """Who is asked about proposals, and which of them: `rule` is what a study requires, see `check_rule`."""

    def __init__(self, approve: Approver | None = None, rule: Mapping[str, Any] | None = None) -> None:
        self.approve = approve
        self.rule = check_rule(rule or {})

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
        return (
            f"${spent:.4g} are spent or reserved, and from ${limit:g} on a person has to approve"
            if spent >= limit
            else None
        )

    def _above_macs(self, situation: Situation, architecture: Architecture) -> str | None:
        limit = self.rule.get("above_macs")
        if limit is None:
            return None
        cost = cost_of(situation, architecture)
        if cost is None:
            return f"the MACs of the network are unknown, and above {limit:,} a person has to approve"
        return (
            f"the network makes {cost.macs:,} MACs, and above {limit:,} a person has to approve"
            if cost.macs > limit
            else None
        )


def check_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule of approval: `above_dollars` spent, or proposals of networks `above_macs`; {} requires nothing.

    Raises InvalidParameter for anything else.
    """
    unknown = sorted(set(rule) - set(RULES))
    if unknown:
        raise InvalidParameter(f"approval has no {', '.join(map(repr, unknown))}; it has {', '.join(RULES)}")
    for name, limit in rule.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0:
            raise InvalidParameter(f"approval: {name} is {limit!r}; expected a number from 0")
    return dict(rule)


def spent_dollars(situation: Situation) -> float | None:
    """Return what the run has spent so far, with what calls without a reply may have cost; None if unknown."""
    cost = cost_of_calls(situation.journal.events)
    return None if cost is None else max(cost, float(situation.session.budget.spent.dollars))


def cost_of(situation: Situation, architecture: Architecture) -> Cost | None:
    """Return parameters and MACs of a design, None where the kit cannot count them."""
    from genius_kit.spaces.costs import count_cost

    try:
        return count_cost(situation.benchmark.space, architecture)
    except (GeniusKitError, KeyError, ValueError):
        return None


def request(situation: Situation, architecture: Architecture, why: str) -> Request:
    """Return what a person is shown of a proposal."""
    events = situation.journal.events
    said = [e for e in events if e["event"] == "call" and e.get("iteration") == situation.iteration]
    path = situation.journal.path
    return Request(
        situation.iteration,
        architecture,
        situation.benchmark.space.encode(architecture),
        cost_of(situation, architecture),
        tuple(situation.trials),
        said[-1]["text"] if said else None,
        why,
        str(path) if path is not None else "a run in memory",
        situation,
    )
