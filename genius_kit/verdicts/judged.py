"""How a verdict of any instrument is shown: a headline, then one table of the comparisons behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from genius_kit.records import LONGEST, SENTENCE, Card
from genius_kit.stats import share_of
from genius_kit.texts import UNKNOWN, in_line, p_text
from genius_kit.verdicts.headlines import verdict_headline

if TYPE_CHECKING:
    import pandas as pd

MOST = 1_000
"""The largest number that is printed; what is above it is a bound."""

_QUESTIONS = {
    "feedback": "uses results?",
    "replies": "follows results?",
    "moves": "uses own results?",
    "labels": "needs labels?",
    "random search": "beats random?",
    "cheap rule": "beats a rule?",
    "its own start": "beats own start?",
    "public": "public: names help?",
    "private": "private: names help?",
    "difference": "more on public?",
}
"""What a row of evidence asks, by its `question`, of contamination by its `table`."""

_ANSWERS = {"changes the result": "yes", "not enough runs": "unclear"}
"""What the verdict on a change of the prompt answers; the third is "no"."""

_TEXTS = ("question", "reference", "answer")
"""The columns of a card that are text."""

_VALUES = ("ratio", "rate", "loss", "gain")
"""The column that holds what was measured, by instrument."""


class Judged(Card):
    """A verdict: its kind, its `sentence` to read aloud, and its `evidence`, a frame with one row per comparison."""

    kind: str
    sentence: str
    evidence: pd.DataFrame

    def facts(self) -> Mapping[str, object]:
        """Return the kind and the sentence."""
        return {"kind": self.kind, "sentence": self.sentence}

    def headline(self) -> str:
        """Return the verdict in at most 25 words: the question, of whom and where, and the answer with its number."""
        return verdict_headline(self)

    def contrasts(self) -> pd.DataFrame:
        """Return the comparisons as text: question, reference, ratio, interval (95 %), p, n, answer.

        The ratio is called rate, loss or gain where the instrument measures one. Columns that say nothing are left out;
        there is no row where the evidence holds no comparison.
        """
        import pandas as pd

        measured = next((name for name in _VALUES if name in self.evidence), None)
        if measured is None:
            return pd.DataFrame(_answered(self.evidence) if "canary" in self.evidence else [])
        p_value = "p_corrected" if "pairs_needed" in self.evidence else "p_value"
        rows = [_contrast(row, measured, p_value) for row in self.evidence.to_dict("records")]
        frame = pd.DataFrame(rows)
        return frame.loc[:, (frame != UNKNOWN).any()]

    def _repr_html_(self) -> str:
        table = self.contrasts()
        if table.empty:
            return super()._repr_html_()
        names = [str(name) for name in table]
        head = _row("th", names, names)
        body = "".join(_row("td", names, row) for row in table.itertuples(index=False))
        title = f"<p><b>{escape(in_line(self.headline(), 2 * LONGEST))}</b></p>"
        told = f"<details><summary>in words</summary>{escape(in_line(self.sentence, SENTENCE))}</details>"
        return f"{title}<table><thead>{head}</thead><tbody>{body}</tbody></table>{told}"


def _row(tag: str, names: Sequence[str], cells: Iterable[object]) -> str:
    sides = ("left" if name in _TEXTS else "right" for name in names)
    told = (escape(in_line(cell, LONGEST)) for cell in cells)
    shown = (f'<{tag} style="text-align:{side}">{text}</{tag}>' for side, text in zip(sides, told, strict=True))
    return f"<tr>{''.join(shown)}</tr>"


def _answered(questions: pd.DataFrame) -> list[dict[str, object]]:
    """Return how often the answers to questions on a table are the published accuracy, and the altered one shown."""
    rows: list[dict[str, object]] = []
    for altered, wanted in ((False, "published"), (True, "shown")):
        asked = questions[questions["canary"] == altered]
        if len(asked):
            share = share_of(int((asked["answer"] == asked[wanted]).sum()), len(asked))
            rows.append(
                {
                    "question": "picks the altered accuracy shown?" if altered else "picks the published accuracy?",
                    "rate": _number(share.value),
                    "95 % interval": f"{_number(share.low)} to {_number(share.high)}",
                    "n": len(asked),
                }
            )
    return rows


def _contrast(row: Mapping[Any, Any], measured: str, p_value: str) -> dict[str, object]:
    low, high = (row["gain_low"], row["gain_high"]) if measured == "gain" else (row["low"], row["high"])
    is_one = row.get("independent", 2) < 2 or not math.isfinite(row[measured])  # one search, however often repeated
    question, reference = _asked(row, measured)
    answer = _ANSWERS.get(row["verdict"], "no") if "verdict" in row else row.get("answer")
    return {
        "question": question,
        "reference": reference,
        measured: _number(row[measured]),
        "95 % interval": UNKNOWN if is_one or math.isnan(low) else f"{_number(low)} to {_number(high)}",
        "p": UNKNOWN if is_one else p_text(row.get(p_value)),
        "n": int(row["n"]),
        "answer": answer if isinstance(answer, str) else UNKNOWN,
    }


def _asked(row: Mapping[Any, Any], measured: str) -> tuple[str, str]:
    """Return what a comparison asks, and what is compared with."""
    if measured == "rate":
        return f"the same {row['measure']}?".replace("designs", "architectures"), UNKNOWN
    if measured == "loss":
        return "loses when moved?", f"{row['source']} to {row['target']}"
    if measured == "gain":
        return "better front?", "random search"
    if "change" in row:
        return "changes result?", str(row["change"])
    if "control" in row:
        return _QUESTIONS[row["table"]], str(row["control"])
    return _QUESTIONS.get(row["question"], str(row["question"])), str(row["kind"]).removeprefix("llm+")


def _number(value: float) -> str:
    if not math.isfinite(value):
        return UNKNOWN if math.isnan(value) else "any"
    if value > MOST:
        return f"> {MOST:,}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # no "-0.00"
