"""The secrets of this process, and the one function that takes them out of whatever is written."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "[key]"
SHORTEST = 8
"""Characters of a secret that is looked for; shorter values ("none", "EMPTY") stand in for a key, and in any text."""

_WORDS = r"api_?keys?|keys?|token|secrets?|passwords?|passwd|passphrase|credentials?|bearer|authorization|cookies?"
# a word of the name, in snake_case or camelCase; "max_tokens" counts tokens and is no secret
_NAME = re.compile(rf"(?:^|_)(?i:{_WORDS})(?:_|$|(?=[A-Z]))|(?<=[a-z])(?:Key|Token|Secret|Password)s?$")
_NO_SECRET = {"prompt_cache_key", "stop_token_ids", "allowed_token_ids", "thinking_token_budget"}
"""Fields of requests to OpenAI and vLLM, which name a cache and tokens."""
_OPEN_HEADERS = {"accept", "content-type", "http-referer", "referer", "user-agent", "x-title"}
_HEADERS = "OPENAI_CUSTOM_HEADERS"
_HIDDEN = re.compile(r"(?<=://)[^\s/@]+(?=@)|(?<=\?)[^\s?\"']*=[^\s\"']*")
"""User and password, and the query, of an address in a log, however short they are."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])|[\x00\x08\u200b\u00ad]")
_TAGS = re.compile(r"<[^<>]*>")

_learned: set[str] = set()
_prepared: tuple[dict[Any, Any], dict[str, frozenset[str]]] = {}, {}  # an environment, and its secrets


@lru_cache(maxsize=4096)
def looks_secret(name: str) -> bool:
    """Return whether a parameter, field or variable of this name is likely to hold a secret."""
    plain = re.sub(r"[-. ]", "_", name)
    return plain not in _NO_SECRET and bool(_NAME.search(plain))


def learn(secrets: Iterable[str]) -> None:
    """Add secrets that the environment does not hold (those of an address, say) to those of this process."""
    _learned.update(secret for secret in secrets if len(secret) >= SHORTEST)


def secrets_by_variable() -> Mapping[str, frozenset[str]]:
    """Return the secrets of the environment under the names of their variables; found anew only where it has changed.

    They are the values of variables named like a secret, of OPENAI_CUSTOM_HEADERS, and what addresses hide.
    """
    global _prepared
    variables = dict(getattr(os.environ, "_data", os.environ))  # undecoded: quicker to compare
    if variables != _prepared[0]:
        found = {name: frozenset(_in_variable(name, value)) for name, value in os.environ.items()}
        long = {name: frozenset(one for one in secrets if len(one) >= SHORTEST) for name, secrets in found.items()}
        _prepared = variables, {name: secrets for name, secrets in long.items() if secrets}
    return _prepared[1]


def secret_values() -> frozenset[str]:
    """Return every secret of this process: those of the environment, and those it was told to `learn`."""
    return frozenset(_learned).union(*secrets_by_variable().values())


def secrets_of_address(address: str) -> set[str]:
    """Return what no message may tell of an address: user, password and the values of its query, but for versions."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        hidden = {part for part in (parts.username, parts.password) if part}
        query = parse_qsl(parts.query)
    except ValueError:
        return set()
    raw = dict(pair.partition("=")[::2] for pair in parts.query.split("&"))
    for name, value in query:
        if not name.lower().endswith("version"):
            hidden |= {value, raw.get(name, value)}
    return hidden | {unquote(part) for part in hidden}


def variables_in(text: str) -> list[str]:
    """Return the names of the environment's variables whose secrets stand in `text`, in whatever form."""
    return [name for name, secrets in secrets_by_variable().items() if any(form in text for form in _forms_of(secrets))]


