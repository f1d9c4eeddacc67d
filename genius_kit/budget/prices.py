"""What a reply costs: the prices that genai-prices lists, with those of a user's file over them."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.chat import Usage, is_stand_in
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.files import LONGEST_TEXT, read_plain

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, ModelPrice, Provider

_MONEY = {"input", "cached_input", "cache_write", "output", "reasoning"}
_FIELDS = _MONEY | {"as_of", "max_output"}
_DATE = re.compile(r"-\d{4}-?\d{2}-?\d{2}$")
_CHECKED = re.compile(r"(?:checked|verified)[^.;\n]{0,40}?(\d{4}-\d{2}-\d{2})")

OUTPUT_LIMITS = {
    "gpt-4o-2024-05-13": 4096,
    **dict.fromkeys(("gpt-4o", "gpt-4o-mini"), 16384),
    **dict.fromkeys(("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano"), 32768),
    **dict.fromkeys(("o3", "o4-mini"), 100_000),
    **dict.fromkeys(("gpt-5", "gpt-5-mini", "gpt-6.1-sol"), 128_000),
}
"""The longest reply in tokens, reasoning included (OpenAI's model pages), of which genai-prices says nothing."""


@dataclass(frozen=True)
class Rates:
    """Prices in US dollars per million tokens; `cache_write` is that of input written to a cache, None: as `input`."""

    input: float
    cached_input: float
    output: float
    reasoning: float
    cache_write: float | None = field(default=None, kw_only=True)

    def of(self, usage: Usage) -> float | None:
        """Return the price of one reply at these rates in US dollars; None when a count that matters is unknown.

        Cached tokens are part of the input and reasoning tokens part of the output: each is counted once. A server
        that does not count cache writes made none.
        """
        received = _split(usage.input_tokens, usage.cached_input_tokens, self.input, self.cached_input)
        written = _split(usage.output_tokens, usage.reasoning_tokens, self.output, self.reasoning)
        if received is None or written is None:
            return None
        if usage.cache_write_tokens and self.cache_write is not None:
            received += usage.cache_write_tokens * (self.cache_write - self.input)
        return (received + written) / 1_000_000


@dataclass(frozen=True)
class Tier(Rates):
    """Prices of all tokens of a request whose prompt has more than `above` tokens."""

    above: int


@dataclass(frozen=True)
class Price(Rates):
    """Prices of one model, as known on the date `as_of` (empty if not said), and where they come from.

    `max_output` is the longest reply that the model can give, in tokens, its reasoning included; None if not said.
    `file` is the name of a price file, or genai-prices, with the version that it says it is and the SHA-256 of its
    content. `provider` is whose list it is, `found_by` whether "address" or "name" decided that.
    """

    as_of: str
    max_output: int | None = None
    tiers: tuple[Tier, ...] = ()
    file: str = ""
    version: str = ""
    sha256: str = ""
    provider: str = ""
    found_by: str = ""

    @property
    def is_free(self) -> bool:
        """Whether no token costs anything."""
        return self.most(1, 1, longest=2**63) == 0

    @property
    def source(self) -> str:
        """Where the price comes from, with version and date."""
        by = f" (list of {self.provider}, by {self.found_by})" if self.provider else ""
        return f"{self.file} {self.version}".strip() + f" of {self.as_of or 'an unknown date'}{by}"

    @property
    def text(self) -> str:
        """The price in words, with its source."""
        return f"${self.input:g} in, ${self.output:g} out per million tokens, {self.source}"

    @property
    def rates(self) -> dict[str, Any]:
        """What tokens cost, without where that stands."""
        return {name: value for name, value in self.record().items() if name in (*_MONEY, "tiers")}

    def cost(self, usage: Usage) -> float | None:
        """Return the price of one reply in US dollars; None when a count that matters is unknown."""
        reached = [tier for tier in self.tiers if (usage.input_tokens or 0) > tier.above]
        return (reached[-1] if reached else self).of(usage)

    def most(self, input_tokens: int, output_tokens: int, longest: float | None = None) -> float:
        """Return the most that so many tokens can cost in US dollars, whichever are cached, written or reasoning.

        `longest` is the longest prompt where the tokens are those of several requests.
        """
        longest = input_tokens if longest is None else longest
        rates = [self, *(tier for tier in self.tiers if longest > tier.above)]
        received = max(max(rate.input, rate.cached_input, rate.cache_write or 0.0) for rate in rates)
        written = max(max(rate.output, rate.reasoning) for rate in rates)
        return (input_tokens * received + output_tokens * written) / 1_000_000

    def record(self) -> dict[str, Any]:
        """Return the entry as plain values for a journal, without the fields that say nothing."""
        may_lack = ("cache_write", "tiers", "provider", "found_by")
        return {key: value for key, value in asdict(self).items() if key not in may_lack or value not in (None, (), "")}

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Price:
        """Return the entry that a journal holds; raises JournalError where it holds none."""
        known = {one.name: record[one.name] for one in fields(cls) if one.name in record}
        try:
            return cls(**{**known, "tiers": tuple(Tier(**tier) for tier in record.get("tiers", ()))})
        except TypeError:
            raise JournalError(f"the price on record is {dict(record)!r:.300}, which is no price entry") from None


def _split(whole: int | None, part: int | None, price: float, part_price: float) -> float | None:
    """Return the cost of `whole` tokens of which `part` have a price of their own, in millionths."""
    if whole is None:
        return None
    if price == part_price:
        return whole * price
    return None if part is None else (whole - part) * price + part * part_price


@dataclass(frozen=True)
class Prices:
    """The prices of a user's file by model name, and behind them those that genai-prices lists.

    `recorded` is the entry that a run began with: it serves the model of that name, under the names of its versions
    too, whatever the lists say by now.
    """

    models: Mapping[str, Price]
    recorded: tuple[str, Price] | None = None

    def find(self, model: str | None, base_url: str | None = None) -> Price | None:
        """Return the entry of `model` as the server at `base_url` bills it, None where nothing says it.

        The user's file comes first, by the name, or the name without a date ("gpt-4.1-2025-04-14"). Then the list
        of the provider to which the address belongs, and only that one. An address of no known provider (a server on
        this machine, a proxy, none at all) says nothing about prices: there the list of the model's maker decides,
        or of the provider that the name begins with ("openai/gpt-6.1-sol"), and only for a name that stands in it,
        since proxies pass that price on. All other names, those of open weights say, cost something else at each
        host: they have no price.
        """
        found = self._current(model or "", base_url)
        if self.recorded is None:
            return found
        name, price = self.recorded
        now = self._current(name, base_url)
        if model != name and (found is None or found != now):
            return found
        return replace(price, max_output=price.max_output or (now.max_output if now else None))

    def today(self, model: str | None, base_url: str | None = None) -> Price | None:
        """Return the entry of `model` as `find` does, but what it is now, whatever a run began with."""
        return self._current(model or "", base_url)

    def _current(self, model: str, base_url: str | None) -> Price | None:
        return self.models.get(model) or self.models.get(_DATE.sub("", model)) or _listed(model, base_url)

    def resumed(self, model: str, record: Mapping[str, Any] | None) -> Prices:
        """Return these with the entry of `model` that a run began with, where its journal holds one."""
        return self if record is None else replace(self, recorded=(model, Price.read(record)))


def load_prices() -> Prices:
    """Return the prices of the file that GENIUS_KIT_PRICES names, over those of genai-prices.

    An entry of that file replaces the whole entry of the same model. Raises InvalidParameter when the file is missing,
    is not TOML, or holds anything but prices.
    """
    own = os.environ.get("GENIUS_KIT_PRICES")
    return Prices(_read(Path(own).expanduser()) if own else {})


# what genai-prices lists


def _providers() -> list[Provider]:
    """Return the lists of the installed genai-prices; nothing is fetched."""
    from genai_prices.data import providers

    return providers


@lru_cache(maxsize=1)
def edition() -> dict[str, Any]:
    """Return version, SHA-256 and date of the installed lists: the newest day on which they say they were checked."""
    from importlib.metadata import version

    from genai_prices import data

    listed = [one.price_comments or "" for provider in _providers() for one in provider.models]
    days = _CHECKED.findall("\n".join(listed))
    content = hashlib.sha256(Path(data.__file__).read_bytes()).hexdigest()
    edition = {"file": "genai-prices", "version": version("genai-prices"), "sha256": content}
    return {**edition, "as_of": max(days, default="")}


@lru_cache(maxsize=256)
def _listed(model: str, base_url: str | None) -> Price | None:
    """Return the listed price of a model at an address, as `Prices.find` decides it, of the first day it is asked."""
    if not model or is_stand_in(model):
        return None
    providers = _providers()
    for provider in providers:
        if base_url and re.match(provider.api_pattern, base_url):
            return _priced(_find(provider, model.removeprefix("models/")), provider, "address")
    vendor, _, name = model.lower().rpartition("/")
    for provider in providers:
        is_maker = provider.model_match is not None and provider.model_match.is_match(name)
        if provider.id == vendor or (is_maker and not vendor):
            found = _find(provider, name)
            exact = found and (_DATE.sub("", name) == found.id.lower() or _names(found.match, name))
            return _priced(found, provider, "name") if exact else None
    return None


def _find(provider: Provider, name: str) -> ModelInfo | None:
    for known in (name, _DATE.sub("", name)):
        if found := provider.find_model(known, all_providers=_providers()):
            return found
    return None


def _names(match: MatchLogic, name: str) -> bool:
    """Return whether a rule is met by this name as it stands, not by how it begins or what it contains."""
    if either := getattr(match, "or_", None):
        return any(_names(one, name) for one in either)
    return (hasattr(match, "equals") or hasattr(match, "regex")) and match.is_match(name)


def _priced(model: ModelInfo | None, provider: Provider, found_by: str) -> Price | None:
    """Return the entry of a listed model; None for one that is not billed by tokens of text alone."""
    prices = _in_force(model) if model else None
    if model is None or prices is None:
        return None
    starts = sorted({tier.start for value in vars(prices).values() for tier in getattr(value, "tiers", ())})
    return Price(
        **_rates(prices, -1),
        **edition(),
        tiers=tuple(Tier(**_rates(prices, start), above=start) for start in starts),
        max_output=OUTPUT_LIMITS.get(model.id, model.context_window),
        provider=provider.id,
        found_by=found_by,
    )


def _in_force(model: ModelInfo) -> ModelPrice | None:
    """Return the prices of today, the dearest where they change within the day; None where tokens are not all."""
    from datetime import UTC, datetime

    from genai_prices.types import ModelPrice

    now = datetime.now(UTC)
    rules = [] if isinstance(model.prices, ModelPrice) else [rule.constraint for rule in model.prices]
    starts = [start for rule in rules if (start := getattr(rule, "start_time", None)) is not None]
    todays = [model.get_prices(moment) for moment in (now, *(datetime.combine(now, start) for start in starts))]
    if model.id.endswith(":free") and not any(vars(prices) for prices in todays):
        return ModelPrice(**dict.fromkeys(("input_mtok", "output_mtok"), 0))  # type: ignore[arg-type]
    priced = all(prices.input_mtok is not None and prices.output_mtok is not None for prices in todays)
    if not priced or any(prices.requests_kcount is not None for prices in todays):
        return None
    return max(todays, key=lambda prices: _rates(prices, -1)["output"] or 0.0)


def _rates(prices: ModelPrice, start: int) -> dict[str, Any]:
    """Return the prices of a prompt of more than `start` tokens."""

    def at(name: str) -> float | None:
        value: Any = getattr(prices, f"{name}_mtok")
        for tier in getattr(value, "tiers", ()):
            value = value if tier.start > start else tier
        value = getattr(value, "base", getattr(value, "price", value))
        return None if value is None else float(value)

    received, written = at("input"), at("output")
    cached, reasoning = at("cache_read"), at("output_reasoning")
    return {
        "input": received,
        "cached_input": received if cached is None else cached,
        "output": written,
        "reasoning": written if reasoning is None else reasoning,
        "cache_write": at("cache_write"),
    }


# a user's file


def _read(path: Path) -> dict[str, Price]:
    try:
        data = read_plain(path, LONGEST_TEXT)
        content = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise InvalidParameter(
            f"no price file can be read at {path} ({error.strerror}): correct or unset GENIUS_KIT_PRICES"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"{path} is not a TOML file: {error}") from error
    unknown = content.keys() - {"as_of", "models", "version"}
    models = content.get("models")
    if unknown or not isinstance(models, dict):
        came = ", ".join(sorted(content)) or "nothing"
        raise InvalidParameter(f'{path} holds {came}; it needs tables [models."NAME"] with input = and output =')
    told = {name: str(content.get(name, "")) for name in ("as_of", "version")}
    told |= {"file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    return {name: _price(entry, f"{path}: {name}", told) for name, entry in models.items()}


def _price(entry: object, place: str, told: Mapping[str, Any]) -> Price:
    if not isinstance(entry, dict):
        raise InvalidParameter(
            f'{place} must be a table with input = and output = (a dot? [models."a.b"]), got {entry!r}'
        )
    if unknown := sorted(entry.keys() - _FIELDS):
        raise InvalidParameter(
            f"{place}: {unknown[0]!r} is not one of {', '.join(sorted(_FIELDS))} (a dot? quote the name)"
        )
    if missing := {"input", "output"} - entry.keys():
        raise InvalidParameter(f"{place} lacks {' and '.join(sorted(missing))}, in US dollars per million tokens")
    money = {name: _money(value, f"{place}: {name}") for name, value in entry.items() if name in _MONEY}
    rates: dict[str, Any] = {"cached_input": money["input"], "reasoning": money["output"], **money}
    limit = _count(entry.get("max_output"), f"{place}: max_output")
    return Price(**rates, **{**told, "as_of": str(entry.get("as_of", told["as_of"]))}, max_output=limit)


def _count(value: object, place: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise InvalidParameter(f"{place} must be the longest reply in tokens, a whole number above 0, got {value!r}")


def _money(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidParameter(f"{place} must be US dollars per million tokens, a number not below 0, got {value!r}")
    return float(value)
