"""Templates under edit: the prompt that one makes, what is wrong in which line, what was changed and can be undone."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from genius_kit import files
from genius_kit.errors import InvalidParameter, PromptError
from genius_kit.prompts.base import PLACEHOLDERS, check_placeholders, placeholders_of, sandbox
from genius_kit.prompts.template import USER_MARK, VARIANTS, TemplatePrompt, load_prompt
from genius_kit.records import Message, Trial

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark

Piece = tuple[str, str]
"""Text, and what it is: "" for the text itself, "unknown" for a placeholder that does not exist."""

BUILT_IN = (*VARIANTS, "published")
BURST_SECONDS = 1.0  # between two changes that are undone as one

_NAME = "in the editor"
_OPEN, _CLOSE = "\ue000", "\ue001"  # around the name of an unknown placeholder, from the private part of Unicode
_VARIANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Rendering:
    """What a template comes to: messages in pieces; `problem` says in a sentence what is wrong, None where nothing is.

    `messages` is empty where the template cannot be read at all.
    """

    messages: tuple[tuple[str, tuple[Piece, ...]], ...]
    problem: str | None


@dataclass(frozen=True)
class Draft:
    """The text of a template beside the prompt that it came from: `origin.name` is a variant or the path of a file."""

    source: str
    origin: TemplatePrompt

    @property
    def changed(self) -> bool:
        """Whether the text is not that of its origin."""
        return self.source != self.origin.texts.source

    def edited(self, source: str) -> Draft:
        """Return the draft with another text."""
        return replace(self, source=source)

    def prompt(self) -> TemplatePrompt:
        """Return the prompt of this text; raises PromptError, naming the line where it can."""
        return self._prompt

    @cached_property
    def _prompt(self) -> TemplatePrompt:
        origin = self.origin
        needed = (["results"] if origin.history == "table" else []) + (["constraint"] if origin.constraint else [])
        try:
            check_placeholders(self.source, _NAME, needed)
            texts = replace(origin.texts, source=self.source)
            made = replace(origin, name=_NAME, texts=texts, sha256=texts.sha256(origin.view.control))
            made.messages(())
        except PromptError as error:
            line = _line_of(error, self.source)
            raise PromptError(f"Line {line}: {error}" if line else str(error)) from error
        return made

    def render(self, trials: Sequence[Trial] = ()) -> Rendering:
        """Return what the model would be shown after `trials`; unknown placeholders are marked in place."""
        try:
            messages = self.prompt().messages(trials)
        except PromptError as error:
            return Rendering(self._marked(trials), str(error))
        return Rendering(tuple((message["role"], ((message["content"], ""),)) for message in messages), None)

    def difference(self) -> list[str]:
        """Return the lines of a unified diff from the origin to this text, without its heading; empty for no change."""
        before, after = self.origin.texts.source.splitlines(), self.source.splitlines()
        return list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]

    def save(self, folder: str | Path, name: str | None = None) -> Path:
        """Write the text to `NAME.md` in `folder` and return the path, which is a variant wherever one is named.

        Without a name it is called after its content. Another text of that name is kept as a version, `NAME.v1.md` and
        so on. Raises PromptError for a template that cannot be used, InvalidParameter for a name that is none or is
        that of a built-in variant.
        """
        self.prompt()
        stem = (name or f"draft-{hashlib.sha256(self.source.encode()).hexdigest()[:8]}").removesuffix(".md")
        if not _VARIANT_NAME.fullmatch(stem):
            raise InvalidParameter(f"{stem!r} is no name of a variant; use letters, digits, dots, - and _")
        if stem.lower() in BUILT_IN:
            raise InvalidParameter(f"{stem!r} is a built-in variant, whose text stays as it is; choose another name")
        path = Path(folder) / f"{stem}.md"
        files.make_folder(path.parent)
        before = files.read_text(path) if path.exists() else self.source
        if before != self.source:
            version = next(n for n in itertools.count(1) if not path.with_name(f"{stem}.v{n}.md").exists())
            files.write_whole(path.with_name(f"{stem}.v{version}.md"), before, private=True)
        files.write_whole(path, self.source, private=True)
        return path

    def _marked(self, trials: Sequence[Trial]) -> tuple[tuple[str, tuple[Piece, ...]], ...]:
        """Return the opening with its unknown placeholders marked, empty where it cannot be rendered."""
        import jinja2

        origin = self.origin
        results = "\n".join(origin.lines(trials)) or "(no results yet)"
        *system, user = USER_MARK.split(self.source, maxsplit=1)
        try:
            placeholders_of(self.source, _NAME)
            environment = sandbox().overlay(undefined=_marking())
            roles = [*(("system", text) for text in system), ("user", user)]
            texts = [(role, environment.from_string(text)) for role, text in roles]
            filled = [(role, text.render({**origin.placeholders, "results": results}).strip()) for role, text in texts]
        except (jinja2.TemplateError, PromptError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return ()
        return tuple((role, _pieces(text)) for role, text in filled if text)


def open_draft(name_or_path: str, benchmark: Benchmark, history: str = "table") -> Draft:
    """Return the draft that begins with the text of a variant or a file; raises as `load_prompt` does."""
    prompt = load_prompt(
        name_or_path,
        benchmark.space,
        history=history,
        constraint=benchmark.constraint,
        dataset=benchmark.dataset,
        feedback_name=benchmark.feedback_name,
        image_size=benchmark.image_size,
        title=benchmark.title,
        unit=benchmark.unit,
    )
    if not isinstance(prompt, TemplatePrompt):
        raise InvalidParameter(f"the prompt {name_or_path} is fixed text and cannot be edited; choose another variant")
    return Draft(prompt.texts.source, prompt)


class Drafts:
    """The changed texts of a lab, one a variant, kept in `folder`; what was undone can be done again.

    A text comes back with its variant, in another lab on the same folder too, until it is saved or undone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._past: dict[str, list[str]] = {}
        self._future: dict[str, list[str]] = {}
        self._changed_at = 0.0

    def open(self, name_or_path: str, benchmark: Benchmark, history: str) -> Draft:
        """Return the draft of a variant with the text that was kept of it; raises as `open_draft` does."""
        draft = open_draft(name_or_path, benchmark, history)
        path = self._path(draft)
        return draft.edited(files.read_text(path)) if path.exists() else draft

    def change(self, draft: Draft, source: str, typed: bool = False) -> Draft:
        """Return the draft with another text, which is kept; what is `typed` without a pause is undone as one."""
        now = time.monotonic()
        if source != draft.source and not (typed and now - self._changed_at < BURST_SECONDS):
            self._past.setdefault(draft.origin.name, []).append(draft.source)
        self._changed_at = now if typed else 0.0
        self._future.pop(draft.origin.name, None)
        return self._kept(draft.edited(source))

    def aside(self, draft: Draft) -> Draft:
        """Return the draft with the text of its variant; the changed one stays on the disk, and undoing brings it."""
        original = draft.edited(draft.origin.texts.source)
        if draft.changed:
            self._past.setdefault(draft.origin.name, []).append(draft.source)
        return original

    def undo(self, draft: Draft) -> Draft:
        """Return the draft with the text before; raises InvalidParameter where there is none."""
        return self._moved(draft, self._past, self._future, "nothing was changed that could be undone")

    def redo(self, draft: Draft) -> Draft:
        """Return the draft with the text that was undone; raises InvalidParameter where there is none."""
        return self._moved(draft, self._future, self._past, "nothing was undone that could be done again")

    def forget(self, draft: Draft) -> None:
        """Let a text come back no more: it was saved."""
        self._kept(draft.edited(draft.origin.texts.source))

    def _moved(self, draft: Draft, back: dict[str, list[str]], ahead: dict[str, list[str]], none: str) -> Draft:
        if not (texts := back.get(draft.origin.name)):
            raise InvalidParameter(none)
        ahead.setdefault(draft.origin.name, []).append(draft.source)
        self._changed_at = 0.0
        return self._kept(draft.edited(texts.pop()))

    def _kept(self, draft: Draft) -> Draft:
        path = self._path(draft)
        if draft.changed:
            files.make_folder(path.parent)
            files.write_whole(path, draft.source, private=True)
        else:
            path.unlink(missing_ok=True)
        return draft

    def _path(self, draft: Draft) -> Path:
        name = draft.origin.name
        named = name if _VARIANT_NAME.fullmatch(name) else hashlib.sha256(name.encode()).hexdigest()[:16]
        return self.folder / f"{named}.md"


