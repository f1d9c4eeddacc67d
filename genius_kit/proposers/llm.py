"""A language model as a proposer: it is asked, its reply is read, a refused reply is answered and asked again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, cast

from genius_kit.chat import OFFLINE, RECITER, is_stand_in
from genius_kit.errors import InvalidParameter
from genius_kit.llm.agents import AbsentAgent, is_agent
from genius_kit.llm.calls import Caller
from genius_kit.llm.client import OpenAIClient
from genius_kit.llm.connection import recorded_address
from genius_kit.llm.offline import OfflineClient, ReciterClient
from genius_kit.llm.settings import (
    MISSING,
    STRUCTURED,
    check_output_limit,
    check_params,
    check_timeout,
    reply_form,
    schema_for,
)
from genius_kit.prompts import TemplatePrompt, load_prompt
from genius_kit.prompts.template import PURPOSE, check_principles, elicited, fed_back, question, texts_sha256
from genius_kit.prompts.views import (
    DERANGEMENT,
    PERMUTATION,
    View,
    check_benchmark,
    check_change,
    check_control,
    view_of,
)
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, TurnedDown, random_suggestion
from genius_kit.reasoning import without_reasoning
from genius_kit.records import Message, NoImprovement, Outcome, Proposal, Rejection
from genius_kit.replies import find_architectures
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.chat import Beside, ChatClient, Reply
    from genius_kit.llm.session import Session
    from genius_kit.prompts import Prompt


RUN_SEED = "run"
"""The `request_seed` that stands for the seed of each run."""


_ALWAYS = ("base_url", "temperature", "max_tokens", "conversation")
"""Settings that are on record where they were not given too."""


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What a language model is asked, and how; raises InvalidParameter in `check` and `record`.

    `model` "offline", the default, is the stand-in, "reciter:KEY" names the architecture KEY always, "agent:NAME" needs
    its client. `request_seed` is sent with each request, for servers that sample by it: a number, or "run" for the seed
    of the run. `params` are further fields of each request, such as {"reasoning_effort": "high"}; `timeout` is for one
    attempt, in seconds (default 600), and decides nothing. `structured`, one of `llm.settings.STRUCTURED`, asks a
    server for replies in a form that it enforces: "auto" by default where the model is a server's, and off with the
    published prompt. Runs that were recorded before there was a choice have `constrained_replies` in its place.

    `control`, one of `prompts.CONTROLS`, changes one thing about what the model sees, `change`, one of
    `prompts.CHANGES`, one that ought not to matter. With `principles`, "asked" or "fed-back", the model is asked for
    design principles before its first architecture. After `rejections_limit` refused replies in one iteration a random
    untried architecture is evaluated and marked as such (`on_exhausted="fallback"`), or the run ends ("stop").
    """

    counts: ClassVar[tuple[str, ...]] = ()
    """Settings of a subclass that are counts of at least 1."""

    model: str | None = None
    prompt: str = "standard"
    history: str = "table"
    base_url: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    params: Mapping[str, Any] | None = None
    structured: str | None = None
    constrained_replies: bool | None = None
    rejections_limit: int = 5
    on_exhausted: str = "fallback"
    conversation: str | None = None
    control: str | None = None
    change: str | None = None
    principles: str | None = None
    request_seed: int | str | None = None
    timeout: float | None = None

    def check(self, space: SearchSpace) -> None:
        """Raise InvalidParameter for settings that cannot be, or do not go together, in this space."""
        prompt, seed = str(self.prompt), self.request_seed
        if self.on_exhausted not in ("fallback", "stop"):
            raise InvalidParameter(f"on_exhausted is {self.on_exhausted!r}; it is 'fallback' or 'stop'")
        if self.history not in ("table", "dialogue"):
            raise InvalidParameter(f"history is {self.history!r}; it is 'table' or 'dialogue'")
        if not (seed in (None, RUN_SEED) or (isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0)):
            raise InvalidParameter(
                f"request_seed is {seed!r}; it is a number from 0, or {RUN_SEED!r} for the run's own"
            )
        for name in self.counts:
            if getattr(self, name) < 1:
                raise InvalidParameter(f"{name} is {getattr(self, name)}; it is a count of at least 1")
        check_control(self.control, prompt, self.history)
        check_change(self.change, self.control, space, prompt, self.history)
        check_principles(self.principles, self.control, prompt)

    def record(self, client: ChatClient | None) -> dict[str, Any]:
        """Return what decides a run as plain values, from which the same settings can be made again."""
        given = {
            **vars(self),
            "model": self.model or (client.model if client is not None else OFFLINE),
            "prompt": str(self.prompt),
            "base_url": recorded_address(self.base_url),
            "params": check_params(self.params) or None,
            "structured": self._form(),
            "conversation": str(self.conversation) if self.conversation else None,
            "timeout": None,
        }
        given["constrained_replies"] = bool(self.constrained_replies) if given["structured"] is None else None
        return {name: value for name, value in given.items() if value is not None or name in _ALWAYS}

    def _form(self) -> str | None:
        """Return "auto" or "on" where a form of the replies is asked for, None where they are prose."""
        structured = {True: "on", False: "off"}.get(self.structured, self.structured)  # type: ignore[call-overload]
        if structured not in (None, *STRUCTURED):
            raise InvalidParameter(f"structured is {structured!r}; it is one of {', '.join(STRUCTURED)}")
        is_published = str(self.prompt) == "published"
        in_prose = self.model is None or is_stand_in(self.model) or is_agent(self.model) or is_published
        if structured == "on" and in_prose:
            what = "the published prompt" if is_published else self.model or "a client of your own"
            raise InvalidParameter(f"structured is 'on', but {what} has replies in prose: take 'auto' or 'off'")
        was_recorded = structured is None and self.constrained_replies is not None
        return None if structured == "off" or in_prose or was_recorded else structured or "auto"


