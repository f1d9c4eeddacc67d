"""What a run may spend: the worst case of a request is reserved before it is sent, the difference released after.

The budget of a run knows what its journal records: an `intent` says what was reserved for the attempt, the `call` or
`call_failed` after it what was spent. An attempt without either, which a kill leaves, stays charged at its worst case.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import RESERVES, Amount, Limits, words
from genius_kit.budget.ledger import OverLimit, Share, State, check_fits, name_of
from genius_kit.budget.spending import Overruns, overruns_of, recorded_limits, seconds_of, spent_of
from genius_kit.budget.worst_cases import WorstCase, worst_case
from genius_kit.errors import BudgetSpent, InvalidParameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genius_kit.budget.prices import Prices
    from genius_kit.chat import ChatClient
    from genius_kit.journal import Journal

__all__ = ["Amount", "BudgetSpent", "Limits", "RunBudget", "seconds_of", "spent_of"]

CONSENT = "GENIUS_KIT_ALLOW_UNPRICED"

SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.02, 0.5
"""Between two tries to reserve what other runs of a study hold."""


class RunBudget:
    """What one run has spent and may spend. One for each run; used from the thread that runs the search.

    `limits` are those of the run, `share` is its part in those of a study. `allow_unpriced` consents to a model whose
    price is unknown: what it costs is then not counted.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        allow_unpriced: bool = False,
        share: Share | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()  # another thread may set others: they hold from the next request on
        self.allow_unpriced = allow_unpriced or os.environ.get(CONSENT) == "1"
        self.spent, self.held = Amount(), Amount()
        self._share, self._clock = share, clock
        self._name: str | None = None  # in the study's ledger; None until the run has something to do
        self._begun: float | None = None
        self._model = "this client"
        self._told: dict[str, Any] = {}  # the limits that stand last on record
        self._seconds_before = 0.0
        self._overruns = Overruns()

    def record(self) -> dict[str, Any]:
        """Return what the run may take as plain values for its record; empty without limits."""
        study = self._share.limits.given() if self._share else {}
        return {
            **self.limits.given(),
            **({"study": study} if study else {}),
            **({"allow_unpriced": True} if self.allow_unpriced else {}),
        }

    @property
    def counts_time(self) -> bool:
        """Whether the seconds of the run are limited."""
        return self._is_limited("seconds")

    @property
    def seconds(self) -> float:
        """Seconds that the run was under way, in all its sittings."""
        return self._seconds_before + (0.0 if self._begun is None else self._clock() - self._begun)

    def check(self, client: ChatClient, prices: Prices) -> None:
        """Raise InvalidParameter for a client whose requests cannot be counted as the limits need it."""
        worst, self._model = worst_case(client, (), prices), client.model
        self._check_priced(worst, not getattr(client, "is_local", True))
        self._check_bounded(worst)

    def _check_priced(self, worst: WorstCase, is_remote: bool) -> None:
        limited = self._is_limited("dollars")
        if worst.price is None and not worst.is_free and (is_remote or limited) and not self.allow_unpriced:
            raise InvalidParameter(
                f"no price is known for the model {self._model!r}, so nothing was sent: what it costs could not be "
                "counted. Put its price, in US dollars per million tokens, into a file that GENIUS_KIT_PRICES names "
                f'(`[models."{self._model}"]`, `input = 1.0`, `output = 4.0`), or consent: allow_unpriced=True, '
                f"--allow-unpriced, `allow_unpriced: true` in a study file, {CONSENT}=1"
            )

    def _check_bounded(self, worst: WorstCase) -> None:
        for _, limits in self._whose():
            for name in sorted(worst.unbounded & limits.given().keys()):
                if name == "dollars" and worst.price is None:
                    continue  # consented to
                raise InvalidParameter(
                    f"a limit of {name} needs to know how long a reply of {self._model!r} can be, so nothing was sent: "
                    "give an output limit (max_tokens=, --max-tokens, `max_tokens:` in a study file), or the model's "
                    "max_output in its price entry"
                )

    def reserve(
        self,
        worst: WorstCase,
        attempts: int,
        journal: Journal,
        iteration: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> WorstCase:
        """Reserve the worst case of a request that may be sent `attempts` times, of which one call at a time counts.

        Returns what is reserved for one attempt: more than `worst` where a call of this run took more than its worst
        case. Waits with `sleep` while it fits only without what other runs of the study hold. Raises BudgetSpent where
        it does not fit, or a call took more and no limit was raised since; the request is then not to be sent. Does
        nothing while the journal is read back.
        """
        if journal.replaying:
            return worst
        is_first = self._begun is None
        self._begin(journal, worst.amount)
        if is_first:
            self._note_price(worst, journal, iteration)
        self.check_time(journal, iteration)
        self._check_priced(worst, is_remote=False)  # limits may have been set since `check`
        self._check_bounded(worst)
        self._check_overruns(journal, iteration)
        excess = self._overruns.excess
        worst = replace(worst, excess=(excess.get("tokens", 1.0), excess.get("dollars", 1.0)))
        more = worst.amount.times(min(attempts, self._attempts or attempts))
        self._reserve(Amount(1, more.tokens, more.dollars, more.gpu_hours), journal, iteration, sleep)
        return worst

    def _note_price(self, worst: WorstCase, journal: Journal, iteration: int) -> None:
        """Put on record that the lists say another price than in the sitting before."""
        told = [event["price"] for event in journal.events if event["event"] == "price_changed"]
        before = told[-1] if told else worst.price and worst.price.rates
        now = worst.today and worst.today.rates
        if before != now:
            fields = {"model": self._model, "price": now, "before": before}
            source = {"source": worst.today.source} if worst.today else {}
            journal.note("price_changed", iteration=iteration, **fields, **source)

    def _check_overruns(self, journal: Journal, iteration: int) -> None:
        """Raise BudgetSpent after a call that took more than was reserved for it, until a limit is raised."""
        for name, (reserved, taken) in self._overruns.standing.items():
            for whose, limits in self._whose():
                if name in limits.given():
                    none = Decimal(0)
                    over = OverLimit(name, taken, spent=Decimal(getattr(self.spent, name)), reserved=none, left=none)
                    raise self._refusal(over, whose, limits, journal, iteration, beyond=reserved)

    def sent(self, amount: Amount) -> None:
        """Note that an attempt is on record and may be billed from now on."""
        self.spent += amount
        kept = self.held - amount
        self.held = Amount(max(kept.calls, 0), kept.tokens, kept.dollars, kept.gpu_hours)

    def settled(self, amount: Amount, taken: Amount) -> None:
        """Note that an attempt for which `amount` was reserved came to `taken`."""
        self.spent += taken - amount
        self._overruns.add(amount, taken)

    def release(self) -> None:
        """Release what is held, and tell the study what the run has spent."""
        self.held = Amount()
        if self._share is not None and self._name is not None:
            self._share.ledger.change(self._name, self._state())

    def check_time(self, journal: Journal, iteration: int) -> None:
        """Raise BudgetSpent when the run, or its study, was under way for as long as it may be."""
        if journal.replaying or not self.counts_time:
            return
        self._begin(journal, Amount(1))
        for whose, limits, passed in self._clocks():
            if limits.seconds is not None and passed >= limits.seconds:
                none = Decimal(0)
                over = OverLimit("seconds", none, spent=Decimal(passed), reserved=none, left=none)
                raise self._refusal(over, whose, limits, journal, iteration)

    @contextmanager
    def evaluation(
        self,
        on_gpu: bool,
        time_limit: float | None,
        journal: Journal,
        iteration: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[dict[str, Any]]:
        """Reserve the GPU time of an evaluation, where that is limited; yields fields for its record, filled after.

        `time_limit` is the longest that it takes, in seconds; raises InvalidParameter where one is needed.
        """
        fields: dict[str, Any] = {}
        limited = self._is_limited("gpu_hours")
        hours = _gpu_hours(time_limit) if on_gpu and limited else None
        if hours is None or journal.replaying:
            yield fields
            return
        amount = Amount.of(gpu_hours=hours)
        self._begin(journal, Amount(1))
        self._reserve(amount, journal, iteration, sleep)
        journal.note("gpu_reserved", iteration=iteration, reserved=amount.record())
        self.sent(amount)
        begun = self._clock()
        try:
            yield fields
            taken = Amount.of(gpu_hours=min(hours, (self._clock() - begun) / 3600))
            fields["spent"] = taken.record()
            self.settled(amount, taken)
        finally:
            self.release()

    def _begin(self, journal: Journal, unknown: Amount) -> None:
        """Take what the journal records as spent, once, before anything is reserved; put changed limits on record."""
        is_first = self._begun is None
        if is_first:
            self._begun = self._clock()
            self.spent = spent_of(journal.events, unknown)
            self._seconds_before = seconds_of(journal.events)
            self._told = recorded_limits(journal.events)
            self._overruns = overruns_of(journal.events)
        if self._told != (limits := self.record()):
            journal.note("limits_set", limits=limits)
            self._overruns.raised(self._told, limits)
            self._told = limits
        if is_first and self._share is not None and journal.path is not None:
            self._name = name_of(journal.path, journal.events[0])
            self._share.ledger.change(self._name, self._state())

    def _reserve(
        self, wanted: Amount, journal: Journal, iteration: int, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.held = Amount()
        pause = SHORTEST_WAIT_SECONDS
        while True:
            try:
                whose, limits = "run", self.limits
                check_fits(limits, State(self.spent), wanted)
                if self._share is not None and self._name is not None:
                    whose, limits = "study", self._share.limits
                    self._share.ledger.change(self._name, State(self.spent, wanted, self.seconds), limits)
                self.held = wanted
                return
            except OverLimit as over:
                if not over.will_pass:
                    raise self._refusal(over, whose, limits, journal, iteration) from None
            if pause == SHORTEST_WAIT_SECONDS:
                self.release()  # nobody waits who holds anything, so that no two wait for each other
            sleep(pause)
            pause = min(pause * 1.5, LONGEST_WAIT_SECONDS)
            self.check_time(journal, iteration)

    def _refusal(
        self,
        over: OverLimit,
        whose: str,
        limits: Limits,
        journal: Journal,
        iteration: int,
        beyond: Decimal | None = None,
    ) -> BudgetSpent:
        """Record that a limit ended the run, and return the error that says so.

        `beyond` is what was reserved for a call that took more, where that is the reason.
        """
        cap = limits.given()[over.limit]
        fields: dict[str, Any] = {"iteration": iteration, "limit": over.limit, "whose": whose, "cap": cap}
        fields |= {"left": float(over.left), **({} if beyond is None else {"beyond": float(beyond)})}
        sums = {"spent": float(over.spent), "reserved": float(over.reserved), "needed": float(over.needed)}
        elapsed = {"elapsed": round(self.seconds, 3)} if self.counts_time else {}
        attempts = f"{self._attempts} attempt" if self._attempts else "all attempts"
        message = _explanation(over, whose, cap, journal, beyond, attempts)
        last = journal.events[-1] if journal.events else {}
        if any(last.get(key) != value for key, value in fields.items()) or last.get("event") != "budget_spent":
            journal.note("budget_spent", **fields, **sums, message=message, **elapsed)
        return BudgetSpent(message, limit=over.limit, whose=whose)

    @property
    def _attempts(self) -> int | None:
        """The attempts that are reserved at once, None for all of them."""
        chosen = (self._share.limits.reserve if self._share else None) or self.limits.reserve
        return None if chosen is None else RESERVES[chosen]

    def _is_limited(self, name: str) -> bool:
        shared = self._share is not None and getattr(self._share.limits, name) is not None
        return shared or getattr(self.limits, name) is not None

    def _whose(self) -> tuple[tuple[str, Limits], ...]:
        return (("run", self.limits), *((("study", self._share.limits),) if self._share else ()))

    def _clocks(self) -> Iterator[tuple[str, Limits, float]]:
        yield "run", self.limits, self.seconds
        if self._share is not None and self._share.limits.seconds is not None and self._name is not None:
            states = self._share.ledger.states()
            others = sum(state.seconds for name, state in states.items() if name != self._name)
            yield "study", self._share.limits, others + self.seconds

    def _state(self) -> State:
        return State(self.spent, self.held, self.seconds)


def _gpu_hours(time_limit: float | None) -> float:
    """Return the most GPU-hours that one evaluation takes; raises InvalidParameter where nothing limits it."""
    if time_limit is None:
        raise InvalidParameter(
            "a limit of gpu_hours needs to know how long an evaluation can take, so nothing was begun: give the "
            "benchmark a time_limit (--time-limit), in seconds"
        )
    return float(time_limit) / 3600


def _explanation(
    over: OverLimit, whose: str, cap: float, journal: Journal, beyond: Decimal | None, attempts: str
) -> str:
    flag = f"--max-{'total-tokens' if over.limit == 'tokens' else over.limit.replace('_', '-')}"
    if over.limit == "seconds":
        what = f"the {whose} was under way for the {cap:g} seconds that it may be"
    elif beyond is not None:
        what = (
            f"a reply took {words(over.limit, over.needed)}, more than the {words(over.limit, beyond)} that were "
            "reserved as the most it could take: the server counts more than it was asked for, or answers under a "
            f"dearer name. It is booked in full; the {whose} may take {words(over.limit, cap)}, and with a raised "
            "limit as much more is reserved for each request"
        )
    else:
        others = f" reserved by other runs of the {whose}," if whose == "study" else " reserved,"
        what = (
            f"the {whose} may take {words(over.limit, cap)}: {words(over.limit, over.spent)} are spent, "
            f"{words(over.limit, over.reserved)}{others} {words(over.limit, over.left)} free, and the next step may "
            f"take up to {words(over.limit, over.needed)} (its worst case, {attempts})"
        )
    if over.limit in ("tokens", "dollars") and beyond is None:
        what += ", less with a lower output limit (--max-tokens)"
    command = f"genius-kit resume {journal.path} {flag} MORE" if whose == "run" else f"the same study with {flag} MORE"
    if journal.path is None:
        command = "search(..., limits=...) with more"
    return f"{what}. Nothing was sent for it, and all before it is safe on the record; go on with: {command}"
