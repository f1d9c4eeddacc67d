"""The audit record of one run: every event, its chain, who decided what, what was spent, what was asked and done.

Nothing is believed that can be checked: replies are parsed anew, results looked up anew, the chain is followed.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.benchmarks import TabularBenchmark
from genius_kit.benchmarks.catalogue import data_sums, is_judged, recorded_benchmark
from genius_kit.budget.amounts import COUNTED, words
from genius_kit.budget.spending import recorded_limits, seconds_of, spending_of, spent_of
from genius_kit.errors import GeniusKitError, JournalError
from genius_kit.journal import Event, Run
from genius_kit.journal.chain import is_withheld
from genius_kit.journal.events import SIDE_EVENTS
from genius_kit.journal.lines import read_content
from genius_kit.journal.verify import Verification, verify_run
from genius_kit.journal.verify import verdict as chain_verdict
from genius_kit.llm.offline import OfflineClient
from genius_kit.proposers.base import TALKING, make_proposer
from genius_kit.records import Outcome, Proposal
from genius_kit.redaction import variables_in
from genius_kit.runs.provenance import marked
from genius_kit.spaces import SearchSpace, recorded_space
from genius_kit.version import code_state, versions

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.prompts.views import View

TEXT_CHARACTERS = 80
"""How much is shown of what an event says."""

_SAID = {
    "run_started": "{run[proposer]} on {run[benchmark]}, seed {run[seed]}",
    "intent": "request {request}",
    "call": "{model}: {text}",
    "call_failed": "{cause}: {message}",
    "rejected": "{reason}: {detail}",
    "approval": "{decision} {reason}",
    "proposal": "{text} ({origin})",
    "evaluation": "{feedback} from {source}",
    "run_finished": "{reason}",
    "budget_spent": "{message}",
    "price_changed": "{model} costs {price}",
    "stop_requested": "{reason}",
    "budget_raised": "{budget}",
}
"""What is shown of an event."""

_FOLLOW_A_REPLY = ("rejected", "approval", "proposal", "declined", "candidates")


@dataclass(frozen=True)
class Audit:
    """What the journal of one run shows to somebody who was not there, as tables.

    Parameters
    ----------
    verification
        The checked journal (`audit_run` makes both).
    """

    verification: Verification

    @property
    def run(self) -> Run:
        """The run, as far as it can be read."""
        return self.verification.run

    @cached_property
    def events(self) -> pd.DataFrame:
        """Every event: line, time (UTC), event, iteration, by whom, what in words, and the chain at its line."""
        import pandas as pd

        found = self.verification.found
        rows = [
            (number, event.get("time"), event["event"], event.get("iteration"), event.get("by"), _in_words(event),
             found.chains.get(number, "")[:16])
            for number, event in found.events
        ]  # fmt: skip
        columns = ["line", "time", "event", "iteration", "by", "what", "chain"]
        return marked(pd.DataFrame(rows, columns=columns).astype({"iteration": "Int64"}), self.run)

    @cached_property
    def origins(self) -> pd.DataFrame:
        """Everything that the run was made from: what, name, on record, and what it is here now (None if unknown).

        Files of data with their SHA-256, versions, the commit of the code, the sum of the prompt's text, the models as
        the server named them.
        """
        import pandas as pd

        here = {**versions(), **code_state()}
        sums = data_sums(self._table) if self._table is not None else {}
        rows = [("data", name, sum_, sums.get(name)) for name, sum_ in self.verification.data.items()]
        rows += [("code", name, str(value), str(here.get(name))) for name, value in self.verification.code.items()]
        kept = self.run.settings
        if prompt := kept.get("resolved", {}).get("prompt_sha256"):
            rows.append(("prompt", str(kept["settings"].get("prompt")), prompt, None))
        rows += [("model", name, f"{count} replies", None) for name, count in self.verification.models.items()]
        return pd.DataFrame(rows, columns=["what", "name", "on_record", "here"], dtype=object)

    @cached_property
    def approvals(self) -> pd.DataFrame:
        """Every decision of a person: time, iteration, what was proposed, decided and evaluated, by, via, reason."""
        import pandas as pd

        rows = [
            (event["time"], event["iteration"], self._named(event["proposed"]), event["decision"],
             "" if event["decision"] == "reject" else self._named(event["architecture"]), event["by"], event["via"],
             event["reason"])
            for event in self.run.of("approval")
        ]  # fmt: skip
        columns = ["time", "iteration", "proposed", "decision", "evaluated", "by", "via", "reason"]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def spending(self) -> pd.DataFrame:
        """Every kind of amount: what was spent, its limit, what is left, whether it stayed within it.

        Without a limit those are None. Evaluations are those of the budget.
        """
        import pandas as pd

        spent = spent_of(self.run.events)
        taken: dict[str, float] = {name: float(getattr(spent, name)) for name in COUNTED}
        taken |= {"seconds": seconds_of(self.run.events), "evaluations": len(self.run.of("evaluation"))}
        limits = {**recorded_limits(self.run.events), "evaluations": self.run.budget}
        rows = []
        for name, amount in taken.items():
            limit = limits.get(name)
            left = None if limit is None else limit - amount
            within = None if left is None else left >= 0 or name == "seconds"  # the step under way is finished
            rows.append((name, words(name, amount), limit, left, within))
        return pd.DataFrame(rows, columns=["what", "spent", "limit", "left", "within"], dtype=object)

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """Every request that was answered: iteration, messages, characters, SHA-256 of the messages, of the template.

        The template's sum covers all text of the kit in the prompt; who has the journal's words can check the others.
        Of words that were withheld only the iteration is known.
        """
        import pandas as pd

        template = self.run.settings.get("resolved", {}).get("prompt_sha256", "")
        rows = [(call["iteration"], *_sums_of(call["messages"]), template) for call in self.run.of("call")]
        return pd.DataFrame(rows, columns=["iteration", "messages", "characters", "sha256", "template_sha256"])

    @cached_property
    def asked_and_done(self) -> pd.DataFrame:
        """Every iteration: what the replies asked for, read anew, and what was evaluated, looked up anew.

        Columns: iteration, asked (architectures in the order they came), refused, decision (of a person), evaluated,
        origin, `follows` (whether the architecture follows from replies and decisions), `result` (the feedback on
        record, in percent) and `result_holds` (whether the table says the same). None where words were withheld or
        there is no table.
        """
        import pandas as pd

        steps: dict[int, list[Event]] = {}
        for event in self.run.events:
            if isinstance(event.get("iteration"), int):
                steps.setdefault(event["iteration"], []).append(event)
        columns = ["iteration", "asked", "refused", "decision", "evaluated", "origin", "follows", "result",
                   "result_holds"]  # fmt: skip
        rows = [self._step(iteration, events) for iteration, events in sorted(steps.items())]
        return pd.DataFrame(rows, columns=columns).astype({"follows": object, "result_holds": object})

    @cached_property
    def findings(self) -> list[str]:
        """What is not as it should be, a sentence each: the chain, the limits, what was done without being asked."""
        told = [str(finding) for finding in self.verification.findings]
        if self.verification.head is None:
            told.append("the journal has no chain: nothing vouches for its lines")
        content = read_content(self.verification.path).decode("utf-8", errors="replace")
        told += [f"the value of {variable} stands in it: it is a secret here" for variable in variables_in(content)]
        told += [*_order_findings(self.run.events, self._is_plain), *_approval_findings(self.run.events)]
        told += [
            f"{row['spent']} were spent, above the limit of {row['limit']:,g} {row['what']}"
            for row in self.spending.to_dict("records")
            if row["within"] is False
        ]
        for row in self.asked_and_done.to_dict("records"):
            at = f"iteration {row['iteration']}"
            if row["follows"] is False:
                told.append(
                    f"{at}: {row['evaluated']} was evaluated, which no reply and no decision on record asked for"
                )
            if row["result_holds"] is False:
                told.append(f"{at}: the table does not give {row['result']} for this architecture")
        return told

    @property
    def notes(self) -> list[str]:
        """What a reader should know of a record that is in order, a sentence each.

        Prompts that a server cut, replies that took more than was reserved for them, counts that were not believed.
        """
        told = {
            "prompt_cut": "the server counted too few tokens for the prompt in iteration {}: it was probably cut, and "
            "the model did not see all that is on record",
            "beyond_worst_case": "the reply in iteration {} took more than was reserved for it: the server counted "
            "more than it was asked for, or answered under a dearer name; it is booked in full",
            "least": "the server counted fewer tokens in iteration {} than the words on record must have taken: such a "
            "call is charged at its worst case, and its bill may say less",
        }
        calls = self.run.of("call")
        places = {name: dict.fromkeys(str(call.get("iteration")) for call in calls if call.get(name)) for name in told}
        changed = "the price of the model changed between two sittings: the dearer one is booked"
        lines = [text.format(", ".join(places[name])) for name, text in told.items() if places[name]]
        return lines + [changed] * bool(self.run.of("price_changed"))

    @property
    def is_in_order(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def sentence(self) -> str:
        """The audit in one sentence."""
        done, calls = len(self.run.of("evaluation")), len(self.run.of("call"))
        decided = len(set(map(str, self.approvals["by"])))
        people = f"{len(self.approvals)} decisions of {decided} {'person' if decided == 1 else 'people'}"
        state = "in order" if self.is_in_order else f"NOT in order ({len(self.findings)} findings)"
        return (
            f"{self.verification.path.name} is {state}: {done} evaluations after {calls} replies, "
            f"{len(self.run.of('rejected'))} of them refused, {people if len(self.approvals) else 'no person asked'}; "
            f"chain {chain_verdict(self.verification)}."
        )

    def report(self) -> str:
        """Return the sentence, all findings and all notes, a line each."""
        return "\n".join([self.sentence, *(f"- {line}" for line in [*self.findings, *self.notes])])

    @property
    def _is_plain(self) -> bool:
        return self.run.settings.get("proposer") == "llm"

    def _step(self, iteration: int, events: list[Event]) -> tuple[Any, ...]:
        asked = _asked_for(events, self._parse)
        decisions = [event for event in events if event["event"] == "approval"]
        proposal = next((event for event in events if event["event"] == "proposal"), None)
        done = next((event for event in events if event["event"] == "evaluation"), None)
        return (
            iteration,
            None if asked is None else ", ".join(map(self._named, asked)),
            sum(event["event"] == "rejected" for event in events),
            ", ".join(event["decision"] for event in decisions),
            "" if done is None else self._named(done["architecture"]),
            None if proposal is None else proposal.get("origin"),
            None if done is None else _follows(proposal, done["architecture"], asked, decisions, self._is_plain),
            None if done is None else done["feedback"],
            None if done is None else self._holds(done),
        )

    def _holds(self, evaluation: Event) -> bool | None:
        """Return whether the table gives the recorded feedback, None where there is none to ask."""
        if self._table is None:
            return None
        return bool(self._table.evaluate(evaluation["architecture"]).feedback == evaluation["feedback"])

    @cached_property
    def _table(self) -> TabularBenchmark | None:
        if not self.run.settings or not is_judged(self.run.settings):
            return None
        try:
            return recorded_benchmark(self.run.settings)
        except GeniusKitError:  # not here, or another one under its name
            return None

    @cached_property
    def _space(self) -> SearchSpace:
        return recorded_space(self.run.settings)

    @cached_property
    def _view(self) -> View | None:
        """What the model saw of the space; None where no model was asked."""
        kept = self.run.settings
        if kept["proposer"] not in TALKING:
            return None
        made: Any = make_proposer(kept["proposer"], self._space, **{**kept["settings"], "client": OfflineClient()})
        view: View = made.view(kept["seed"])
        return view

    @cached_property
    def _parse(self) -> Callable[[str], Outcome] | None:
        """How a reply is read, the same words once; None where no model was asked."""
        return None if self._view is None else cache(self._view.parse)

    def _named(self, architecture: list[int]) -> str:
        try:
            return self._space.key(tuple(architecture))
        except GeniusKitError:
            return str(list(architecture))


def audit_run(path: str | Path, head: str | None = None) -> Audit:
    """Return the audit record of a journal.

    Parameters
    ----------
    path
        The journal.
    head
        A chain that was published before, to check it against.

    Raises
    ------
    JournalError
        There is no journal, its first line is lost, or an event lacks what it has to hold.
    InvalidParameter
        A head that cannot be one.
    """
    verified = verify_run(path, head)
    if "space" not in verified.settings:
        raise _unjudged(verified, "it does not begin with what was run")
    audit = Audit(verified)
    try:
        for name in ("events", "approvals", "spending", "prompts", "asked_and_done", "origins", "findings"):
            getattr(audit, name)  # now, so that a garbled event is told here
    except GeniusKitError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _unjudged(verified, f"an event lacks or garbles what it has to hold ({error})") from error
    return audit


def _unjudged(verified: Verification, why: str) -> JournalError:
    altered = f"; {verified.findings[0]}" if verified.findings else ""
    return JournalError(
        f"{verified.path} cannot be audited: {why}{altered}. Restore it from a copy (`genius-kit verify "
        f"{verified.path}` says what can still be trusted)"
    )


def _in_words(event: Event) -> str:
    """Return what an event says, in a few words."""
    text = " ".join(_SAID.get(event["event"], "").format_map(defaultdict(str, event)).split())
    return text if len(text) <= TEXT_CHARACTERS else f"{text[: TEXT_CHARACTERS - 3]}..."


def _sums_of(messages: Any) -> tuple[int | None, int | None, str | None]:
    """Return how many messages a request has, their characters, and the SHA-256 of them as compact JSON, keys sorted.

    None where they were withheld.
    """
    if is_withheld(messages):
        return None, None, None
    content = json.dumps(messages, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    sum_ = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return len(messages), sum(len(one["content"]) for one in messages), sum_


def _order_findings(events: Sequence[Event], is_plain: bool) -> Iterator[str]:
    """Yield what is wrong with the order of events: replies and decisions of which nothing came, steps that are lost.

    With `is_plain`, as in the method "llm", each reply has to come to something at once.
    """
    steps = [event for event in events if event["event"] not in SIDE_EVENTS and "purpose" not in event]
    for event, following in pairwise(steps):
        at, name, then = f"iteration {event.get('iteration')}", event["event"], following["event"]
        if name == "call" and is_plain and then not in _FOLLOW_A_REPLY:
            yield f"{at}: the result of a reply is not on record ({then} follows on it)"
        if name == "proposal" and then != "evaluation":
            yield f"{at}: a proposal was not evaluated, {then} follows on it"
        if name != "approval":
            continue
        if event["decision"] == "reject":
            if then != "rejected":
                yield f"{at}: {event['by']} rejected an architecture, and {then} follows on that"
        elif then != "proposal" or following["architecture"] != event["architecture"]:
            yield f"{at}: {event['by']} decided {event['decision']}, and that architecture is not what follows"


def _approval_findings(events: Sequence[Event]) -> Iterator[str]:
    """Yield evaluations that the run's rule of approval wanted a person for, and that nobody decided on."""
    rule = events[0].get("approval", {}) if events else {}
    decided = {event["iteration"] for event in events if event["event"] == "approval"}
    if not rule:
        return
    for event, before in zip(events, spending_of(events), strict=True):
        if event["event"] != "evaluation" or event["iteration"] in decided:
            continue
        macs, most = event.get("macs"), rule.get("above_macs")
        if most is not None and (macs is None or macs > most):
            yield f"iteration {event['iteration']}: nobody approved a network above {most:,} MACs"
        spent, from_ = float(before.dollars), rule.get("above_dollars")
        if from_ is not None and spent >= from_:
            yield f"iteration {event['iteration']}: nobody approved it, with ${spent:.4g} spent of the free ${from_:g}"


