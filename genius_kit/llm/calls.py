"""Calling a language model, every attempt on record.

An `intent` is written before the socket opens, then the `call` or the `call_failed`. Retries are few, classed by
cause, and each is journaled; the openai package's own are off. What a server does not take of a request is sent in
another form for the rest of the run: its refusal is on record once. On resume, recorded replies and failures are handed
back: a reply that reached the disk is never asked for again. What an attempt may cost is reserved before its intent is
written; the intent says what was reserved, the line after it what was spent.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import Amount
from genius_kit.budget.prices import load_prices
from genius_kit.budget.worst_cases import WorstCase, address_of, may_be_billed, worst_case
from genius_kit.chat import OUTPUT_LIMITS, TOLD_SOMETIMES, Usage, recorded_usage
from genius_kit.errors import JournalError, ModelError
from genius_kit.llm.client import OpenAIClient
from genius_kit.llm.http_errors import is_lasting
from genius_kit.llm.rate_limit import slot_of
from genius_kit.llm.recorded import reply_of
from genius_kit.llm.session import CallCancelled, Session
from genius_kit.records import Message

if TYPE_CHECKING:
    import tenacity

    from genius_kit.chat import ChatClient, Reply
    from genius_kit.journal import Event

ATTEMPTS_LIMIT = 6  # attempts a request, the first included; those that a rate limit turned away are counted apart
REFUSALS_LIMIT = 10  # rate limits a request: their waits are two minutes or more, two windows of most providers
WINDOW_WAIT_SECONDS = 30.0  # at least this before each attempt beyond the first few
LONGEST_WAIT_SECONDS = 120.0  # a server that asks for a longer wait ends the run, resumable
LONGEST_TOKEN = 7  # characters per token of a whole prompt: a server that counts fewer tokens has cut it


@dataclass
class _Question:
    """One request with what decides it, the most that an attempt takes, and how many attempts are left.

    `refusals_left` are the rate limits that are still waited for, `told` is the last failure in words.
    """

    client: ChatClient
    messages: list[Message]
    iteration: int
    seed: int | None
    purpose: str | None
    digest: str
    worst: WorstCase
    attempts_left: int
    refusals_left: int
    told: str | None = None


class Caller:
    """Sends the requests of one run through `client` and records them; not shared between threads.

    The session's `budget` is asked before a request is sent, its `replies`, where there are any, before that. Raises
    InvalidParameter for a client whose requests the budget cannot count.
    """

    def __init__(
        self,
        client: ChatClient,
        session: Session,
        *,
        attempts_limit: int = ATTEMPTS_LIMIT,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.client = client
        self._journal, self._control, self._replies = session.journal, session.control, session.replies
        self._attempts_limit = attempts_limit
        self._sleep = sleep or session.control.sleep
        prices = load_prices()  # now, so that a broken price file costs no paid reply
        self._prices = prices.resumed(client.model, session.journal.begun_price)
        self._refused: set[str | None] = set()  # what the server does not take, as far as this run knows
        self._form_taken = False  # whether the server has answered a request for a form
        self._budget = session.budget
        self._budget.check(client, self._prices)

    def ask(
        self, messages: Sequence[Message], iteration: int, seed: int | None = None, *, purpose: str | None = None
    ) -> Reply:
        """Return the model's reply to `messages`; the record says what for, where there is a `purpose`.

        A retryable failure is tried again after the wait the server asked for, or 1, 2, 4... seconds. What the server
        refuses of a request (a parameter, the system role) it is not sent for the rest of the run. Raises ModelError
        when nothing helps, and BudgetSpent when the request does not fit a limit; the journal then resumes from this
        call.
        """
        while True:
            question = self._question(messages, iteration, seed, purpose)
            try:
                reply = self._retrying()(self._attempt, question)
                self._form_taken |= reply.form is not None
                return reply
            except ModelError as error:
                if not self._can_adapt(error):
                    raise
                self._adapt(error)
            except CallCancelled:
                continue  # paused at once: the intent stays unanswered, and the request is sent anew
            finally:
                self._budget.release()

    def _can_adapt(self, error: ModelError) -> bool:
        """Return whether the request can be sent in another form, which this server has not refused."""
        is_refusal = error.cause == "unsupported-parameter" and bool(error.parameter)
        return is_refusal and not {error.parameter, error.instead or error.parameter} & self._refused

    def _adapt(self, error: ModelError) -> None:
        """Send requests as the server takes them from now on."""
        assert error.parameter is not None
        self._refused.add(error.parameter)
        if error.instead is None and error.parameter in OUTPUT_LIMITS and isinstance(self.client, OpenAIClient):
            self.client = self.client.without(error.parameter, keep_limit=False)  # recorded before limits were kept
        else:
            self.client = self.client.without(error.parameter)

    def _question(
        self, messages: Sequence[Message], iteration: int, seed: int | None, purpose: str | None
    ) -> _Question:
        in_prose = getattr(type(self.client), "in_prose", None)  # of the client, not of what an agent's stands for
        client: ChatClient = self.client if purpose is None or in_prose is None else in_prose(self.client)
        digest = _digest(client, messages, seed)
        worst = worst_case(client, messages, self._prices)
        refusals = REFUSALS_LIMIT if self._attempts_limit > 1 else 1
        return _Question(
            client, list(messages), iteration, seed, purpose, digest, worst, self._attempts_limit, refusals
        )

    def _retrying(self) -> tenacity.Retrying:
        import tenacity

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_worth_retrying),
            stop=_is_spent,
            wait=_wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )

    def _attempt(self, question: _Question) -> Reply:
        event = self._recorded(question) or self._reused(question)
        if event is not None:
            return reply_of(event)
        self._control.check(self._journal, question.iteration, between_steps=False)
        worst = self._budget.reserve(
            question.worst, question.attempts_left, self._journal, question.iteration, self._sleep
        )
        question.attempts_left -= 1
        reserved = worst.amount
        with slot_of(question.client, self._sleep) as slot:
            self._control.check(self._journal, question.iteration, between_steps=False)
            self._journal.record("intent", **self._intent_fields(question, reserved))
            self._budget.sent(reserved)
            try:
                reply = self._send(question)
            except ModelError as error:
                slot.failed(error)
                _count(error, question)
                taken = reserved if may_be_billed(error) else Amount()
                spent = {} if taken != Amount() and question.worst.unbounded else {"spent": taken.record()}
                self._journal.record("call_failed", **_failure_fields(error, question.iteration), **spent)
                self._budget.settled(reserved, taken)
                self._note_pace(slot.change, question.iteration)
                raise
        fields = {**self._reply_fields(reply, question, worst), **self._cut(question, reply.usage.input_tokens)}
        self._journal.record(
            "call", iteration=question.iteration, messages=question.messages, **_purpose(question), **fields
        )
        self._budget.settled(reserved, Amount.read(fields["spent"]))
        self._note_pace(slot.change, question.iteration)
        return reply

    def _cut(self, question: _Question, counted: int | None) -> dict[str, bool]:
        """Return what is recorded where a server counted fewer tokens than the prompt can have; said once per run."""
        sent = sum(len(message["content"]) for message in question.messages)
        if counted is None or counted * LONGEST_TOKEN >= sent:
            return {}
        if not any(event.get("prompt_cut") for event in self._journal.events):
            warnings.warn(
                f"{self.client.model} counted {counted:,} tokens for a prompt of {sent:,} characters: its server seems "
                "to have cut the prompt, so the model may not see the results. Give it a longer context (Ollama: "
                "OLLAMA_CONTEXT_LENGTH, llama.cpp: -c, vLLM: --max-model-len)",
                stacklevel=4,
            )
        return {"prompt_cut": True}

    def _send(self, question: _Question) -> Reply:
        try:
            return self._control.ask(question.client, question.messages, question.seed)
        except ModelError as error:
            explained = getattr(type(question.client), "explained", None)
            raise error if explained is None or self._form_taken else explained(question.client, error) from None

    def _note_pace(self, change: dict[str, Any] | None, iteration: int) -> None:
        if change is not None:
            self._journal.note("pace_changed", iteration=iteration, **change)

    def _intent_fields(self, question: _Question, reserved: Amount) -> dict[str, Any]:
        elapsed = {"elapsed": round(self._budget.seconds, 3)} if self._budget.counts_time else {}
        return {
            "iteration": question.iteration,
            "request": question.digest,
            **_purpose(question),
            **({} if question.worst.unbounded else {"reserved": reserved.record()}),
            **elapsed,
        }

    def _reply_fields(self, reply: Reply, question: _Question, worst: WorstCase) -> dict[str, Any]:
        """Return what is recorded of a reply: the server's counts, what is charged, and what these do not cover."""
        address = address_of(self.client)
        served = self._prices.find(reply.model or self.client.model, address)
        booking = worst.booked(reply, question.messages, served)
        fields = {**_told(reply), "cost": booking.cost, "spent": booking.amount.record()}
        if booking.usage != reply.usage:
            fields["least"] = booking.record()
        if booking.is_beyond:
            fields["beyond_worst_case"] = {**booking.record(), "reserved": worst.amount.record()}
        return fields

    def _recorded(self, question: _Question) -> Event | None:
        """Hand back the reply that the journal holds for this request, None when it has to be sent.

        Intents without an answer and failures of before are passed over (their waits are over), but what was refused
        is refused again, so that it is left out again.
        """
        while intent := self._journal.take("intent"):
            self._check_request(intent["request"], question)
            failed = self._journal.take("call_failed")
            error = _failure_of(failed) if failed else None
            if error is not None and self._can_adapt(error):
                raise error
        event = self._journal.take("call")
        if event is not None and "reused" in event:
            self._check_request(event["request"], question)
        return event

    def _check_request(self, recorded: str, question: _Question) -> None:
        if recorded != question.digest:
            raise JournalError(
                f"{self._journal.path}: the recorded request {recorded} is not the one this run sends "
                f"({question.digest}): the prompt, the model or its settings have changed. Choose another journal."
            )

    def _reused(self, question: _Question) -> Event | None:
        """Record and return an answer that another run has paid for, where such answers are wanted; nothing is sent."""
        if self._replies is None or self._journal.replaying:
            return None
        known = self._replies.find(question.digest, self._journal.path)
        if known is None:
            return None
        told = ("text", "model", "finish_reason", "refusal", *TOLD_SOMETIMES)
        kept = {key: known.call[key] for key in told if key in known.call}
        return self._journal.record(
            "call",
            iteration=question.iteration,
            messages=question.messages,
            **_purpose(question),
            **kept,
            usage=recorded_usage(Usage(0, 0, 0, 0)),
            seconds=0.0,
            cost=0.0,
            request=question.digest,
            reused={"journal": known.journal, "line": known.line},
        )


