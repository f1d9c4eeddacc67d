"""The safety record of the kit: what a model can do, what takes a person, what is logged. What a run did: `runs.audit`.

Each statement names the module that holds it; the tests hold every one of them to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genius_kit.budget.amounts import Limits, words
from genius_kit.journal import chain
from genius_kit.runs.approval import RULES

if TYPE_CHECKING:
    import pandas as pd


_MODEL = (
    (
        "propose one architecture of the space, in a reply",
        "yes",
        "read as data; a person may be asked first",
        "replies",
    ),
    (
        "say that it sees no improvement",
        "yes",
        "the run ends, and says so (not before a first result)",
        "proposers.llm",
    ),
    ("put words into its own next prompt", "yes", "refused replies are quoted to it verbatim", "prompts.base"),
    (
        "propose what is outside the space, already known, or above a bound",
        "no",
        "refused with the reason, counted, and asked again a bounded number of times",
        "proposers.base",
    ),
    (
        "have code, a command or a template executed",
        "no",
        "a reply is parsed by pure functions, never executed",
        "replies",
    ),
    (
        "call a tool, read a file or reach a network",
        "no",
        "a request holds text, and no tool except the reply format",
        "llm.client",
    ),
    ("change its budget, limits, prompt or settings", "no", "they are fixed before the first request", "runs.loop"),
    ("approve its own proposals", "no", "a decision comes from a person or is on record", "runs.approval"),
    ("see a key", "no", "keys are in no prompt, and masked in every line", "redaction"),
    ("act in a page that shows its reply", "no", "replies are escaped; reports load and run nothing", "reports.pages"),
)

_PERSON = (
    ("a proposal is evaluated, with `approve` or --approve", "every one is shown first", "nothing is evaluated"),
    ("a network above `above_macs` is evaluated", "the rule of the study", "the run ends, and resumes"),
    ("an evaluation follows `above_dollars` of spending", "the rule of the study", "the run ends, and resumes"),
    ("a run or study that may cost more than --ask-above", "asked on the terminal, or --yes", "nothing is sent"),
    ("a model without a price is asked", "consent: --allow-unpriced", "nothing is sent"),
    ("a limit is passed", "a higher limit, given by a person", "the request is not sent, the run ends, and resumes"),
    ("a run is paused, stopped, or given more evaluations", "anyone who may write to its folder", "it continues"),
)

_LOGGED = {
    "run_started": "all that decides the run, versions, data and its SHA-256, code, price, limits, rule of approval",
    "intent": "that a request is about to be sent: its hash, and what is reserved for it",
    "call": "every message that was sent, the reply and its metadata, the model as served, tokens, cost, spending",
    "call_failed": "the cause, and whether it is tried again",
    "rejected": "why a proposal was not taken",
    "candidates": "the architectures that a hybrid chose among, and the chosen one",
    "question": "what the model is asked about a table's accuracies, and what it was shown in their place",
    "declined": "that the model sees no improvement",
    "approval": "a person's decision: what was proposed, what is evaluated, by whom, from where, why",
    "proposal": "the architecture to be evaluated, and its origin",
    "evaluation": "its result, cost, rank, source, seconds",
    "paused": "who paused the run, from where, why",
    "resumed": "who resumed it",
    "stop_requested": "who or what ended it",
    "budget_raised": "who gave it more evaluations",
    "limits_set": "limits that were changed when it was resumed",
    "price_changed": "that the price list has changed since the last session: both prices",
    "gpu_reserved": "the GPU time that is reserved for an evaluation",
    "budget_spent": "which limit ended the run: what was spent, reserved and left, what was needed",
    "pace_changed": "how requests were slowed down or let go faster",
    "run_finished": "why it ended",
}


def what_a_model_may_do() -> pd.DataFrame:
    """Return one row an act of a language model: `allowed`, what happens with it, the module that holds it."""
    import pandas as pd

    return pd.DataFrame(_MODEL, columns=["act", "allowed", "what happens", "module"])


def what_needs_a_person() -> pd.DataFrame:
    """Return one row what the kit does not do by itself: who is asked or how, and what happens without an answer."""
    import pandas as pd

    return pd.DataFrame(_PERSON, columns=["before", "a person", "without an answer"])


def what_is_logged() -> pd.DataFrame:
    """Return one row per kind of event in the journal: what it holds, and whose words a published copy can withhold."""
    import pandas as pd

    rows = [(name, text, ", ".join(sorted(set(chain.WORDS.get(name, {}).values())))) for name, text in _LOGGED.items()]
    return pd.DataFrame(rows, columns=["event", "what it holds", "words that can be withheld"])


def what_is_limited(limits: Limits | None = None, rule: dict[str, float] | None = None) -> pd.DataFrame:
    """Return one row a limit that a run can have, what it is here ("none" where it is not set), what it counts."""
    import pandas as pd

    counts = {
        "calls": "requests that may have been billed",
        "tokens": "tokens of prompts and replies",
        "dollars": "US dollars at list price",
        "gpu_hours": "evaluations on a GPU",
        "seconds": "wall time while the run is under way",
    }
    given, asked = (limits or Limits()).given(), rule or {}
    rows = [(name, words(name, given[name]) if name in given else "none", text) for name, text in counts.items()]
    gates = {"above_dollars": "spent before a person is asked", "above_macs": "multiply-accumulates of one network"}
    rows += [(name, f"{asked[name]:,}" if name in asked else "none", gates[name]) for name in RULES]
    return pd.DataFrame(rows, columns=["limit", "here", "what it counts"])