def plain(messages: Sequence[Message]) -> str:
    """Return messages as one text, for counting."""
    return "\n".join(message["content"] for message in messages)


def _marking() -> type:
    """Return the kind of undefined value that writes its name between marks."""
    import jinja2

    class Marked(jinja2.Undefined):
        def __str__(self) -> str:
            return f"{_OPEN}{self._undefined_name}{_CLOSE}"

    return Marked


def _pieces(text: str) -> tuple[Piece, ...]:
    """Return a text cut at its marks."""
    found: list[Piece] = []
    for piece in re.split(f"({_OPEN}[^{_CLOSE}]*{_CLOSE})", text):
        if piece.startswith(_OPEN):
            found.append(("{{ " + piece[1:-1] + " }}", "unknown"))
        elif piece:
            found.append((piece, ""))
    return tuple(found)


def _line_of(error: PromptError, source: str) -> int | None:
    """Return the line that an error is about: that of the syntax error, or of the first unknown placeholder."""
    line = getattr(error.__cause__, "lineno", None)
    if line is not None:
        return int(line)
    for number, text in enumerate(source.splitlines(), start=1):
        for placeholder in re.findall(r"\{[{%](.*?)[}%]\}", text):
            words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", placeholder)))
            unknown = words - set(PLACEHOLDERS) - _KEYWORDS
            if unknown and any(re.search(rf"\b{re.escape(word)}\b", str(error)) for word in unknown):
                return number
    return None


_KEYWORDS = {"if", "else", "elif", "endif", "for", "endfor", "in", "not", "and", "or", "is", "set"}
