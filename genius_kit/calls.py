"""Calling a language model, every attempt on record.

An `intent` is written before the socket opens, then the `call` or the `call_failed`. Retries are few, classed by
cause, and each is journaled; the openai package's own are off. On resume, recorded replies and failures are
handed back: a reply that reached the disk is never asked for again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genius_kit.errors import JournalError, ModelError
from genius_kit.prices import load_prices, price_of
from genius_kit.records import Message

if TYPE_CHECKING:
    import tenacity

    from genius_kit.journal import Event, Journal
    from genius_kit.llm import ChatClient, Reply

ATTEMPTS_LIMIT = 6  # attempts a request, the first included
LONGEST_WAIT_SECONDS = 120.0  # a server that asks for a longer wait ends the run, resumable


class Caller:
    """Sends requests through `client` and records them in `journal`. One for each run; not shared between threads."""

    def __init__(
        self,
        client: ChatClient,
        journal: Journal,
        *,
        attempts_limit: int = ATTEMPTS_LIMIT,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.client = client
        self._journal = journal
        self._attempts_limit = attempts_limit
        self._sleep = sleep or journal.steering.sleep
        self._prices = load_prices()  # now, so that a broken price file costs no paid reply

    def ask(self, messages: Sequence[Message], iteration: int, seed: int | None = None) -> Reply:
        """Return the model's reply to `messages`.

        A retryable failure is tried again after the wait the server asked for, or 1, 2, 4... seconds. A parameter
        that the model refuses is dropped for the rest of the run. Raises ModelError when nothing helps; the
        journal then resumes from this call.
        """
        while True:
            try:
                return self._retrying()(self._attempt, messages, iteration, seed)
            except ModelError as error:
                if error.cause != "unsupported-parameter" or not error.parameter:
                    raise
                self.client = self.client.without(error.parameter)

    def _retrying(self) -> tenacity.Retrying:
        import tenacity

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_worth_retrying),
            stop=tenacity.stop_after_attempt(self._attempts_limit),
            wait=_wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )

    def _attempt(self, messages: Sequence[Message], iteration: int, seed: int | None) -> Reply:
        request = _digest(self.client, messages, seed)
        recorded = self._recorded(request)
        if recorded is not None:
            return _restore(recorded)
        self._journal.steering.check(self._journal, iteration, between_steps=False)
        self._journal.record("intent", iteration=iteration, request=request)
        try:
            reply = self._journal.steering.ask(self.client, messages, seed)
        except ModelError as error:
            self._journal.record(
                "call_failed",
                iteration=iteration,
                cause=error.cause,
                message=str(error),
                retryable=error.retryable,
                retry_after=error.retry_after,
                parameter=error.parameter,
            )
            raise
        self._journal.record("call", iteration=iteration, messages=list(messages), **self._reply_fields(reply))
        return reply

    def _reply_fields(self, reply: Reply) -> dict[str, Any]:
        cost = price_of(reply.usage, reply.model or self.client.model, self._prices)
        return {**asdict(reply), "cost": cost}

    def _recorded(self, request: str) -> Event | None:
        """Hand back the reply that the journal holds for this request, None when it has to be sent.

        Intents without an answer and failures of before are passed over (their waits are over), but a parameter
        that was refused is refused again, so that it is dropped again.
        """
        while intent := self._journal.take("intent"):
            if intent["request"] != request:
                raise JournalError(
                    f"{self._journal.path}: the recorded request {intent['request']} is not the one this run sends "
                    f"({request}): the prompt, the model or its settings have changed. Choose another journal."
                )
            failed = self._journal.take("call_failed")
            if failed and failed["cause"] == "unsupported-parameter":
                raise ModelError(failed["message"], cause=failed["cause"], parameter=failed["parameter"])
        return self._journal.take("call")


def _digest(client: ChatClient, messages: Sequence[Message], seed: int | None) -> str:
    content = json.dumps([client.settings(), list(messages), seed], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _restore(event: Event) -> Reply:
    from genius_kit.llm import Reply, Usage

    fields = {key: event[key] for key in ("text", "model", "finish_reason", "seconds", "refusal") if key in event}
    return Reply(usage=Usage(**event["usage"]), **fields)


def _worth_retrying(error: BaseException) -> bool:
    if not isinstance(error, ModelError) or not error.retryable:
        return False
    return error.retry_after is None or error.retry_after <= LONGEST_WAIT_SECONDS


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ModelError) else None
    return asked if asked is not None else min(2.0 ** (state.attempt_number - 1), 30.0)
