"""A language model as a proposer: it is asked, its reply is read, a refused reply is answered and asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter
from genius_kit.proposers import Situation, Stop, Suggestion, random_untried
from genius_kit.records import Message, NoImprovement, Outcome, Proposal, Rejection
from genius_kit.spaces import Architecture, SearchSpace

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.journal import Journal
    from genius_kit.llm import ChatClient, Reply


class LanguageModelProposer:
    """A language model proposes; refused and repeated proposals are answered with the reason and asked again."""

    name = "llm"

    def __init__(
        self,
        space: SearchSpace,
        *,
        model: str | None = None,
        prompt: str = "standard",
        history: str = "table",
        base_url: str | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        constrained_replies: bool = False,
        rejections_limit: int = 5,
        on_exhausted: str = "fallback",
        client: ChatClient | None = None,
        conversation: str | None = None,
    ) -> None:
        """`client` replaces the one that `model` and `base_url` name; "offline", the default, is the stand-in.

        After `rejections_limit` refused replies in one iteration a random untried architecture is evaluated and
        marked as such (`on_exhausted="fallback"`), or the run ends ("stop").
        """
        if on_exhausted not in ("fallback", "stop"):
            raise InvalidParameter(f"on_exhausted is {on_exhausted!r}; it is 'fallback' or 'stop'")
        if history not in ("table", "dialogue"):
            raise InvalidParameter(f"history is {history!r}; it is 'table' or 'dialogue'")
        self.space = space
        self.settings: dict[str, Any] = {
            "model": model or (client.model if client is not None else "offline"),
            "prompt": str(prompt),
            "history": history,
            "base_url": base_url,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "constrained_replies": constrained_replies,
            "rejections_limit": rejections_limit,
            "on_exhausted": on_exhausted,
            "conversation": str(conversation) if conversation else None,
        }
        self.client = client or _client(space, self.settings)
        self._prompt: Any = None
        self._caller: Any = None
        self._limit = rejections_limit
        self._on_exhausted = on_exhausted
        self.resolved: dict[str, Any] = {"client": self.client.kind, **self.client.settings()}

    def prepare(self, benchmark: Benchmark, journal: Journal) -> None:
        """Load the prompt for `benchmark` and start this run's record of calls."""
        from genius_kit.calls import Caller

        self.load_prompt(benchmark)
        self._caller = Caller(self.client, journal)

    def load_prompt(self, benchmark: Benchmark) -> None:
        """Load the prompt for `benchmark`; the hash of its text is then among what decides the run."""
        from genius_kit.prompts import load_prompt

        self._prompt = load_prompt(
            self.settings["prompt"],
            self.space,
            history=self.settings["history"],
            constraint=benchmark.constraint,
            dataset=benchmark.dataset,
            feedback_name=benchmark.feedback_name,
            image_size=benchmark.image_size,
            conversation=self.settings["conversation"],
        )
        self.resolved["prompt_sha256"] = self._prompt.sha256

    def propose(self, situation: Situation) -> Suggestion | Stop:
        """Ask until a reply can be used, at most `rejections_limit` times more than once."""
        opening = self._prompt.messages(situation.trials)
        exchange: list[Message] = []
        for _ in range(self._limit + 1):
            reply = self._caller.ask([*opening, *exchange], situation.iteration)
            exchange.append({"role": "assistant", "content": reply.text or "(empty reply)"})
            outcome = self._judge(reply, situation)
            if isinstance(outcome, Proposal):
                return Suggestion(outcome.architecture, "model", tuple(exchange))
            if isinstance(outcome, NoImprovement):
                situation.journal.record("declined", iteration=situation.iteration)
                return Stop("declined")
            exchange.append(self._prompt.refusal(outcome))
        return self._give_up(situation, exchange)

    def _judge(self, reply: Reply, situation: Situation) -> Outcome:
        outcome = _read(reply, self.space)
        refused: Architecture | None = None
        if isinstance(outcome, Proposal):
            refusal = situation.refusal(outcome.architecture)
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

    def _give_up(self, situation: Situation, exchange: list[Message]) -> Suggestion | Stop:
        if self._on_exhausted == "stop":
            return Stop("rejections")
        draw = random_untried(situation)
        return draw if isinstance(draw, Stop) else Suggestion(draw, "fallback", tuple(exchange))


def _read(reply: Reply, space: SearchSpace) -> Outcome:
    """Return what a reply says; a reply that was cut, filtered or empty is refused whatever it holds."""
    from genius_kit.replies import parse_reply

    if reply.refusal:
        return Rejection("model refused", "You declined to answer; please propose one design in the format asked for.")
    if reply.finish_reason == "length":
        return Rejection(
            "cut", "Your reply was cut off at the output limit; answer more briefly, with the design last."
        )
    if reply.finish_reason == "content_filter":
        return Rejection("content filter", "Your reply was withheld by a filter; please propose one design again.")
    if not reply.text or not reply.text.strip():
        return Rejection("empty", "Your reply was empty; please propose one design in the format asked for.")
    return parse_reply(reply.text, space)


def _client(space: SearchSpace, settings: dict[str, Any]) -> ChatClient:
    if settings["model"] == "offline":
        from genius_kit.offline import OfflineClient

        return OfflineClient()
    from genius_kit.llm import OpenAIClient, schema_for

    return OpenAIClient(
        settings["model"],
        base_url=settings["base_url"],
        temperature=settings["temperature"],
        max_tokens=settings["max_tokens"],
        response_schema=schema_for(space) if settings["constrained_replies"] else None,
    )
