"""YAML with line numbers: plain values, and the line that each of them stands on, for messages that point at it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genius_kit.errors import GeniusKitError, InvalidParameter, nearest
from genius_kit.redaction import looks_secret

if TYPE_CHECKING:
    import jsonschema
    import yaml

Path = Sequence[str | int]

_KINDS = {
    "object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number",
    "boolean": "true or false",
}  # fmt: skip


LONGEST_YAML = 50_000
"""Characters of a YAML text that is read: each of them may become a value with its place."""


@dataclass
class Located:
    """The values of a YAML text; `error` makes the error that names the line of a value.

    A path is the keys and indices that lead to a value: ("arms", 2, "budget").
    """

    data: Any
    source: str
    _node: yaml.Node | None
    _overridden: tuple[str, ...] = ()

    def override(self, values: Mapping[str, Any]) -> None:
        """Put `values` in the place of what the text says under these keys."""
        if isinstance(self.data, dict):
            self.data.update(values)
            self._overridden = tuple(values)

    def line(self, path: Path) -> int:
        """Return the line, from 1, of the value at `path`, or of the nearest one around it."""
        return _mark_line(_find(self._node, list(path)))

    def error(self, path: Path, message: str) -> InvalidParameter:
        """Return the error that says where the value at `path` stands, and what is wrong with it."""
        if path and path[0] in self._overridden:
            return InvalidParameter(f"{self.source}, {path[0]} as given beside the file: {message}")
        return InvalidParameter(f"{self.source}, line {self.line(path)}: {message}")

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Add the line of the value at `path` to the error that a wrong value raises inside."""
        try:
            yield
        except (GeniusKitError, TypeError, ValueError) as error:
            raise self.error(path, str(error)) from None

    def check(self, schema: Mapping[str, Any]) -> None:
        """Raise InvalidParameter for the first value, from the top, that is not what a JSON schema says."""
        for mistake in self.mistakes(schema):
            raise mistake

    def mistakes(self, schema: Mapping[str, Any]) -> list[InvalidParameter]:
        """Return an error for each value that is not what a JSON schema says, from the top."""
        with quick_jsonschema():
            from jsonschema import Draft202012Validator
            from jsonschema.validators import extend

        kinds = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: _is_whole(value))  # 2.0 is none
        found = sorted(
            extend(Draft202012Validator, type_checker=kinds)(schema).iter_errors(self.data),
            key=lambda error: (error.validator == "required", self.line(_place(error))),  # a misspelt key first
        )
        return [self.error(_place(one), _in_words(one)) for one in found]


@contextmanager
def quick_jsonschema() -> Iterator[None]:
    """Let jsonschema load inside without its check of international addresses: it takes a second, and none come."""
    package = "rfc3987_syntax"  # builds a parser while it is imported
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]  # its import fails, which jsonschema expects
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(package, None)