def variables_shown_in(text: str) -> list[str]:
    """Return what `variables_in` does of a text as it is written and as a reader sees it.

    That is without colour codes and other escapes of a terminal, without tags, and with HTML's entities decoded.
    """
    plain = _ESCAPES.sub("", text)
    seen = (text, plain, html.unescape(plain), html.unescape(_TAGS.sub("", plain)))
    return list(dict.fromkeys(name for form in dict.fromkeys(seen) for name in variables_in(form)))


def mask(text: str, secrets: Iterable[str] | None = None) -> str:
    """Return `text` with every secret in it replaced by "[key]", in whatever form it stands there.

    The forms are plain, URL-quoted, JSON-escaped (also twice), as `repr` and HTML write it, and base64 at any place of
    a longer text. `secrets` are those of this process by default.
    """
    return _masked(text, _forms_of(secret_values() if secrets is None else frozenset(secrets)))


def masked(value: Any) -> Any:
    """Return a nested value, fit for JSON, with every text in it masked, keys too; numbers stay as they are."""
    forms = _forms_of(secret_values())
    text = json.dumps(value, default=str)  # looked through as a whole, since most values hold no secret
    return _masked(value, forms) if any(form in text for form in _escaped(forms)) else value


def _masked(value: Any, forms: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        for form in forms:
            value = value.replace(form, MASK)
        return value
    if isinstance(value, Mapping):
        return {_masked(key, forms): _masked(item, forms) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_masked(item, forms) for item in value)
    return value


def guard_logs(*packages: str) -> None:
    """Mask what the loggers of these packages say from now on; they write addresses and headers as they are."""
    known = logging.root.manager.loggerDict
    for name in [name for name in known if name.partition(".")[0] in packages]:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _MaskingFilter) for one in logger.filters):
            logger.addFilter(_MaskingFilter())


class _MaskingFilter(logging.Filter):
    """Takes the secrets out of a record before any handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask(_HIDDEN.sub(MASK, record.getMessage())), None
        return True


def _in_variable(name: str, value: str) -> Iterator[str]:
    if looks_secret(name):
        yield value.strip()
    if name == _HEADERS:
        yield from _in_headers(value)
    upper = name.upper()
    if upper.endswith("_PROXY") or (("://" in value) and (upper.endswith("_URL") or "@" in value)):
        yield from secrets_of_address(value)


def _in_headers(value: str) -> Iterator[str]:
    for line in value.splitlines():
        name, _, content = line.partition(":")
        if name.strip().lower() not in _OPEN_HEADERS:
            yield content.strip()
            yield from (word for word in re.split(r"[\s;,]+", content) if word not in ("Bearer", "Basic"))


@lru_cache(maxsize=64)
def _forms_of(secrets: frozenset[str]) -> tuple[str, ...]:
    """Return every form of some secrets, the longest first, so that no piece of one is left behind."""
    forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


@lru_cache(maxsize=64)
def _escaped(forms: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(json.dumps(form)[1:-1] for form in forms)


def _forms(secret: str) -> Iterator[str]:
    once = [json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)]
    twice = [json.dumps(form)[1:-1] for form in once]
    quoted = [
        quote(secret, safe="", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    ]
    lower = [re.sub(r"%[0-9A-F]{2}", lambda sign: sign[0].lower(), form) for form in quoted]
    shown = [repr(secret)[1:-1], ascii(secret)[1:-1], html.escape(secret), html.escape(secret, quote=False)]
    yield from (secret, *once, *twice, *quoted, *lower, *shown)
    yield from (form for form in _base64_forms(secret.encode("utf-8", "surrogatepass")) if len(form) >= SHORTEST)


def _base64_forms(content: bytes) -> Iterator[str]:
    """Yield what base64 makes of `content` at each of the three places it can begin at in a longer text.

    Signs at the edges that also hold bits of their neighbours are left out.
    """
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(content).decode()
        for before in range(3):
            start = -(-8 * before // 6)
            whole = encode(b"\0" * before + content).decode().rstrip("=")
            yield whole[start : len(whole) - (1 if (before + len(content)) % 3 else 0)]
