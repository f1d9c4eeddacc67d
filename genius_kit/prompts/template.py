"""The text that a language model is shown: template files, filled for one space and one view of it.

A variant is a Markdown file under `templates/variants` or any file of the user's, with placeholders. A line
`<!-- user -->` ends the system message, and without that line there is none. Fixed text comes first and the
results last, so that successive prompts share their beginning and a provider's prefix cache is hit.
The variant "published" is not a template of ours: see `published`.
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import InvalidParameter, PromptError, UnknownName, nearest
from genius_kit.files import data_folder, read_text
from genius_kit.prompts.base import (
    HISTORIES,
    Prompt,
    as_text,
    check_placeholders,
    fill,
    has_template,
    placeholders_of,
    read_template,
)  # fmt: skip
from genius_kit.prompts.formatting import (
    answer_example,
    bound_words,
    check_weighed,
    macs_in_millions,
    option_number,
    option_numbers,
    relisted,
    weighed_facts,
    weighed_texts,
)
from genius_kit.prompts.published import load_published
from genius_kit.prompts.views import View, check_change, check_control, needed_placeholders, replaced_texts, view_of
from genius_kit.reasoning import without_reasoning
from genius_kit.records import Message, Rejection, Trial
from genius_kit.spaces import MacsBound, SearchSpace

if TYPE_CHECKING:
    from genius_kit.benchmarks.base import Objectives

VARIANTS = ("minimal", "standard", "reasoned")
USER_MARK = re.compile(r"^<!-- user -->[ \t]*\n", re.MULTILINE)

PRINCIPLES = ("asked", "fed-back")
"""Design principles, asked for before the first proposal (section 5.3 of the paper), are not shown again; or they stand
in the prompt of every later step. They are text of the model's: they fill a placeholder, never a template."""

PURPOSE = "principles"
"""What the record says that the call is for; calls that ask for an architecture have no purpose beside their name."""

PART_PLACEHOLDERS = ("dataset", "metric", "unit", "title")
"""The placeholders of the texts that a space of the user's brings."""

_QUESTION, _NOTE = "ask", "fed_back"
_SHARED = (
    "system", "constraint", "macs_table", "answer_format", "results", "dialogue_results", "dialogue_result", "refusal",
)  # fmt: skip


@dataclass(frozen=True)
class Texts:
    """Template sources: the variant, the `shared` parts that are filled a second time, the parts of one space."""

    source: str
    shared: dict[str, str]
    parts: dict[str, str]

    def sha256(self, control: str | None, change: str | None = None) -> str:
        """Return the sum of all sources, and of the control's and the change's name where there is one."""
        named = [*([control] if control else []), *([f"change {change}"] if change else [])]
        texts = [self.source, *self.shared.values(), *self.parts.values(), *named]
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@dataclass(frozen=True)
class TemplatePrompt(Prompt):
    """A prompt made from template files; `facts` are what fills them besides the space as `view` shows it."""

    view: View
    constraint: MacsBound | None
    texts: Texts
    facts: dict[str, Any]
    placeholders: dict[str, str]
    note: str = ""

    def noted(self, note: str) -> TemplatePrompt:
        """Return the prompt with `note`, plain text, before the results."""
        return replace(self, note=note)

    def seen(self, view: View) -> TemplatePrompt:
        """Return the prompt under `view`, its placeholders filled anew."""
        if view == self.view:
            return self
        return replace(self, view=view, placeholders=_placeholders(self.texts, view, self.constraint, self.facts))

    @property
    def lists_all(self) -> bool:
        """Whether every result is told."""
        return self.view.lists_all

    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """Return the opening: `table` lists the results in its last message, `dialogue` replays the conversation."""
        lines = self.lines(trials)
        if self.history == "table":
            return self._opening(self._part("results", lines=[lines[place] for place in self.view.listed(trials)]))
        messages = self._opening(self._part("dialogue_results"))
        for trial, line in zip(trials, lines, strict=True):
            measured = Message(role="user", content=self._part("dialogue_result", line=line))
            messages += [*trial.exchange, measured]
        return _joined(messages)

    def refusal(self, rejection: Rejection) -> Message:
        """Return the user message that sends the rejection's detail back and asks again."""
        return Message(role="user", content=self._part("refusal", detail=rejection.detail.rstrip(". ") + "."))

    def lines(self, trials: Sequence[Trial]) -> list[str]:
        """Return one line per trial such as "1. [2, 2, 2, 1, 2, 2, 2, 0] -> 92.31", with the MACs under a bound.

        An evaluation that failed reads "-> not measured (training diverged)".
        """
        lines = []
        results = self.view.results(trials, self.facts.get("objectives"), self.facts["unit"])
        for number, (trial, result) in enumerate(zip(trials, results, strict=True), start=1):
            line = f"{number}. {self.view.design(trial.architecture)}{f' -> {result}' if result else ''}"
            cost = f", {macs_in_millions(self.view.true_space, trial.architecture)} million" if self.constraint else ""
            lines.append(line + cost)
        return lines

    def _opening(self, results: str) -> list[Message]:
        results = f"{self.note}\n\n{results}" if self.note else results
        *system, user = USER_MARK.split(self.texts.source, maxsplit=1)
        texts = [("system", text) for text in system] + [("user", user)]
        filled = [(role, fill(text, {**self.placeholders, "results": results}, self.name)) for role, text in texts]
        return [Message(role=role, content=text) for role, text in filled if text]

    def _part(self, part: str, **values: Any) -> str:
        values = {**self.placeholders, "placeholder": answer_example(self.view.space), **values}
        return fill(self.texts.shared[part], values, f"{part}.md")


