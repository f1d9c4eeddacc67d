"""The audit record of one run: every event, its chain, who decided what, what was spent, what was asked and done.

Nothing is believed that can be checked: replies are parsed anew, results looked up anew, the chain is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from genius_kit.budget.amounts import COUNTED, words
from genius_kit.runs.audit_checks import follows, gate_findings, proposals, step_findings
from genius_kit.runs.audit_words import described, in_words
from genius_kit.benchmarks.catalogue import table_names
from genius_kit.errors import GeniusKitError, JournalError
from genius_kit.journal.findings import examine
from genius_kit.journal import Event, Run
from genius_kit.provenance import marked
from genius_kit.redaction import variables_in
from genius_kit.spaces import SearchSpace, load_space
from genius_kit.budget.spending import recorded_limits, seconds_of, spent_of
from genius_kit.journal.verify import Verification, verify_run
from genius_kit.journal.verify import verdict as chain_verdict

if TYPE_CHECKING:
    import pandas as pd

    from genius_kit.prompts.views import View


@dataclass(frozen=True)
class Audit:
    """What the journal of one run shows to somebody who was not there; every table has one row what its name says."""

    verification: Verification

    @property
    def run(self) -> Run:
        """The run, as far as it can be read."""
        return self.verification.run

    @cached_property
    def events(self) -> pd.DataFrame:
        """Every event: line, time (UTC), event, iteration, by whom, what in words, and the chain at its line."""
        import pandas as pd

        found = examine(self.verification.path.read_bytes())
        rows = [
            (number, event.get("time"), event["event"], event.get("iteration"), event.get("by"), in_words(event),
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

        from genius_kit.runs.origins import code_state, data_sums
        from genius_kit.runs.settings import versions

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

        spent, limits = spent_of(self.run.events), recorded_limits(self.run.events)
        taken: dict[str, float] = {name: float(getattr(spent, name)) for name in COUNTED}
        taken |= {"seconds": seconds_of(self.run.events), "evaluations": len(self.run.of("evaluation"))}
        limited = {**limits, "evaluations": self.run.budget}
        rows = []
        for name, amount in taken.items():
            limit = limited.get(name)
            left = None if limit is None else limit - amount
            kept = None if left is None else left >= 0 or name == "seconds"  # the step under way is finished
            rows.append((name, words(name, amount), limit, left, kept))
        return pd.DataFrame(rows, columns=["what", "spent", "limit", "left", "within"], dtype=object)

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """Every request that was answered: iteration, messages, characters, SHA-256 of the messages, of the template.

        The template's sum covers all text of the kit in the prompt; who has the journal's words can check the others.
        Of words that were withheld only the iteration is known.
        """
        import pandas as pd

        template = self.run.settings.get("resolved", {}).get("prompt_sha256", "")
        rows = [(call["iteration"], *described(call["messages"]), template) for call in self.run.of("call")]
        return pd.DataFrame(rows, columns=["iteration", "messages", "characters", "sha256", "template_sha256"])

    @cached_property
    def asked_and_done(self) -> pd.DataFrame:
        """Every iteration: what the replies asked for, read anew, and what was evaluated, looked up anew.

        Columns: iteration, asked (designs in the order they came), refused, decision (of a person), evaluated, origin,
        `follows` (whether the design follows from replies and decisions), `result` (the feedback on record, in
        percent) and `result_holds` (whether the table says the same). None where words were withheld or there is no
        table.
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
        content = self.verification.path.read_text(encoding="utf-8", errors="replace")
        told += [f"the value of {variable} stands in it: it is a secret here" for variable in variables_in(content)]
        told += [*step_findings(self.run.events, self._is_plain), *gate_findings(self.run.events)]
        for row in self.spending.to_dict("records"):
            if row["within"] is False:
                told.append(f"{row['spent']} were spent, above the limit of {row['limit']:,g} {row['what']}")
        for row in self.asked_and_done.to_dict("records"):
            if row["follows"] is False:
                told.append(
                    f"iteration {row['iteration']}: {row['evaluated']} was evaluated, which no reply and no decision "
                    "on record asked for"
                )
            if row["result_holds"] is False:
                told.append(f"iteration {row['iteration']}: the table does not give {row['result']} for this design")
        return told

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
        """Return the sentence and all findings, a line each."""
        return "\n".join([self.sentence, *(f"- {finding}" for finding in self.findings)])

    @property
    def _is_plain(self) -> bool:
        return self.run.settings.get("proposer") == "llm"

    def _step(self, iteration: int, events: list[Event]) -> tuple[Any, ...]:
        asked = proposals(events, self._view)
        decisions = [event for event in events if event["event"] == "approval"]
        proposal = next((event for event in events if event["event"] == "proposal"), None)
        evaluation = next((event for event in events if event["event"] == "evaluation"), None)
        done = None if evaluation is None else evaluation["architecture"]
        return (
            iteration,
            None if asked is None else ", ".join(map(self._named, asked)),
            sum(event["event"] == "rejected" for event in events),
            ", ".join(event["decision"] for event in decisions),
            "" if done is None else self._named(done),
            None if proposal is None else proposal.get("origin"),
            None
            if evaluation is None
            else follows(proposal, evaluation["architecture"], asked, decisions, self._is_plain),
            None if evaluation is None else evaluation["feedback"],
            None if evaluation is None else self._holds(evaluation),
        )

    def _holds(self, evaluation: Event) -> bool | None:
        """Return whether the table gives the recorded feedback, None where there is none to ask."""
        if self._table is None:
            return None
        return bool(self._table.evaluate(evaluation["architecture"]).feedback == evaluation["feedback"])

    @cached_property
    def _table(self) -> Any:
        from genius_kit.study_results import benchmark_of

        if self.run.settings.get("benchmark") not in table_names():
            return None
        try:
            return benchmark_of(self.run)
        except GeniusKitError:  # not here, or another one under its name
            return None

    @cached_property
    def _space(self) -> SearchSpace:
        return load_space(self.run.settings["space"])

    @cached_property
    def _view(self) -> View | None:
        """What the model saw of the space; None where no model was asked."""
        from genius_kit.llm.offline import OfflineClient
        from genius_kit.proposers.base import TALKING, make_proposer

        kept = self.run.settings
        if kept["proposer"] not in TALKING:
            return None
        made: Any = make_proposer(kept["proposer"], self._space, **{**kept["settings"], "client": OfflineClient()})
        view: View = made.view(SimpleNamespace(seed=kept["seed"]))
        return view

    def _named(self, architecture: list[int]) -> str:
        try:
            return self._space.key(tuple(architecture))
        except GeniusKitError:
            return str(list(architecture))


def audit_run(path: str | Path, head: str | None = None) -> Audit:
    """Return the audit record of the journal at `path`, checked against `head`, a chain that was published before.

    Raises JournalError where there is no journal, its first line is lost, or an event lacks what it has to hold, and
    InvalidParameter for a head that cannot be one.
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
