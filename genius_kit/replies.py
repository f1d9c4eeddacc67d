"""What a model's reply means: one architecture, a reason for refusal, or the statement that none is better.

The architecture is the one in the place that the prompt asks for (a line `Architecture: ...`), else the only whole one
that the reply proposes; where in doubt it is refused: that costs one call, a wrong reading is a false result. The text
is cut into tokens once, in time proportional to its length; the words that tell stand in `reply_words.toml`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise

from genius_kit.reasoning import cleaned, without_reasoning
from genius_kit.records import NoImprovement, Outcome, Proposal, Rejection
from genius_kit.spaces import Architecture, SearchSpace

LONGEST_REPLY = 200_000  # characters without the reasoning; a longer reply is refused unread
LONGEST_TEXT = 20 * LONGEST_REPLY  # characters with it
MOST_LISTS = 500  # lists of values weighed in one reply; a reply with more names no architecture
_WORDS = tomllib.loads((files("genius_kit") / "reply_words.toml").read_text("utf-8"))
_DIGITS = {word: str(digit) for words in _WORDS["digits"] for digit, word in enumerate(words.split())}
CONTEXT = 240  # characters around a list that are read for what it is
Read = Architecture | Rejection  # what a list of values comes to


@dataclass(frozen=True)
class Found:
    """An architecture, or an attempt at one, at `text[start:end]`; `outcome` is the architecture or why it is none.

    `role` says what the text makes of it: "marked" (the answer), "proposed", "plain" (on lines of its own), "earlier"
    (an earlier one, or other things), "mention" (in a sentence) or "part" (a stage). `path`: keys of objects around it.
    """

    start: int
    end: int
    items: tuple[str, ...]
    outcome: Read
    path: tuple[str, ...] = ()
    labelled: bool = False
    role: str = ""


def parse_reply(text: str, space: SearchSpace) -> Outcome:
    """Return what a reply proposes: exactly one architecture, a Rejection, or NoImprovement.

    Reasoning is not read. Nothing is clamped, rounded or completed: the reasons of refusal are "empty", "too long",
    "no design", "incomplete", "wrong length", "off-menu", "placeholder", "malformed", "edited" and "ambiguous".

    Parameters
    ----------
    text
        The reply as the server sent it.
    space
        The space that was asked about.
    """
    if (length := len(text) if len(text) > LONGEST_TEXT else len(without_reasoning(text).strip())) > LONGEST_REPLY:
        return _refused("too long", f"The answer has {length:,} characters.", space)
    answer, _ = cleaned(text)
    if not answer.strip():
        return _refused("empty", "The reply holds no answer.", space)
    if len(found := _judged(answer, space)) > MOST_LISTS:
        return _refused("ambiguous", f"The reply holds more than {MOST_LISTS:,} lists of values.", space)
    chosen = _chosen(answer, found, space)
    return _checked(answer, chosen, found, space) if isinstance(chosen, Found) else chosen


def find_architectures(text: str, space: SearchSpace) -> list[Found]:
    """Return the architectures of `text` and the attempts at one, in order, with their places in `text`."""
    answer, places = cleaned(text[:LONGEST_REPLY])
    found = _judged(answer, space)[:MOST_LISTS]
    return [replace(one, start=places[one.start], end=places[one.end - 1] + 1) for one in found if one.role != "part"]


def _refused(reason: str, detail: str, space: SearchSpace) -> Rejection:
    wanted = f"{detail} Answer with one design of {space.title}: a list of {space.length} values in square brackets."
    return Rejection(reason, wanted)


@cache
def _says(phrase: str, **own: str) -> re.Pattern[str]:
    """Return the pattern of a phrase, in which "{earlier}" and the like stand for the words of that kind."""
    words = {kind: some if isinstance(some, str) else f"(?:{'|'.join(some)})" for kind, some in (_WORDS | own).items()}
    while (filled := re.sub(r"\{([a-z]+)\}", lambda kind: words[kind[1]], phrase)) != phrase:
        phrase = filled
    return re.compile(phrase.replace("\n", ""), re.I | re.M)


class _Scan:
    """The architectures that a text writes down, and the attempts at one, as `found`; read token by token."""

    def __init__(self, text: str, space: SearchSpace) -> None:
        self.text, self.space, self.found = text, space, list[Found]()
        self.open: list[tuple[int, str, int]] = []  # open brackets: the place, the key before it, len(found)
        self.row: list[re.Match[str]] = []
        self.kind = self.between = ""  # what separates the values of the row, and what came after the last one
        self.sizes = {space.length, *(len(stage) for stage in space.stages if not space.is_cell)} - {1}
        groups, hidden, top = list[dict[str, re.Match[str]]](), 0, space.key_offset + len(space.options) - 1
        names = "|".join(space.options).replace("_", "[_ -]") if space.is_cell else "(?!)"
        form = f"[{space.key_offset}-{top}]{{{space.length}}}" if top < 10 else "(?!)"
        own, most = {"names": names, "nodes": "" if space.is_cell else "(?!)"}, MOST_LISTS * max(1, len(space.stages))
        for token in _says("{token}", key=form, **own).finditer(text):
            kind, start, end = token.lastgroup or "", token.start(), token.end()
            if len(self.found) > most:
                break
            if start < hidden or kind == "skip":
                continue
            if kind == "comment" and self.open:
                hidden = text.find("\n", start) % (len(text) + 1)
            elif kind in ("value", "edge") or (kind == "word" and self.open and text[self.open[-1][0]] == "["):
                mark = self.between or " "
                if self.row and not self.open and self.kind not in ("", mark):  # another mark: another row
                    last = [self.row.pop()] if self.kind == "|" else []
                    self.end_row()
                    self.row = last
                self.kind, self.between = mark if self.row else "", ""
                self.row.append(token)
            elif kind in ("sep", "item"):
                self.between = "|" if "|" in token[0] else token[0] if kind == "sep" else kind
            elif not self.row:
                self.between = ""
            elif kind != "newline" or not (self.open or self.between in (",", ";")):
                self.end_row(end if kind == "close" else 0)
            if kind == "open":
                key = _says("{opener}").search(text, max(0, start - 60), start)
                self.open.append((start, key[1] if key else "", len(self.found)))
            elif kind == "close" and self.open:
                self.open.pop()
            elif kind == "key":
                plain = tuple(int(digit) - space.key_offset for digit in token[0])
                self.note(start, end, token[0], read_items(token[0], space) if space.words else plain)
            elif kind == "entry":
                if not groups or _key(token) in groups[-1] or start - [*groups[-1].values()][-1].end() > CONTEXT:
                    groups.append({})
                groups[-1][_key(token)] = token
        self.end_row()
        for group in groups:
            self.end_group(group, group is groups[-1] and len(group) > 1)
        self.found.sort(key=lambda one: one.start)

    def note(self, start: int, end: int, items: Sequence[str], outcome: Read, labelled: bool = False) -> None:
        """Keep what was found, with the keys of the objects around it; the numbers of the positions are no values."""
        path = tuple(key for place, key, _ in self.open[-20:] if place < start and key)
        if list(items) != [name.split()[-1] for name in self.space.positions]:
            self.found.append(Found(start, end, tuple(items), outcome, path, labelled))

    def end_row(self, close: int = 0) -> None:
        """Note the values since the last mark between rows, where there are about as many as an architecture has."""
        text, space, row = self.text, self.space, self.row
        is_range = len(row) == 2 < space.length and self.kind == "-"
        self.row, self.kind, self.between = [], "", ""
        if len(row) < 2 or is_range:
            return
        items, sources = [token["name"] or token[0] for token in row], [one["source"] for one in row if one["source"]]
        near = any(abs(len(items) - size) <= max(1, size // 3) for size in self.sizes) or sources or "..." in items
        if not near or not any(token["edge"] or token["value"] for token in row):
            return
        is_first = self.open and self.open[-1][2] == len(self.found)
        start, end = self.open[-1][0] if is_first else row[0].start(), close or row[-1].end()
        ahead = text[max(0, start - CONTEXT // 2) : start]
        if text[start] == "[" and re.search(r"[\w\])]\Z", ahead):
            return  # an index
        if len(items) == space.length - 1 and (first := _says("{first}").search(ahead)):
            start, items = start - len(ahead) + first.start(), [first[1], *items]
        outcome = read_items(items, space)
        if _says("{times}").match(text, end) or _says("{timed}").search(ahead):
            outcome = _refused("malformed", "The list is part of an expression.", space)
        if sources and len(items) == space.length:
            form = space.encode(space.all_largest)
            if sources != re.findall(r"~(\d)", form):
                outcome = _refused("malformed", f"The arch string does not have the form {form}.", space)
        self.note(start, end, items, outcome, bool(sources) and len(items) != space.length)

    def end_group(self, group: dict[str, re.Match[str]], is_last: bool) -> None:
        """Note labelled values in the order of the space: by its own numbers, or counted from 0 or 1."""
        space, tokens, order = self.space, [*group.values()], list(range(self.space.length))
        if len(group) != space.length and (
            not is_last or _says(r"[^\s`*.,;)\]}|\"']").search(self.text, tokens[-1].end())
        ):
            return
        names, labels = [name.split()[-1] for name in space.positions], [key.split()[-1] for key in group]
        places = [names.index(label) if label in names else -1 for label in labels]
        numbers = [int(label) for label in labels if label.isdigit()]
        is_own = space.is_chain and any(key.startswith("layer ") for key in group)
        if sorted(places) != order and not is_own and sorted(numbers) in (order, [place + 1 for place in order]):
            places = [number - min(numbers) for number in numbers]
        items = [token["given"] for _, token in sorted(zip(places, tokens, strict=True), key=lambda one: one[0])]
        detail = f"The labels do not name each of {space.positions[0]} to {space.positions[-1]} once."
        outcome = read_items(items, space) if sorted(places) == order else _refused("incomplete", detail, space)
        self.note(tokens[0].start(), tokens[-1].end(), items, outcome, labelled=True)


def _key(token: re.Match[str]) -> str:
    """Return the word and the number by which a label names a position; the embedding has no number."""
    number = token["number"] or token["line"] or token["bare"] or "0"
    if token["a"]:
        return f"edge {'-'.join(sorted((token['a'], token['b'])))}"
    return f"{(token['of'] or '').lower().rstrip('s')} {int(number)}"


def _joined(text: str, space: SearchSpace) -> Iterator[Found]:
    """Yield what was found, rows of the lengths of the stages, named in their order or without names, made one."""
    rows, stages, at = _Scan(text, space).found, [len(stage) for stage in space.stages if not space.is_cell], 0
    while at < len(rows):
        some, step = rows[at : at + len(stages)], 1
        whole = rows[at]
        if len(stages) > 1 and [len(row.items) for row in some] == stages:
            named = [_stage_of(text[max(0, row.start - CONTEXT // 2) : row.start], space) for row in some]
            gaps = [text[one.end : min(two.start, one.end + CONTEXT)] for one, two in pairwise(some)]
            if named == list(range(len(stages))) or all(_says("{glue}").fullmatch(gap) for gap in gaps):
                whole, step = replace(whole, end=some[-1].end), len(stages)
            elif ahead := _numbered(text, some):
                whole, step = replace(whole, start=whole.start - ahead, end=some[-1].end), len(stages)
            if step > 1:
                items = tuple(item for row in some for item in row.items)
                whole = replace(whole, items=items, outcome=read_items(items, space))
        yield whole
        at += step


def _numbered(text: str, rows: list[Found]) -> int:
    """Return the length of the first label where each row stands after one word and its number, counted from 1."""
    labels = [text[text.rfind("\n", 0, row.start) + 1 : row.start] for row in rows]
    found = [_says("{row}").fullmatch(label) for label in labels]
    is_counted = [one and int(one[1]) for one in found] == [*range(1, len(rows) + 1)]
    is_alike = len({re.sub(r"\d+", "", label) for label in labels}) == 1
    is_other = _cue(labels[0]) or _says("{options}").search(labels[0])
    return len(labels[0]) if is_counted and is_alike and not is_other else 0


def _stage_of(ahead: str, space: SearchSpace) -> int | None:
    """Return the index of the stage that the words before a list name last."""
    starts = {space.positions[stage[0]].split()[-1]: number for number, stage in enumerate(space.stages)}
    found = _says("{stage}").findall(ahead)
    named = [int(number) - 1 for number, _ in found if number]
    return named[-1] if named else starts.get(found[-1][1]) if found else None


def _judged(text: str, space: SearchSpace) -> list[Found]:
    """Return what was found, stages joined, with the role that the words around each give it."""
    parts, found = list(_joined(text, space))[: MOST_LISTS + 1], list[Found]()
    for part, stop in zip(parts, [*(one.start for one in parts[1:]), len(text)], strict=False):
        before = found[-1] if found else Found(0, 0, (), ())
        gap, role = text[before.end : part.start][:CONTEXT], _role(text, part, before.end, stop)
        line = text[text.rfind("\n", 0, before.start) + 1 : before.start]
        is_row = _says("{below}").fullmatch(gap) or (gap.strip(" \t") == "\n" and not line.strip(" \t*`"))
        if found and role != "marked" and ((is_row and role == "plain") or _says("{joined}").fullmatch(gap)):
            role = before.role
        if found and _says("{link}").fullmatch(gap):
            role = "proposed" if before.role == "earlier" or role == "mention" else role
            found[-1] = replace(before, role="earlier")
        near = part.labelled or abs(len(part.items) - space.length) <= max(1, space.length // 3)
        is_part = isinstance(part.outcome, Rejection) and role not in ("marked", "earlier") and not near
        found.append(replace(part, role="part" if is_part else role))
    return found


def _cue(words: str) -> str:
    """Return what the last telling word says: "proposed", "earlier" or ""."""
    found = [match.lastgroup for match in _says("{cue}").finditer(words)]
    return "" if not found else "proposed" if found[-1] == "yes" else "earlier"


def _label(label: str) -> str:
    """Return what a label, or a line that introduces, makes of what follows it; "" where it says nothing."""
    words = re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)).strip()
    if _says("{mark}").fullmatch(words):
        return "marked"
    if (cue := _cue(words)) or _says(r"\b{aside}\b").search(words):
        return cue or "earlier"
    return "proposed" if _says("{labels}").fullmatch(words) or _says("{options}").search(f"{label}:") else ""


def _above(text: str, line: int, floor: int) -> str:
    """Return the last sentence of the line above, with the head of a table; fences and labels of stages are skipped."""
    head, begin = "", text.find("\n", floor) + 1 if floor else 0
    for above in reversed(text[max(begin, line - 3 * CONTEXT) : line].split("\n")):
        if above.lstrip().startswith("|"):
            head = above if re.search(r"[^\W\d]", above) else head
        elif re.search(r"[.!?\]]['\"*)`]*\s*\Z", above):
            break
        elif above.strip() and not _says(r"[ \t]*[`~]{3,}.*|{stageline}").fullmatch(above):
            return f"{re.split(r'[.!?] ', above)[-1]} {head}"
    return head


def _role(text: str, part: Found, floor: int, stop: int) -> str:
    """Return what the words around a part make of it; see Found."""
    line = text.rfind("\n", 0, part.start) + 1
    ahead = text[max(line, floor, part.start - CONTEXT) : part.start]
    rest = text[part.end : min(stop, part.end + CONTEXT)].partition("\n")[0]
    was_tried = _says("{after}").match(rest) and not _says(r"\b{hope}\b|~").search(rest[:60])
    follows = re.match(r"[`*\"')]*(?:, (?=(?:the|our|an?|which|that)\b)|[ \t]+(?=\w))([^.,;:!?(]*)", rest)
    told = {*(_label(key) for key in part.path), _cue(follows[1]) if follows else ""}
    is_later = _says(r"\b{later}\b").search(re.split(r"[.!?]\s", ahead)[-1])
    if text[line : part.start].lstrip().startswith(">") or "earlier" in told or was_tried or is_later:
        return "earlier"
    bare = _says("{options}").sub("", "\n" + _says("{bullet}").sub("", ahead), count=1).strip("\n")
    above = _above(text, line, floor)
    asked, key = _says("{asked}").search(bare), re.search(r"[\"']([\w .-]+)[\"']\s*:\s*[\"'(\[{]*$", ahead)
    if floor <= line and not bare.strip(" \t`*_\"'([{$|:-"):
        role = "mention" if _says("{subject}").match(rest) else _label(above) or "plain"
    elif asked and _cue(bare[: asked.start()]) != "earlier":
        role = "marked"
    elif named := key or _says("{named}").search(bare):
        role = _label(named[1]) or "earlier"
        role = "proposed" if role == "earlier" and not key and _cue(bare) == "proposed" else role
        told_above = _cue(above) == "earlier" and not _says(r"\b{proposed}(?!\w)").search(above)
        before = bare[: named.start(1)]
        before = re.split(r"[.!?]\s", before)[-1] if floor > line else before  # the words are about the list before
        if not key and (told_above or _cue(before) == "earlier"):
            role = "earlier"
    else:
        sentence = _says("{sentences}").split(text[max(floor, part.start - CONTEXT) : part.start])[-1]
        cue = _cue(sentence)
        is_lead = _says("{lead}").search(sentence) or ("proposed" in told and re.match(r"\W*is (?:my|our|the)\b", rest))
        return cue if cue == "earlier" else "proposed" if is_lead else "mention"
    return "marked" if "marked" in told and role in ("proposed", "plain") else role


def _chosen(text: str, found: list[Found], space: SearchSpace) -> Found | Rejection | NoImprovement:
    """Return the architecture that a reply means, or attempts, or why there is none."""
    live = [one for one in found if one.role in ("marked", "proposed", "plain")]
    marked = [one for one in live if one.role == "marked"]
    ambiguous = _refused("ambiguous", "The reply holds different designs and does not say which is meant.", space)
    if declined := [*_says("{declined}").finditer(text)]:
        is_marked = any(isinstance(one.outcome, tuple) for one in marked)
        return ambiguous if is_marked or any(one.start > declined[-1].end() for one in live) else NoImprovement()
    end, last = found[-1].end if found else 0, re.split(r"[.!?]\s|\n", text.rstrip())[-1]
    choices = [one for one in _says("{choice}").finditer(text) if not re.search(r"\b(?:not|never)\b|n't", one[0], re.I)]
    is_cut = not choices and re.search(r"[\w,]$", last) and _cue(last[-CONTEXT:]) == "proposed"
    is_cut = is_cut and end <= len(text.rstrip()) - len(last)
    if is_cut or _says(r"[\[{][^\[\]{}]*+\Z|[^\s*`_>#][ \t]+{mark}[*`_]*:[\s*`_]*\Z").search(text, end):
        return _refused("incomplete", "The reply ends before its design does.", space)
    if choices and not marked and found and found[-1].start < choices[-1].end():
        labels, named = [*_says("{options}").finditer(text)], set[Found]()
        name = choices[-1]["id"] or choices[-1]["bare"]
        for label, stop in zip(labels, [*(one.start() for one in labels[1:]), len(text)], strict=False):
            if (label[1] or label[2] or label[3]).upper() == name.upper():
                named |= {*[one for one in found if label.start() <= one.start < stop and one.role != "part"][:1]}
        if choices[-1]["id"] or named:
            return named.pop() if len({one.outcome for one in named}) == 1 else ambiguous
    marks = [*_says("{marks}").finditer(text)]
    if marks and not any(one.start >= marks[-1].start() for one in live):
        return _refused("no design", f"No design could be read after {marks[-1][1]!r}.", space)
    refused = [one.outcome for one in found if isinstance(one.outcome, Rejection)]
    if not live and refused and len(refused) == len(found):
        is_part = sum(one.role == "part" for one in found) > 1 and len(space.stages) > 1 and not space.is_cell
        return _refused("incomplete", "Only a part of a design came.", space) if is_part else refused[-1]
    if not live:
        return _refused("no design", f"The reply {'names only an earlier' if found else 'holds no'} design.", space)
    chosen, corrects = (marked or live)[-1], _says(r"\b{corrects}\b")
    different = [one for one in live if one.outcome != chosen.outcome]
    others = [one for one in different if one.role == "marked" or not marked]
    changed = [one for one in different if one.start > chosen.end and corrects.search(text, chosen.end)]
    if others and chosen.role != "plain" and corrects.search(text, others[-1].end, chosen.start):
        others = []
    if refused := [one.outcome for one in [*others, *changed, chosen] if isinstance(one.outcome, Rejection)]:
        return refused[-1]
    after = [one for one in found if one.start > chosen.end and one.outcome != chosen.outcome]
    beside = after and _says("{either}").fullmatch(text[chosen.end : after[0].start][:CONTEXT])
    mentioned = not marked and any(one.role == "mention" and isinstance(one.outcome, tuple) for one in after)
    brought_none = chosen.labelled and not marked and re.search(r"\bno (?:further )?improvement", text, re.I)
    return ambiguous if others or changed or beside or mentioned or brought_none else chosen


def _checked(text: str, chosen: Found, found: list[Found], space: SearchSpace) -> Proposal | Rejection:
    """Return an architecture that was written down, or why it is none, or not what the reply means in the end."""
    if isinstance(chosen.outcome, Rejection):
        return chosen.outcome
    end, line = chosen.end, text[: chosen.start].rpartition("\n")[2][-CONTEXT:]
    for one in (one for one in found if one.start >= end and one.outcome == chosen.outcome):
        end = one.end if re.fullmatch(r"[\s`*=(|]*", text[end : one.start]) else end
    name = re.search(r"(\w+)\s*=[^=]*\Z", line)
    said = _says(r"[.!?](?=\s(?!schicht))|[。\n]").split(text[end : end + 4 * CONTEXT])
    is_open = not _says("{benign}").match(said[0]) and not _says("{options}").search(line)
    is_open = is_open and not (chosen.labelled and re.match(r"\W*[-(|]", said[0]))
    is_code = _says("{code}").search(text, end) or (name and _says("{reuse}", var=name[1]).search(text, end))
    own, edges = [one.split()[-1] for one in space.positions], ["-".join(one) for one in _says("{pair}").findall(text)]
    rows = (edges[at : at + 6] for at in range(len(edges)) if space.is_cell)
    is_other = _says(r"\b{reordered}\b").search(text) or any(sorted(row) == sorted(own) and row != own for row in rows)
    is_edited = is_open or is_code or _says("{before}").search(line) or (is_other and not chosen.labelled)
    is_edited = is_edited or any(_says("{hesitates}").match(one) for one in said)
    if is_edited or any(_is_edit(one, chosen.outcome, space) for one in said):
        return _refused("edited", "The design or its order is changed in words. Write out the one you mean.", space)
    for one in (one for one in found if one.start > end and len(one.items) < space.length):
        line = text[: one.start].rpartition("\n")[2]
        sentence = re.split(r"[.!?]\s", line)[-1]
        stage = _stage_of(sentence, space)
        where = space.stages[stage] if stage is not None and stage < len(space.stages) else ()
        is_aside = bool(_says(r"\b{aside}\b").search(sentence)) or _cue(sentence) == "earlier"
        is_aside = is_aside or bool(re.match(r"\W*(?:would|could|might)\b", text[one.end :][:CONTEXT]))
        is_told = bool(_says("{elsewhere}").search(_above(text, one.start - len(line), end) + line))
        is_told = is_told or (is_aside and not _says("{stageline}$").search(line))
        if where and not is_told and read_items(one.items, space, where) != tuple(chosen.outcome[at] for at in where):
            return _refused("incomplete", "A stage came again with other values after the complete design.", space)
    return Proposal(chosen.outcome)


def _is_edit(sentence: str, values: Architecture, space: SearchSpace) -> bool:
    """Return whether a sentence after an architecture orders a change, or gives a position another value."""
    if _says("{listed}|{elsewhere}").search(sentence):
        return False
    names, end = [name.split()[-1] for name in space.positions], 0
    sentence = _says("{measures}").sub("it", _says("{numeral}").sub(lambda word: _DIGITS[word[0].lower()], sentence))
    spots = [*_says("{pair}" if space.is_cell else "{spots}").finditer(sentence)]
    for spot, stop in zip(spots, [*(one.start() for one in spots[1:]), len(sentence)], strict=False):
        after = _says("{formerly}|{passed}").sub("", sentence[spot.end() : stop])
        before = re.split(r"[,;]\s", sentence[end : spot.start()])[-1]
        numbers = ["-".join(spot.groups())] if space.is_cell else re.findall(r"\d+", spot[0])
        is_count = re.search(r"\b(?:entry|element|slot)", spot[0], re.I)
        places = [int(number) - 1 for number in numbers] if is_count else map(names.index, {*names} & {*numbers})
        for place in (place for place in places if 0 <= place < space.length):
            menu = _menu(space, place)
            words = re.findall(r"(?a:(?<!\w=)\b\w+)", f"{after}\n{before}".lower())
            said = [menu[word] for word in words if word in menu]
            if said and values[place] != said[0]:
                return True
        end = spot.end()
    last = _says("{final}").search(sentence)
    return bool(
        _says("{orders}").search(sentence) or (last and _menu(space, -1).get(last[last.lastindex or 1]) != values[-1])
    )


def read_items(items: Sequence[str], space: SearchSpace, where: Sequence[int] = ()) -> Read:
    """Return the option indices that `items` name at the positions `where` (default: all), or why they name none."""
    where = where or range(space.length)
    items = [re.sub(r"(?<=\w)[ -](?=\w)", "_", item.lower()) for item in items]
    if re.search(r"\.\.|…", " ".join(items)):
        detail = f"The list is abbreviated with dots. Write out all {space.length} values of your own design."
        return Rejection("placeholder", detail)
    if len(items) != len(where):
        what = f"{len(items)} values came for the {len(where)} positions"
        what += f" {space.positions[where[0]]} to {space.positions[where[-1]]}"
        return Rejection("wrong length", f"{what}. Give exactly {len(where)} values.")
    menus = [_menu(space, position) for position in where]
    for item, position, menu in zip(items, where, menus, strict=True):
        if item not in menu:
            names = [str(option) for option in space.choices[position]]
            allowed = [f"{index} ({name})" for index, name in enumerate(names)] if space.is_cell else names
            shown, place = item[:40] + "…" * (len(item) > 40), f"{space.positions[position]} (position {position})"
            return Rejection("off-menu", f"The value {shown} at {place} is not one of {', '.join(allowed)}.")
    return tuple(menu[item] for item, menu in zip(items, menus, strict=True))


@lru_cache(maxsize=4096)
def _menu(space: SearchSpace, position: int) -> dict[str, int]:
    menu = {str(option).lower(): index for index, option in enumerate(space.choices[position])}
    return menu | {str(index): index for index in range(len(space.options))} if space.is_cell else menu