def list_prompts(space: SearchSpace) -> list[str]:
    """Return the names of the variants for a space, saved ones last; any path of a template file is a variant too.

    Parameters
    ----------
    space
        The space that the prompts describe.
    """
    saved = sorted(path.stem for path in variants_folder().glob("*.md"))
    own = [name for name in saved if name not in VARIANTS]
    return [*VARIANTS, *(["published"] if space.has_published_prompts else []), *own]


def variants_folder() -> Path:
    """Return where variants are saved that are then known by name: `prompts` in the data folder."""
    return data_folder() / "prompts"


def load_prompt(
    name_or_path: str | Path,
    space: SearchSpace,
    *,
    history: str = "table",
    constraint: MacsBound | None = None,
    dataset: str | None = None,
    feedback_name: str = "accuracy",
    image_size: int | None = None,
    conversation: str | Path | None = None,
    control: str | None = None,
    title: str | None = None,
    change: str | None = None,
    objectives: Objectives | None = None,
    unit: str = "percent",
) -> Prompt:
    """Return a prompt variant, or the one in a file.

    Parameters
    ----------
    name_or_path
        Name of a variant (`list_prompts`) or the path of a template.
    space
        The space that the prompt describes.
    history
        "table": one fresh prompt with all results; "dialogue": the conversation grows.
    constraint
        Bound of the multiply-accumulates, None for none.
    dataset
        What the images are called; default the space's own (CIFAR-10 or ImageNet).
    feedback_name
        What the results are called.
    image_size
        Pixels per side; default the space's own.
    conversation
        The published file that the variant "published" reads; default the downloaded 329M.json.
    control
        One of CONTROLS, which changes one thing in what the model sees.
    title
        What the benchmark is called in the prompt.
    change
        One of CHANGES, rewordings of the prompt; `Prompt.seen` then gives the prompt of one run.
    objectives
        What a search weighs; accuracy alone by default.
    unit
        Unit of the results.

    Raises
    ------
    UnknownName
        No such variant.
    InvalidParameter
        No such history, control or change.
    PromptError
        A template with wrong placeholders.
    DataMissing
        The published conversation is not here.
    """
    if history not in HISTORIES:
        raise InvalidParameter(f"history {history!r} is not one of {', '.join(HISTORIES)}")
    check_control(control, str(name_or_path), history)
    check_change(change, control, space, str(name_or_path), history)
    check_weighed(objectives, control, change, str(name_or_path))
    if name_or_path == "published" and "published" in list_prompts(space):
        return load_published(space, history=history, constraint=constraint, conversation=conversation)
    replaced = replaced_texts(control, change, space, str(name_or_path), unit) | weighed_texts(objectives, control)
    texts = _read_texts(prompt_source(name_or_path, space), space, replaced)
    needed = (["results"] if history == "table" else []) + (["constraint"] if constraint else [])
    if objectives is not None:
        texts = replace(texts, shared={**texts.shared, "tradeoff": read_template("shared", "tradeoff")})
        needed.append("problem")
    check_placeholders(texts.source, str(name_or_path), needed + needed_placeholders(control, change, space))
    view = view_of(control, space, change=change)
    facts = {
        **view.facts(dataset or _dataset(space), feedback_name, unit),
        "title": title or space.title,
        **_network_values(space, image_size),
        **weighed_facts(objectives, control),
        **({} if objectives is None else {"objectives": objectives}),
    }
    placeholders = _placeholders(texts, view, constraint, facts)
    digest = texts.sha256(control, change)
    prompt = TemplatePrompt(str(name_or_path), history, digest, view, constraint, texts, facts, placeholders)
    prompt.messages(())  # a template that cannot be filled fails here, before anything is paid
    return prompt


