"""Which models a server offers, asked before a study sends its first request, so that a misspelt name costs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.llm.offline import OFFLINE, is_stand_in
from genius_kit.redaction import mask

if TYPE_CHECKING:
    from genius_kit.study_plans import Task

SECONDS = 5.0
SHOWN = 10


def check_models(tasks: Iterable[Task]) -> None:
    """Raise InvalidParameter where a task asks for a model that its server does not list.

    A server that cannot be reached, or that lists no models, is not asked twice: its runs say what is wrong.
    """
    wanted: dict[str, dict[str, None]] = {}
    for task in tasks:
        if task.talks and task.agent is None and not is_stand_in(str(task.settings.get("model", OFFLINE))):
            wanted.setdefault(_address(task.settings.get("base_url")), {})[str(task.settings["model"])] = None
    for address, models in wanted.items():
        offered = server_models(address)
        unknown = [name for name in models if offered and not _knows(offered, name)]
        if unknown and offered:
            raise InvalidParameter(_refusal(address, unknown, offered))


def server_models(base_url: str | None = None) -> list[str] | None:
    """Return the names of the models that a server lists, in its order; None where it does not answer or lists none.

    `base_url` is the address up to and with /v1; else OPENAI_BASE_URL, else OpenAI's own.
    """
    from genius_kit.llm.connection import Connection

    try:
        connection = Connection(_address(base_url), SECONDS)
    except InvalidParameter:
        return None
    try:
        return connection.models() or None
    except GeniusKitError:
        return None
    finally:
        connection.close()


def _address(base_url: str | None) -> str:
    from genius_kit.llm.client import OPENAI_URL

    return base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL


def _knows(offered: list[str], name: str) -> bool:
    return name in offered or f"{name}:latest" in offered  # Ollama's name for a model without a tag


def _refusal(address: str, unknown: list[str], offered: list[str]) -> str:
    """Return which models are not there, the nearest names that are, and that nothing was asked yet."""
    from difflib import get_close_matches

    from genius_kit.llm.connection import shown_address

    near = [match for name in unknown for match in get_close_matches(name, offered, n=3)]
    shown = list(dict.fromkeys([*near, *offered]))[:SHOWN]
    more = len(offered) - len(shown)
    return mask(
        f"{shown_address(address)} offers no model {', '.join(map(repr, unknown))}; it offers {', '.join(shown)}"
        f"{f' and {more} more' if more > 0 else ''}. Correct the name in `models` (or --models); nothing was asked, "
        "and finished runs are kept"
    )