def _purpose(question: _Question) -> dict[str, str]:
    return {} if question.purpose is None else {"purpose": question.purpose}


def _failure_fields(error: ModelError, iteration: int) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "cause": error.cause,
        "message": str(error),
        "retryable": error.retryable,
        "retry_after": error.retry_after,
        "parameter": error.parameter,
        **({"instead": error.instead} if error.instead else {}),
    }


def _failure_of(event: Event) -> ModelError:
    """Return the error that a `call_failed` records, as far as it decides what is sent next."""
    parameter, instead = event.get("parameter"), event.get("instead")
    return ModelError(event["message"], cause=event["cause"], parameter=parameter, instead=instead)


def _count(error: ModelError, question: _Question) -> None:
    """Take a failed attempt off those that are left; an answer that will be the same again ends them."""
    if error.cause == "rate-limit":
        question.attempts_left += 1
        question.refusals_left -= 1
    if is_lasting(error, question.told):
        error.retryable = False
    question.told = str(error)


def _told(reply: Reply) -> dict[str, Any]:
    """Return the fields of a reply, those that a server tells sometimes only where it did."""
    fields = {**vars(reply), "usage": recorded_usage(reply.usage)}
    return {k: v for k, v in fields.items() if v is not None or k not in TOLD_SOMETIMES}


def _digest(client: ChatClient, messages: Sequence[Message], seed: int | None) -> str:
    content = json.dumps([client.settings(), list(messages), seed], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _worth_retrying(error: BaseException) -> bool:
    if not isinstance(error, ModelError) or not error.retryable:
        return False
    return error.retry_after is None or error.retry_after <= LONGEST_WAIT_SECONDS


def _is_spent(state: tenacity.RetryCallState) -> bool:
    question: _Question = state.args[0]
    return min(question.attempts_left, question.refusals_left) <= 0


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ModelError) else None
    if state.attempt_number >= ATTEMPTS_LIMIT:
        return max(asked or 0.0, WINDOW_WAIT_SECONDS)
    return asked if asked is not None else 2.0 ** (state.attempt_number - 1)