def _dataset(space: SearchSpace) -> str:
    return "data that are not named" if type(space) is SearchSpace else space.dataset


def _read_texts(source: str, space: SearchSpace, replaced: dict[str, tuple[str, str]]) -> Texts:
    """Return the templates of `space`, with those that a control or a change replaces in their place."""

    def read(folder: str, name: str) -> str:
        return read_template(*replaced.get(name, (folder, name)))

    shared = {name: read("shared", name) for name in _SHARED}
    if has_template(space.base, "macs_table"):
        shared["macs_table"] = read(space.base, "macs_table")
    parts = _made_parts(space) | _own_parts(space)
    if type(space) is not SearchSpace:  # a space of the package's own, by its name
        parts |= {name: read(space.base, name) for name in parts if has_template(space.base, name)}
    parts |= {name: read_template(*replaced[name]) for name in parts if name in replaced}
    return Texts(read("variants", "variant") if "variant" in replaced else source, shared, parts)


def _made_parts(space: SearchSpace) -> dict[str, str]:
    """Return what stands for the parts of which a space has no template: a task, its options, and its positions."""
    menus = space.words or (space.options,)
    listed = [
        [f"- {option_number(space, place, number)}: {name}." for number, name in enumerate(menu)]
        for place, menu in enumerate(menus)
    ]
    heads = [f"{name}:\n" for name in space.positions] if space.words else [""]
    options = "\n\n".join(head + "\n".join(lines) for head, lines in zip(heads, listed, strict=True))
    positions = f"The {space.length} positions, in this order: {', '.join(space.positions)}."
    return {
        "problem": read_template("menus", "problem"),
        "operations": as_text(options),
        "skeleton": as_text(positions),
    }


def _own_parts(space: SearchSpace) -> dict[str, str]:
    """Return the texts that a space brings; raises PromptError for more than text, placeholders and conditions."""
    for part, text in space.texts:
        unknown = sorted(placeholders_of(text, f"{part}.md of {space.name}") - set(PART_PLACEHOLDERS))
        if unknown:
            raise PromptError(
                f"{part}.md of {space.name} has unknown placeholders: {', '.join(unknown)}. The known placeholders are "
                f"{', '.join(PART_PLACEHOLDERS)}"
            )
    return dict(space.texts)


def _placeholders(texts: Texts, view: View, constraint: MacsBound | None, facts: dict[str, Any]) -> dict[str, str]:
    """Return what fills the variant's placeholders, all but the results."""
    space, shared = view.true_space, texts.shared
    values: dict[str, Any] = {name: facts[name] for name in ("dataset", "metric", "unit")}
    values |= {"constraint": "", "macs_table": _macs_text(shared["macs_table"], view, constraint)}
    if constraint:
        values["constraint"] = fill(shared["constraint"], {"bound": bound_words(constraint)}, "constraint.md")
    numbers = option_numbers(view.space)
    inside = {**facts, **values, "numbers": numbers, "shown": view.space}
    values |= {name: fill(text, inside, f"{space.base}/{name}.md") for name, text in texts.parts.items()}
    is_listed_anew = any(order != tuple(range(len(order))) for pair in view.menus for order in pair)
    if is_listed_anew and space.names_operations:
        values["operations"] = relisted(values["operations"], view.menus, f"{space.base}/operations.md")
    if "tradeoff" in shared:
        values["problem"] += "\n\n" + fill(shared["tradeoff"], inside, "tradeoff.md")
        values["told_costs"] = facts["told_costs"]
    form = {"space": view.space, "numbers": numbers, "placeholder": answer_example(view.space), "widths": _widths(view)}
    form["menu"] = view.menu
    values["answer_format"] = fill(shared["answer_format"], form, "answer_format.md")
    values["system"] = fill(shared["system"], {}, "system.md")
    return values


def _macs_text(template: str, view: View, constraint: MacsBound | None) -> str:
    """Return the MACs of every option at every position, equal neighbours on one line; "" where none are wanted.

    Those of the transformer space stand on a line for each embedding. The options stand in the order of `view`.
    """
    space = view.true_space
    if space.shows_macs == "never" or (constraint is None and space.shows_macs != "always"):
        return ""
    numbers = option_numbers(view.space)
    if by_embedding := space.embedding_table():
        lines = [
            (f"{own / 1e6:.2f}", [f"{count / 1e6:.2f}" for count in view.reordered(block)])
            for own, block in view.reordered(by_embedding)
        ]
        return fill(template, {"rows": lines, "numbers": numbers}, "macs_table.md")
    fixed, table = space.macs_table()
    rows: list[tuple[str, list[str]]] = []
    for position, entries in zip(view.space.positions, table.tolist(), strict=True):
        printed = [f"{count / 1e6:.2f}" for count in view.reordered(entries)]
        if rows and rows[-1][1] == printed:
            rows[-1] = (f"{rows[-1][0].split(' to ')[0]} to {position}", printed)
        else:
            rows.append((position, printed))
    values = {"rows": rows, "numbers": numbers, "fixed": f"{sum(fixed.values()) / 1e6:.2f}"}
    return fill(template, values, "macs_table.md")


