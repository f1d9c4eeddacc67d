"""A language model as a proposer: it is asked, its reply is read, a refused reply is answered and asked again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.chat import is_stand_in
from genius_kit.errors import InvalidParameter
from genius_kit.llm.agents import AbsentAgent, is_agent
from genius_kit.llm.client import OpenAIClient
from genius_kit.llm.settings import (
    MISSING,
    STRUCTURED,
    check_output_limit,
    check_params,
    check_timeout,
    reply_form,
    schema_for,
)
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
from genius_kit.proposers.base import Proposer, Situation, Stop, Suggestion, random_suggestion
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


@dataclass(frozen=True)
class Exchange:
    """What one conversation came to; `outcome` is None where every reply was refused."""

    outcome: Proposal | NoImprovement | None
    exchange: tuple[Message, ...]


class LanguageModelProposer(Proposer):
    """A language model proposes; refused and repeated proposals are answered with the reason and asked again."""

    name = "llm"
    client: ChatClient

    def __init__(
        self,
        space: SearchSpace,
        *,
        model: str | None = None,
        prompt: str = "standard",
        history: str = "table",
        base_url: str | None = None,
        temperature: float | None = None,
        request_seed: int | str | None = None,
        max_tokens: int | None = None,
        params: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        structured: str | None = None,
        constrained_replies: bool | None = None,
        rejections_limit: int = 5,
        on_exhausted: str = "fallback",
        client: ChatClient | None = None,
        conversation: str | None = None,
        control: str | None = None,
        change: str | None = None,
        principles: str | None = None,
    ) -> None:
        """`client` replaces the one that `model` and `base_url` name; "offline", the default, is the stand-in,
        "reciter:KEY" names the design KEY always, "agent:NAME" needs its `client`. `request_seed` is sent with each
        request, for servers that sample by it: a number, or "run" for the seed of the run. `params` are further fields
        of each request, such as {"reasoning_effort": "high"}; `timeout` is for one attempt, in seconds (default 600),
        and decides nothing. `structured`, one of `llm.settings.STRUCTURED`, asks a server for replies in a form that
        it enforces: "auto" by default where the model is a server's, and off with the published prompt. Runs that were
        recorded before there was a choice have `constrained_replies` in its place.

        `control`, one of `prompts.CONTROLS`, changes one thing about what the model sees, `change`, one of
        `prompts.CHANGES`, one that ought not to matter. With `principles`, "asked" or "fed-back", the model is asked
        for design principles before its first design. After `rejections_limit` refused replies in one iteration a
        random untried architecture is evaluated and marked as such (`on_exhausted="fallback"`), or the run ends
        ("stop").
        """
        if on_exhausted not in ("fallback", "stop"):
            raise InvalidParameter(f"on_exhausted is {on_exhausted!r}; it is 'fallback' or 'stop'")
        if history not in ("table", "dialogue"):
            raise InvalidParameter(f"history is {history!r}; it is 'table' or 'dialogue'")
        _check_request_seed(request_seed)
        check_control(control, str(prompt), history)
        check_change(change, control, space, str(prompt), history)
        check_principles(principles, control, str(prompt))
        self.space = space
        self.control = control
        self.change = change
        self.settings: dict[str, Any] = {
            "model": model or (client.model if client is not None else "offline"),
            "prompt": str(prompt),
            "history": history,
            "base_url": base_url,
            "temperature": temperature,
            "max_tokens": max_tokens,
            **({"params": told} if (told := check_params(params)) else {}),
            **_chosen_form(structured, constrained_replies, model, str(prompt)),
            "rejections_limit": rejections_limit,
            "on_exhausted": on_exhausted,
            "conversation": str(conversation) if conversation else None,
            **({"control": control} if control else {}),
            **({"change": change} if change else {}),
            **({"principles": principles} if principles else {}),
            **({} if request_seed is None else {"request_seed": request_seed}),
        }
        schema = _schema(view_of(control, space).space, self.settings)
        self.client = client or client_of(self.settings, schema, timeout=timeout)
        self._prompt: Any = None
        self._caller: Any = None
        self._limit = rejections_limit
        self._on_exhausted = on_exhausted
        self.resolved: dict[str, Any] = {"client": self.client.kind, **self.client.settings()}
        if control == "shuffled-feedback":
            self.resolved["shuffle"] = DERANGEMENT

    def prepare(self, benchmark: Benchmark, session: Session) -> None:
        """Load the prompt for `benchmark` and start this run's record of calls."""
        from genius_kit.llm.calls import Caller

        self.load_prompt(benchmark)
        if isinstance(self.client, AbsentAgent):
            self.client.send([])  # which says who runs it, before the journal does
        begun = session.journal.begun
        if begun and "shuffle" not in begun.get("resolved", {}):
            self.resolved.pop("shuffle", None)  # a run of before there was a rule on record goes on with that of then
        self._caller = Caller(self.client, session)

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`; the hash of its text is then among what decides the run."""
        from genius_kit.prompts import load_prompt

        check_benchmark(self.control, benchmark)
        self._prompt = load_prompt(
            self.settings["prompt"],
            self.space,
            history=self.settings["history"],
            constraint=benchmark.constraint,
            dataset=benchmark.dataset,
            feedback_name=benchmark.feedback_name,
            image_size=benchmark.image_size,
            conversation=self.settings["conversation"],
            control=self.control,
            title=benchmark.title,
            objectives=benchmark.objectives,
            change=self.change,
        )
        self.resolved["prompt_sha256"] = self._prompt.sha256
        if "principles" in self.settings:
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
        if self._on_exhausted == "stop":
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
        view, prompt = self.view(situation), self._principled(situation)
        opening = _with_instruction(prompt.messages(situation.trials), instruction)
        said = list(exchange) or _turned_down(situation, prompt)
        for _ in range(self._limit + 1):
            reply = self._caller.ask([*opening, *said], situation.iteration, self._request_seed(situation))
            said.append({"role": "assistant", "content": without_reasoning(reply.text or "") or "(empty reply)"})
            outcome = _judge(reply, situation, view, exclude)
            if not isinstance(outcome, Rejection):
                return Exchange(outcome, tuple(said))
            said.append(prompt.refusal(outcome))
        return Exchange(None, tuple(said))

    def _request_seed(self, situation: Situation) -> int | None:
        """Return the seed that is sent with the requests of a run, None for none."""
        chosen = self.settings.get("request_seed")
        return situation.seed if chosen == RUN_SEED else chosen

    @property
    def asks_principles(self) -> bool:
        """Whether the model is asked for design principles, once a run; the prompt is then one of templates."""
        return "principles" in self.settings

    def _principled(self, situation: Situation) -> Prompt:
        """Return the prompt of the run, with its principles where they are fed back; asked for once, here."""
        prompt = self.prompt(situation.seed)
        if not self.asks_principles:
            return prompt
        from genius_kit.prompts import TemplatePrompt

        assert isinstance(prompt, TemplatePrompt)  # the published one was refused
        known = elicited(situation.journal.events)
        if known is None:
            seed = self._request_seed(situation)
            known = self._caller.ask(question(prompt), situation.iteration, seed, purpose=PURPOSE).text or ""
        return prompt.noted(fed_back(known)) if self.settings["principles"] == "fed-back" else prompt

    def naming(self, situation: Situation) -> Callable[[Architecture], str]:
        """Return how an architecture is named under the view of the run."""
        return self.view(situation).name

    def view(self, situation: Situation) -> View:
        """Return what the control and the change let the model see in this run."""
        return self._view(situation.seed)

    def prompt(self, seed: int) -> Prompt:
        """Return the prompt of the run with this seed, as the control and the change let it be seen."""
        seen: Prompt = self._prompt.seen(self._view(seed))
        return seen

    def _view(self, seed: int) -> View:
        shuffle = self.resolved.get("shuffle", PERMUTATION)
        return view_of(self.control, self.space, seed, self.change, shuffle)


def _check_request_seed(given: int | str | None) -> None:
    is_number = isinstance(given, int) and not isinstance(given, bool) and given >= 0
    if not (given is None or given == RUN_SEED or is_number):
        raise InvalidParameter(f"request_seed is {given!r}; it is a number from 0, or {RUN_SEED!r} for the run's own")


def _with_instruction(messages: Sequence[Message], instruction: str | None) -> list[Message]:
    """Return the messages with `instruction` at the end of the last one."""
    if instruction is None:
        return list(messages)
    last = messages[-1]
    return [*messages[:-1], Message(role=last["role"], content=f"{last['content']}\n\n{instruction}")]


def _turned_down(situation: Situation, prompt: Prompt) -> list[Message]:
    """Return what was said in this iteration up to a person's rejection; nothing where no model had spoken."""
    last = situation.last_turned_down
    if last is None or not last.suggestion.exchange:
        return []
    *before, end = last.suggestion.exchange
    refusal = prompt.refusal(last.rejection)
    if end["role"] == "user":  # the model had been refused already: a strict chat template wants one user message
        return [*before, Message(role="user", content=f"{end['content']}\n\n{refusal['content']}")]
    return [*before, end, refusal]


def _judge(reply: Reply, situation: Situation, view: View, exclude: Sequence[Architecture]) -> Outcome:
    """Return what a reply comes to, an architecture that may not be evaluated being a Rejection; those are recorded."""
    outcome = _read(reply, view)
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
    if reply.finish_reason == "length" or not (is_complete or isinstance(outcome, Rejection)):
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
    from genius_kit.chat import RECITER
    from genius_kit.llm.offline import OfflineClient, ReciterClient

    check_timeout(timeout)
    if settings["max_tokens"] is not None:
        check_output_limit(settings["max_tokens"])
    if is_agent(settings["model"]):
        return AbsentAgent(settings["model"])
    if settings["model"] == "offline":
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


def _chosen_form(structured: Any, constrained: bool | None, model: str | None, prompt: str) -> dict[str, str | bool]:
    """Return the setting that says what form is asked for; that of prose is the one that runs always had."""
    structured = {True: "on", False: "off"}.get(structured, structured)  # as YAML reads on and off
    if structured not in (None, *STRUCTURED):
        raise InvalidParameter(f"structured is {structured!r}; it is one of {', '.join(STRUCTURED)}")
    in_prose = model is None or is_stand_in(model) or is_agent(model) or prompt == "published"
    if structured == "on" and in_prose:
        what = "the published prompt" if prompt == "published" else model or "a client of your own"
        raise InvalidParameter(f"structured is 'on', but {what} has replies in prose: take 'auto' or 'off'")
    if structured == "off" or in_prose or (structured is None and constrained is not None):
        return {"constrained_replies": bool(constrained)}
    return {"structured": structured or "auto"}