def read_yaml(text: str, source: str) -> Located:
    """Return the values of a YAML text; `source` is what errors call it.

    Raises InvalidParameter, with the line, for text that is not YAML or holds tags, a key that stands twice or is no
    text, an alias, or a key that looks like a secret.
    """
    import yaml

    if len(text) > LONGEST_YAML:
        raise InvalidParameter(f"{source} has {len(text):,} characters; at most {LONGEST_YAML:,} are read")
    try:
        loader = yaml.SafeLoader(text)  # plain values only: no tag makes it build an object
        node = loader.get_single_node()
        located = Located(None, source, node)
        if node is not None:
            _check_keys(located, node, set())
            located.data = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InvalidParameter(f"{source}{line}: not plain YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidParameter(f"{source}: not plain YAML: {' '.join(str(error).split())}") from None
    return located


def _check_keys(located: Located, node: yaml.Node, seen: set[int]) -> None:
    import yaml

    if id(node) in seen:
        raise InvalidParameter(
            f"{located.source}, line {_mark_line(node)}: anchors and aliases (&, *) are not read; write it out"
        )
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(located, item, seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            _check_key(located, key, first)
            _check_keys(located, value, seen)


def _check_key(located: Located, key: yaml.Node, first: dict[str, int]) -> None:
    here = f"{located.source}, line {_mark_line(key)}"
    if key.tag != "tag:yaml.org,2002:str":
        raise InvalidParameter(f"{here}: a key must be plain text, got {key.value!r}; put it in quotes if it is text")
    if key.value in first:
        raise InvalidParameter(f"{here}: {key.value!r} stands on line {first[key.value]} already; each key comes once")
    if looks_secret(key.value):
        raise InvalidParameter(
            f"{here}: {key.value!r} looks like a secret, and what a study says is saved with its runs: set the key in "
            "the environment instead (OPENAI_API_KEY)"
        )
    first[key.value] = _mark_line(key)


def _find(node: yaml.Node | None, path: list[str | int]) -> yaml.Node | None:
    """Return the node at `path`: of a key of a mapping the key itself, so that its line is the one that shows it."""
    import yaml

    if not path or node is None:
        return node
    step, rest = path[0], path[1:]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return _find(value, rest) if rest else key
    elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return _find(node.value[step], rest)
    return node


def _mark_line(node: yaml.Node | None) -> int:
    return 1 if node is None or node.start_mark is None else int(node.start_mark.line) + 1


def _place(error: jsonschema.ValidationError) -> list[str | int]:
    """Return the path of what is wrong: for a key that should not be there, the key."""
    path = list(error.absolute_path)
    if error.validator == "additionalProperties":
        return [*path, _unknown(error)]
    return path


def _unknown(error: jsonschema.ValidationError) -> str:
    return next(key for key in error.instance if key not in error.schema["properties"])


def _in_words(error: jsonschema.ValidationError) -> str:
    """Return in one sentence what is wrong and what is needed."""
    name = ".".join(str(step) for step in error.absolute_path if isinstance(step, str)) or "the file"
    value, wanted = error.instance, error.validator_value
    got = f"got {value!r:.100}"
    if error.validator == "additionalProperties":
        key, known = _unknown(error), error.schema["properties"]
        return f"unknown key {key!r:.100}{nearest(key, known)}; the known ones are {', '.join(known)}"
    if error.validator == "required":
        missing = [key for key in wanted if key not in value]
        return f"{name} lacks {', '.join(missing)}; it needs {', '.join(wanted)}"
    if error.validator == "anyOf":
        needed = " or ".join(str(key) for one in wanted for key in one["required"])
        return f"{name} needs {needed}, {got}"
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        hint = "; put a number in quotes to make it text" if "string" in kinds and _is_number(value) else ""
        if "string" in kinds and isinstance(value, bool):
            hint = "; yes, no, on, off, true and false are no text in YAML: put it in quotes"
        return f"{name} must be {' or '.join(_KINDS[kind] for kind in kinds)}, {got}{hint}"
    if error.validator == "enum":
        return f"{name} must be one of {', '.join(map(str, wanted))}, {got}{nearest(value, map(str, wanted))}"
    if error.validator == "minimum":
        return f"{name} must be at least {wanted}, {got}"
    if error.validator in ("minItems", "minLength"):
        return f"{name} needs at least one entry, {got}"
    if error.validator in ("maximum", "maxLength"):
        return f"{name} must be at most {wanted:,}{' signs' * (error.validator == 'maxLength')}, {got}"
    if error.validator == "uniqueItems":
        return f"each entry of {name} must stand once, {got}"
    if error.validator == "pattern" and list(error.path)[-1:] == ["base_url"]:
        return (
            "base_url is the plain address of a server, such as http://localhost:8080/v1; one with a user, password or "
            "query is kept in no file: leave base_url out, and export OPENAI_BASE_URL=... with the whole address"
        )
    if error.validator == "pattern":
        return f"{name} must be text that matches {wanted}, {got}"
    return f"{name} cannot be {value!r:.100}: {error.message:.200}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