@dataclass(frozen=True)
class Exchange:
    """What one conversation came to; `outcome` is None where every reply was refused."""

    outcome: Proposal | NoImprovement | None
    exchange: tuple[Message, ...]


class LanguageModelProposer(Proposer):
    """A language model proposes; refused and repeated proposals are answered with the reason and asked again."""

    name = "llm"
    client: ChatClient
    takes: ClassVar[type[ModelSettings]] = ModelSettings
    """The settings of this class of proposers."""

    def __init__(self, space: SearchSpace, *, client: ChatClient | None = None, **settings: Any) -> None:
        """Take `ModelSettings` by their names; `client` replaces the one that `model` and `base_url` name."""
        super().__init__(space)
        self.asked = self.takes(**settings)
        self.asked.check(space)
        self.settings = self.asked.record(client)
        if client is None:
            schema = _schema(view_of(self.asked.control, space).space, self.settings)
            client = client_of({**self.settings, "base_url": self.asked.base_url}, schema, timeout=self.asked.timeout)
        self.client = client
        self._prompt: Any = None
        self._caller: Any = None
        self.resolved = {"client": client.kind, **client.settings()}
        if self.asked.control == "shuffled-feedback":
            self.resolved["shuffle"] = DERANGEMENT

    @classmethod
    def setting_names(cls) -> set[str]:
        """Return the names of the settings, the client among them."""
        return {"client", *(one.name for one in fields(cls.takes))}

    def prepare(self, benchmark: Benchmark, session: Session) -> None:
        """Load the prompt for `benchmark` and start this run's record of calls."""
        self.load_prompt(benchmark)
        if isinstance(self.client, AbsentAgent):
            self.client.send([])  # which says who runs it, before the journal does
        begun = session.journal.begun
        if begun and "shuffle" not in begun.get("resolved", {}):
            self.resolved.pop("shuffle", None)  # a run of before there was a rule on record goes on with that of then
        self._caller = Caller(self.client, session)

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`; the hash of its text is then among what decides the run."""
        asked = self.asked
        check_benchmark(asked.control, benchmark)
        self._prompt = load_prompt(
            self.settings["prompt"],
            self.space,
            history=asked.history,
            constraint=benchmark.constraint,
            dataset=benchmark.dataset,
            feedback_name=benchmark.feedback_name,
            image_size=benchmark.image_size,
            conversation=self.settings["conversation"],
            control=asked.control,
            title=benchmark.title,
            objectives=benchmark.objectives,
            change=asked.change,
            unit=benchmark.unit,
        )
        self.resolved["prompt_sha256"] = self._prompt.sha256
        if self.asks_principles:
            self.resolved["principles_sha256"] = texts_sha256()

    def talks(self, budget: int) -> tuple[slice, int]:
        """Return in which of `budget` iterations, from 0, the model is asked, and in how many conversations each."""
        return slice(0, budget), 1

    @property
    def instruction_length(self) -> int:
        """Characters that a prompt holds beside its own text, at most; known once the prompt is loaded."""
        return 0

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Ask until a reply can be used, at most `rejections_limit` times more than once."""
        return self.ask_for(situation)

    def ask_for(self, situation: Situation, instruction: str | None = None) -> Suggestion | Stop:
        """Ask until a reply can be used; after too many refusals fall back or stop, as the settings say.

        `instruction` is added to the last message of the opening.
        """
        talk = self.converse(situation, instruction)
        if isinstance(talk.outcome, Proposal):
            return Suggestion(talk.outcome.architecture, "model", talk.exchange)
        if isinstance(talk.outcome, NoImprovement):
            situation.journal.record("declined", iteration=situation.iteration)
            return Stop("declined")
        if self.asked.on_exhausted == "stop":
            return Stop("rejections")
        return random_suggestion(situation, "fallback", talk.exchange)

    def converse(
        self,
        situation: Situation,
        instruction: str | None = None,
        exclude: Sequence[Architecture] = (),
        exchange: Sequence[Message] = (),
    ) -> Exchange:
        """Ask until a reply can be used, at most `rejections_limit` times more than once, and return the talk.

        `instruction` is added to the last message of the opening, `exclude` are refused as duplicates, `exchange` is
        what was said in this iteration before, which goes on.
        """
        view = self.view(situation.seed)
        chosen = self.asked.request_seed
        seed = situation.seed if chosen == RUN_SEED else cast("int | None", chosen)
        prompt: Prompt = self._prompt.seen(view)
        if self.asks_principles:
            prompt = self._principled(prompt, situation, seed)
        opening = prompt.messages(situation.trials)
        if instruction is not None:
            opening[-1] = _longer(opening[-1], instruction)
        said = list(exchange)
        if not said and situation.last_turned_down is not None:
            said = _turned_down(situation.last_turned_down, prompt)
        for _ in range(self.asked.rejections_limit + 1):
            reply = self._caller.ask([*opening, *said], situation.iteration, seed)
            said.append({"role": "assistant", "content": without_reasoning(reply.text or "") or "(empty reply)"})
            outcome = _judge(_read(reply, view), situation, view, exclude)
            if not isinstance(outcome, Rejection):
                return Exchange(outcome, tuple(said))
            said.append(prompt.refusal(outcome))
        return Exchange(None, tuple(said))

    @property
    def asks_principles(self) -> bool:
        """Whether the model is asked for design principles, once per run; the prompt is then one of templates."""
        return self.asked.principles is not None

    def _principled(self, prompt: Prompt, situation: Situation, seed: int | None) -> Prompt:
        """Return the prompt with the principles of the run where they are fed back; asked for once, here."""
        assert isinstance(prompt, TemplatePrompt)  # the published one was refused
        known = elicited(situation.journal.events)
        if known is None:
            known = self._caller.ask(question(prompt), situation.iteration, seed, purpose=PURPOSE).text or ""
        return prompt.noted(fed_back(known)) if self.asked.principles == "fed-back" else prompt

    def naming(self, situation: Situation) -> Callable[[Architecture], str]:
        """Return how an architecture is named under the view of the run."""
        return self.view(situation.seed).name

    def view(self, seed: int) -> View:
        """Return what the control and the change let the model see in the run with this seed."""
        shuffle = self.resolved.get("shuffle", PERMUTATION)
        return view_of(self.asked.control, self.space, seed, self.asked.change, shuffle)

    def prompt(self, seed: int) -> Prompt:
        """Return the prompt of the run with this seed, as the control and the change let it be seen."""
        seen: Prompt = self._prompt.seen(self.view(seed))
        return seen


def _longer(message: Message, text: str) -> Message:
    """Return the message with another paragraph."""
    return Message(role=message["role"], content=f"{message['content']}\n\n{text}")


def _turned_down(last: TurnedDown, prompt: Prompt) -> list[Message]:
    """Return what was said in this iteration up to a person's rejection; nothing where no model had spoken."""
    if not last.suggestion.exchange:
        return []
    *before, end = last.suggestion.exchange
    refusal = prompt.refusal(last.rejection)
    if end["role"] == "user":  # the model had been refused already: a strict chat template wants one user message
        return [*before, _longer(end, refusal["content"])]
    return [*before, end, refusal]


def _judge(outcome: Outcome, situation: Situation, view: View, exclude: Sequence[Architecture]) -> Outcome:
    """Return what a reply comes to, an architecture that may not be evaluated being a Rejection; those are recorded."""
    refused: Architecture | None = None
    if isinstance(outcome, Proposal):
        refusal = _refusal(outcome.architecture, situation, view, exclude)
        if refusal is None:
            return outcome
        refused, outcome = outcome.architecture, refusal
    elif isinstance(outcome, NoImprovement):
        if situation.trials:
            return outcome
        outcome = Rejection("declined too early", "Nothing has been evaluated yet; propose a first design.")
    situation.journal.record(
        "rejected",
        iteration=situation.iteration,
        reason=outcome.reason,
        detail=outcome.detail,
        architecture=None if refused is None else list(refused),
    )
    return outcome


def _refusal(
    architecture: Architecture, situation: Situation, view: View, exclude: Sequence[Architecture]
) -> Rejection | None:
    """Return why `architecture` is not taken, in the words of `view`, or None."""
    if any(situation.benchmark.space.same(architecture, other) for other in exclude):
        return Rejection(
            "duplicate",
            f"{view.name(architecture)} was already named in this conversation; propose a different design.",
        )
    return situation.refusal(architecture, view.name)


COMPLETE = {"stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed", "tool_calls"}
"""Finish reasons, in small letters, of complete replies; after any other one the end of the reply tells."""


def _read(reply: Reply, view: View) -> Outcome:
    """Return what a reply says; one that is empty, or that ends before it is whole, is refused."""
    if reply.beside and not (reply.text or reply.refusal or "").strip():
        return _without_answer(reply.beside, reply.finish_reason)
    if reply.form == MISSING:
        return Rejection(
            "not in the form", "Your reply is not in the form that was asked for: answer with the JSON alone."
        )
    if reply.refusal:
        return Rejection("model refused", "You declined to answer; please propose one design in the format asked for.")
    text = reply.text or ""
    is_complete = reply.finish_reason.lower() in COMPLETE or _is_whole(text, view)
    outcome = view.parse(text)
    if isinstance(outcome, NoImprovement) or (is_complete and isinstance(outcome, Proposal)):
        return outcome
    if reply.finish_reason == "content_filter":
        return Rejection("content filter", "Your reply was withheld by a filter; please propose one design again.")
    is_read = isinstance(outcome, Rejection) and outcome.reason != "edited"  # what it was changed to is cut off
    if reply.finish_reason == "length" or not (is_complete or is_read):
        return Rejection(
            "cut", "Your reply was cut off at the output limit; answer more briefly, with the design last."
        )
    if not text.strip():
        return Rejection("empty", "Your reply was empty; please propose one design in the format asked for.")
    return outcome


def _is_whole(text: str, view: View) -> bool:
    """Return whether a reply ends with its architecture or a finished sentence."""
    said = without_reasoning(text).rstrip()
    return bool(re.search(r"[^\w,;:([{-]$", said)) or any(
        one.end == len(text.rstrip()) for one in find_architectures(text, view.space)
    )


def _without_answer(beside: Sequence[Beside], finish_reason: str) -> Rejection:
    """Return why a reply that holds no text is refused: what came in its place."""
    thought = sum(one["characters"] for one in beside if one["kind"] in ("reasoning_content", "reasoning", "thinking"))
    others = [one["kind"] for one in beside if one["kind"] not in ("reasoning_content", "reasoning", "thinking")]
    told = [*([f"reasoning of {thought:,} characters"] if thought else []), *dict.fromkeys(others)]
    cut = " before it was cut off at the output limit" if finish_reason == "length" else ""
    return Rejection(
        "cut" if cut else "no answer",
        f"The reply holds {' and '.join(told)} and no answer{cut}; please propose one design in the format asked for.",
    )


def client_of(
    settings: Mapping[str, Any],
    schema: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    timeout: float | None = None,
) -> ChatClient:
    """Return the client of settings with model, base_url, temperature, max_tokens and, where there are any, params.

    `extra` are fields that are sent where `params` does not give them; all but the model are a server's.
    """
    check_timeout(timeout)
    if settings["max_tokens"] is not None:
        check_output_limit(settings["max_tokens"])
    if is_agent(settings["model"]):
        return AbsentAgent(settings["model"])
    if settings["model"] == OFFLINE:
        return OfflineClient()
    if settings["model"].startswith(RECITER):
        return ReciterClient(settings["model"].removeprefix(RECITER))
    sent = {name: settings[name] for name in ("base_url", "temperature", "max_tokens")}
    fields = {**(extra or {}), **settings.get("params", {})}
    sent |= {"response_schema": schema, "structured": settings.get("structured")}
    return OpenAIClient(settings["model"], **sent, timeout=timeout, extra=fields)


def _schema(space: SearchSpace, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the form that the replies of a run are asked for, None for prose."""
    if "structured" in settings:
        asks_words = settings["prompt"] != "minimal" and settings.get("change") != "no-rationale"
        return reply_form(space, with_reasoning=asks_words)
    return schema_for(space) if settings["constrained_replies"] else None