def _asked_for(events: Sequence[Event], parse: Callable[[str], Outcome] | None) -> list[list[int]] | None:
    """Return the architectures that the replies of one iteration name, read anew; None where words were withheld."""
    calls = [event for event in events if event["event"] == "call" and "purpose" not in event]
    if parse is None:
        return []
    if any(is_withheld(call["text"]) for call in calls):
        return None
    outcomes = [parse(call["text"] or "") for call in calls]
    return [list(outcome.architecture) for outcome in outcomes if isinstance(outcome, Proposal)]


def _follows(
    proposal: Event | None, done: list[int], asked: list[list[int]] | None, decisions: Sequence[Event], is_plain: bool
) -> bool | None:
    """Return whether the architecture that was evaluated is the proposal, and what a reply or a person asked for.

    None where the record cannot say: words that were withheld, methods that choose among several architectures.
    """
    if proposal is None or proposal["architecture"] != done:
        return False
    last: Any = decisions[-1] if decisions else None
    if last is not None and (last["decision"] == "reject" or last["architecture"] != done):
        # only a fallback after a rejection, which nobody had to be asked about
        return bool(last["decision"] == "reject" and done != last["proposed"])
    if proposal["origin"] == "edited":
        return last is not None and last["decision"] == "edit"
    if proposal["origin"] != "model":
        return True
    if asked is None or not is_plain:
        return None
    return bool(asked) and asked[-1] == done