def _widths(view: View) -> list[tuple[str, list[int]]]:
    """Return the channel counts of each position in the order of the shown numbers, where these stand for counts."""
    space = view.true_space
    if space.names_operations or not view.is_renumbered:
        return []
    counts = [[option_number(space, place, i) for i in range(len(menu))] for place, menu in enumerate(space.choices)]
    return [(name, view.reordered(row)) for name, row in zip(view.space.positions, counts, strict=True)]


def _network_values(space: SearchSpace, image_size: int | None) -> dict[str, Any]:
    """Return what the skeleton's text depends on: `sides` are those of the image halved once, twice, ..."""
    _, size = space.sizes(None, image_size)
    sides = [(size + 2**halvings - 1) // 2**halvings for halvings in range(1, 6)]
    return {"space": space, "image_size": size, "sides": sides, **space.network_facts(size)}


def prompt_source(name_or_path: str | Path, space: SearchSpace) -> str:
    """Return the text of a variant or of a template file, not filled; raises UnknownName, PromptError."""
    if name_or_path in VARIANTS:
        return read_template("variants", str(name_or_path))
    path = Path(name_or_path)
    if re.fullmatch(r"[\w.-]+", str(name_or_path)) and not path.is_file():
        saved = variants_folder() / f"{name_or_path}.md"
        path = saved if saved.is_file() else path
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not UTF-8 text ({error}); save it as UTF-8") from error
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in (errno.EFBIG, errno.EINVAL):
            raise PromptError(f"{path} cannot be read as a prompt ({error})") from error
        known = list_prompts(space)
        raise UnknownName(
            f"no prompt for {space.name} is called {str(name_or_path)[:200]!r}{nearest(name_or_path, known)} and no "
            f"file can be read there; the variants are {', '.join(known)}, or give the path of a template file"
        ) from error


def _joined(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with neighbours of one role made one, as servers with a strict chat template demand."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            joined[-1] = Message(role=message["role"], content=f"{joined[-1]['content']}\n\n{message['content']}")
        else:
            joined.append(message)
    return joined


def check_principles(principles: str | None, control: str | None, prompt: str) -> None:
    """Raise InvalidParameter for an unknown setting, or one that does not go with this prompt or control."""
    if principles is None:
        return
    if principles not in PRINCIPLES:
        raise InvalidParameter(
            f"principles is {principles!r}{nearest(principles, PRINCIPLES)}; it is one of {', '.join(PRINCIPLES)}"
        )
    if prompt == "published":
        raise InvalidParameter("the published prompt has principles in it: its text is fixed. Take another variant")
    if control == "knowledge-probe":
        raise InvalidParameter(
            "knowledge-probe explains no problem that principles could be about: leave out one of the two"
        )


def question(prompt: TemplatePrompt) -> list[Message]:
    """Return the messages that ask for principles: the problem as `prompt` has it, no results, no answer format."""
    return replace(prompt, texts=replace(prompt.texts, source=read_template("principles", _QUESTION))).messages(())


def fed_back(text: str) -> str:
    """Return what stands before the results of every later step; "" where the model gave no principles."""
    text = without_reasoning(text).strip()
    return fill(read_template("principles", _NOTE), {"principles": text}, f"{_NOTE}.md") if text else ""


def elicited(events: Iterable[dict[str, Any]]) -> str | None:
    """Return what the model answered in this run, None where it has not been asked; an empty reply is "".

    Parameters
    ----------
    events
        Lines of the journal.
    """
    asked = (event for event in events if event["event"] == "call" and event.get("purpose") == PURPOSE)
    found = next(asked, None)
    return None if found is None else str(found["text"] or "")


def texts_sha256() -> str:
    """Return the sum of the texts that ask for principles and feed them back."""
    both = "\0".join(read_template("principles", name) for name in (_QUESTION, _NOTE))
    return hashlib.sha256(both.encode()).hexdigest()


def note_length() -> int:
    """Return how many characters stand around principles that are fed back, at most."""
    return len(read_template("principles", _NOTE))
