"""What a prompt is, and the template files that it is made of.

Templates have named placeholders, filled strictly: one that is unknown or left open is an error that names it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from genius_kit.errors import PromptError
from genius_kit.records import Message, Rejection, Trial

if TYPE_CHECKING:
    from genius_kit.prompts.views import View

PLACEHOLDERS = (
    "system", "problem", "operations", "skeleton", "dataset", "metric",
    "constraint", "macs_table", "answer_format", "results",
)  # fmt: skip
"""What a variant of the prompt may use."""

HISTORIES = ("table", "dialogue")
LONGEST_TEMPLATE, LONGEST_PROMPT = 100_000, 10_000_000
"""Characters of a template of a user, and of what one is filled to."""

_TAKEN = ("Template", "Output", "TemplateData", "Name", "Const", "If", "And", "Or", "Not", "Compare", "Operand")
"""Parts of a user's template: text, placeholders and conditions. A loop, a sum or a macro may take any time."""

_ERRORS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError, SyntaxError)
"""What jinja2 raises for a template beside its own errors."""

TEMPLATES = files("genius_kit") / "templates"


@dataclass(frozen=True)
class Prompt(ABC):
    """What one run sends to a model; `sha256` is over the sources of the text, whatever fills them."""

    name: str
    history: str
    sha256: str

    @property
    def lists_all(self) -> bool:
        """Whether every result is told; where not, prompts need not grow with the results."""
        return True

    def seen(self, view: View) -> Prompt:
        """Return the prompt under `view`, which is that of one run; a prompt of fixed text stays as it is."""
        return self

    @abstractmethod
    def messages(self, trials: Sequence[Trial]) -> list[Message]:
        """Return the whole opening for the proposal that follows `trials`."""

    @abstractmethod
    def refusal(self, rejection: Rejection) -> Message:
        """Return the user message that sends the rejection's detail back and asks again."""


def read_template(folder: str, name: str) -> str:
    """Return the text of one of the package's own template files; raises PromptError where there is none."""
    if not has_template(folder, name):
        raise PromptError(f"no template templates/{folder}/{name}.md is in genius_kit; write it, or correct the name")
    return (TEMPLATES / folder / f"{name}.md").read_text(encoding="utf-8")


def has_template(folder: str, name: str) -> bool:
    """Return whether the package has such a template file."""
    return (TEMPLATES / folder / f"{name}.md").is_file()


def check_placeholders(source: str, name: str, needed: list[str]) -> None:
    """Raise PromptError naming every unknown placeholder of `source`, and every `needed` one that it lacks.

    Others may be left out. Refused is also what is more than text, placeholders and conditions, and a long source.
    """
    found = placeholders_of(source, name)
    unknown = sorted(found - set(PLACEHOLDERS))
    missing = [placeholder for placeholder in needed if placeholder not in found]
    wrong = [f"unknown placeholders: {', '.join(unknown)}"] * bool(unknown)
    wrong += [f"missing placeholders: {', '.join(missing)}"] * bool(missing)
    if wrong:
        raise PromptError(
            f"the prompt template {name} has {'; '.join(wrong)}. The known placeholders are {', '.join(PLACEHOLDERS)}"
        )


@lru_cache(maxsize=64)
def placeholders_of(source: str, name: str) -> frozenset[str]:
    """Return the placeholders of a user's template; raises PromptError where it has more than them and conditions."""
    import jinja2
    import jinja2.nodes

    if len(source) > LONGEST_TEMPLATE:
        raise PromptError(f"the prompt template {name} has more than {LONGEST_TEMPLATE:,} characters")
    try:
        parsed = sandbox().parse(source)
        parts = list(parsed.find_all(jinja2.nodes.Node))
    except (jinja2.TemplateError, RecursionError) as error:
        raise PromptError(f"the prompt template {name} cannot be read: {error}") from error
    for part in parts:
        if type(part).__name__ not in _TAKEN:
            raise PromptError(
                f"the prompt template {name}, line {part.lineno}, has more than text, placeholders and conditions "
                f"({type(part).__name__}): write `{{{{ results }}}}` or `{{% if constraint %}}`, no loop, call or sum"
            )
    return frozenset(part.name for part in parts if isinstance(part, jinja2.nodes.Name))


def fill(source: str, values: dict[str, Any], name: str) -> str:
    """Return `source` with its placeholders filled, in jinja2's sandbox: a user's template is data, not code.

    Raises PromptError, which names the template.
    """
    import jinja2

    pieces: list[str] = []
    length = 0
    try:
        for piece in _compiled(source).generate(values):
            length += len(piece)
            if length > LONGEST_PROMPT:
                raise ValueError(f"it comes to more than {LONGEST_PROMPT:,} characters")
            pieces.append(piece)
    except (jinja2.TemplateError, *_ERRORS) as error:
        raise PromptError(
            f"the prompt template {name} cannot be filled: {error}. "
            f"The known placeholders are {', '.join(PLACEHOLDERS)}"
        ) from error
    return "".join(pieces).strip()


def as_text(words: str) -> str:
    """Return a template that is filled to `words`, whatever they hold."""
    return f"{{% raw %}}{words.replace('{%', '{ %')}{{% endraw %}}" if "{" in words else words


@lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    return sandbox().from_string(source)


def sandbox(**settings: Any) -> Any:
    """Return the environment in which every template of the kit is rendered; `settings` are jinja2's.

    A template in it reaches what it is given and nothing else: no attribute of Python's own, no global name.
    """
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    chosen = {"autoescape": False, "trim_blocks": True, "lstrip_blocks": True, **settings}
    environment = SandboxedEnvironment(undefined=StrictUndefined, **chosen)
    environment.globals.clear()
    return environment
