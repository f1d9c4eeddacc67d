"""Which models a server lists, asked before a study sends its first request, so that a misspelt name is noticed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

from genius_kit.chat import OFFLINE, is_stand_in
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.redaction import mask

if TYPE_CHECKING:
    from genius_kit.study_plans import Task

SECONDS = 5.0
SHOWN = 10


def check_models(tasks: Iterable[Task]) -> None:
    """Warn where a task asks for a model that its server does not list.

    Many servers take names that they list otherwise or not at all (deployments, "models/NAME", "NAME:nitro", paths of
    files, wildcards), so the first call of a run decides. A server that cannot be reached, or that lists no models, is
    not asked twice: its runs say what is wrong.
    """
    wanted: dict[str, dict[str, None]] = {}
    for task in tasks:
        if task.talks and task.agent is None and not is_stand_in(str(task.settings.get("model", OFFLINE))):
            wanted.setdefault(_address(task.settings.get("base_url")), {})[str(task.settings["model"])] = None
    for address, models in wanted.items():
        offered = server_models(address)
        unknown = [name for name in models if offered and not _knows(offered, name)]
        if unknown and offered:
            warnings.warn(_doubt(address, unknown, offered), stacklevel=3)


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
    listed = {entry.removeprefix("models/") for entry in offered}  # Gemini
    return bool({name.removeprefix("models/"), f"{name}:latest"} & listed)  # Ollama's name for a model without a tag


def _doubt(address: str, unknown: list[str], offered: list[str]) -> str:
    """Return which models are not listed, the nearest names that are, and what follows."""
    from difflib import get_close_matches

    from genius_kit.llm.connection import shown_address

    near = [match for name in unknown for match in get_close_matches(name, offered, n=3)]
    shown = list(dict.fromkeys([*near, *offered]))[:SHOWN]
    more = len(offered) - len(shown)
    return mask(
        f"{shown_address(address)} does not list {', '.join(map(repr, unknown))}; it lists {', '.join(shown)}"
        f"{f' and {more} more' if more > 0 else ''}. It is asked all the same; if it knows no such model, correct the "
        "name in `models` (or --models)"
    )
