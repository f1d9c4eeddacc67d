"""Does the stated rationale agree with the change made? Claims of replies, held against their architectures.

How many claims hold says little by itself: most architectures of a run fit most sentences about them. So the agreement
stands beside what the same sentences reach on the other proposals of the same run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal import Run, read_run
from genius_kit.journal.chain import WITHHELD
from genius_kit.proposers.baselines import differing
from genius_kit.reasoning import rationale_of
from genius_kit.records import Proposal
from genius_kit.spaces import Architecture, SearchSpace, recorded_space
from genius_kit.stats.ratios import Estimate, share_of
from genius_kit.verdicts.claims import read_claims

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.prompts.published import Conversation


SHUFFLES = 2_000
HIDDEN = ("permuted-labels", "anonymous", "knowledge-probe")
"""Controls under which the words of a reply are not about the names of the space."""


@dataclass(frozen=True)
class Rationale:
    """One reply with the architecture that it proposes and the one that it changes.

    Parameters
    ----------
    iteration
        From 1.
    reply
        Text of the reply.
    before
        The architecture of its last reply where this was sent back over a bound, else the nearest evaluated one (of
        equals the last).
    after
        The architecture that it proposes.
    """

    iteration: int
    reply: str
    before: Architecture
    after: Architecture


@dataclass(frozen=True)
class Agreement:
    """How many claims of replies are true of the change that was made.

    Parameters
    ----------
    proposals
        Number of replies.
    checked, held
        Claims that could be checked, and those that are true.
    unchecked
        Sentences that make no claim.
    share
        held / checked; NaN where nothing was checked.
    low, high
        Its 95 % Wilson interval.
    chance
        Mean share of the same claims on the other proposals of the run; NaN with one proposal only.
    p_value
        How often proposals dealt out at random do as well, one-sided; NaN with one proposal only.
    evidence
        One row per claim: iteration, kind, sentence, holds, chance.
    """

    proposals: int
    checked: int
    held: int
    unchecked: int
    share: float
    low: float
    high: float
    chance: float
    p_value: float
    evidence: pd.DataFrame

    def by_kind(self) -> pd.DataFrame:
        """Return one row per kind of claim: kind, checked, held, chance (the mean share)."""
        groups = self.evidence.groupby("kind", sort=False)
        return groups.agg(checked=("holds", "size"), held=("holds", "sum"), chance=("chance", "mean")).reset_index()

    @property
    def sentence(self) -> str:
        """The agreement in words, with n and its interval."""
        if not self.checked:
            return f"no claim can be checked in {self.unchecked} sentences of {self.proposals} replies"
        return (
            f"{self.held} of {self.checked} claims that can be checked hold ({100 * self.share:.0f} %, 95 % interval "
            f"{100 * self.low:.0f} to {100 * self.high:.0f} %), {100 * self.chance:.0f} % are expected by chance "
            f"(p = {self.p_value:.2g}); {self.unchecked} sentences of {self.proposals} replies make no such claim"
        )


def rationales_of_run(run: Run | str | Path) -> tuple[SearchSpace, list[Rationale]]:
    """Return the replies of a run whose architecture was taken, each with the architecture that it changes.

    The first architecture changes none and is left out.

    Parameters
    ----------
    run
        A run or its journal.

    Raises
    ------
    InvalidParameter
        The prompts of the run hide what operations are called.
    JournalError
        Its replies are withheld.
    """
    if isinstance(run, str | Path):
        run = read_run(run)
    control = run.settings.get("settings", {}).get("control")
    if control in HIDDEN:
        raise InvalidParameter(f"under {control} replies speak of other names than the space has: give another run")
    space, found = recorded_space(run.settings), []
    known: list[Architecture] = []
    revised: Architecture | None = None
    reply: Any = None
    for event in run.events:
        if event["event"] == "call" and "purpose" not in event:
            reply = rationale_of(event["text"] or "")
            if reply == WITHHELD:
                raise JournalError(f"{run.path}: the replies were withheld for publication, so no claim can be read")
        elif event["event"] == "rejected" and event["reason"] == "constraint":
            revised = tuple(event["architecture"])
        elif event["event"] == "proposal":
            after = tuple(event["architecture"])
            if event["origin"] == "model" and reply and (known or revised):
                found.append(Rationale(event["iteration"], reply, revised or _nearest(after, known), after))
            known.append(after)
            revised, reply = None, None
    return space, found


def rationales_of_conversation(conversation: Conversation) -> tuple[SearchSpace, list[Rationale]]:
    """Return every reply of a published conversation that proposes an architecture, also those over the bound.

    Parameters
    ----------
    conversation
        The published conversation.
    """
    known: list[Architecture] = []
    revised: Architecture | None = None
    found = []
    for turn in conversation.turns:
        if not isinstance(turn.outcome, Proposal):
            continue
        after = turn.outcome.architecture
        if known or revised:
            found.append(Rationale(turn.iteration, turn.reply, revised or _nearest(after, known), after))
        revised = None if turn.accepted else after
        known += [after] if turn.accepted else []
    return conversation.space, found


def _nearest(design: Architecture, known: Sequence[Architecture]) -> Architecture:
    """Return the known architecture that differs at the fewest positions, the last of equals."""
    return min(reversed(known), key=lambda other: differing(design, other))


def agreement(space: SearchSpace, tellings: Sequence[Rationale], *, seed: int = 0) -> Agreement:
    """Return how far the claims of replies agree with the architectures that they propose.

    Parameters
    ----------
    space
        The space of the architectures.
    tellings
        The replies.
    seed
        Seed of the random assignment of proposals that gives chance.
    """
    import pandas as pd

    read = [read_claims(telling.reply, space) for telling in tellings]
    claims = [(place, claim) for place, rationale in enumerate(read) for claim in rationale.claims]
    table = np.array([[claim.holds(one.before, one.after) for one in tellings] for _, claim in claims], dtype=float)
    owners = np.array([place for place, _ in claims], dtype=int)
    own = table[np.arange(len(claims)), owners] if claims else np.zeros(0)
    chance = _by_chance(table, owners, len(tellings))
    rows = [
        (tellings[place].iteration, claim.kind, claim.sentence, bool(held), float(expected))
        for (place, claim), held, expected in zip(claims, own, chance, strict=True)
    ]
    held, checked = int(own.sum()), len(claims)
    share = share_of(held, checked) if checked else Estimate(*[math.nan] * 3)
    return Agreement(
        len(tellings),
        checked,
        held,
        sum(rationale.unchecked for rationale in read),
        share.value,
        share.low,
        share.high,
        float(np.mean(chance)) if checked else math.nan,
        _p_value(table, owners, held, len(tellings), seed),
        pd.DataFrame(rows, columns=["iteration", "kind", "sentence", "holds", "chance"]),
    )


def _by_chance(table: Any, owners: Any, proposals: int) -> Any:
    """Return for each claim the share of the other proposals that it holds of; NaN where there is no other."""
    if not len(owners):
        return np.zeros(0)
    if proposals < 2:
        return np.full(len(owners), np.nan)
    own = table[np.arange(len(owners)), owners]
    return (table.sum(axis=1) - own) / (proposals - 1)


def _p_value(table: Any, owners: Any, held: int, proposals: int, seed: int) -> float:
    """Return how often the claims hold as often when the proposals are dealt out among the replies at random."""
    if proposals < 2 or not len(owners):
        return math.nan
    draws = np.random.default_rng(seed)
    lines = np.arange(len(owners))
    reached = sum(table[lines, draws.permutation(proposals)[owners]].sum() >= held for _ in range(SHUFFLES))
    return float((reached + 1) / (SHUFFLES + 1))
