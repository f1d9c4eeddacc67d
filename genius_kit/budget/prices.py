"""What a reply costs: a dated price list, which a user's file may correct."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from genius_kit.chat import Usage
from genius_kit.errors import InvalidParameter

PACKAGED_PRICES = Path(__file__).with_name("prices.toml")
_FIELDS = {"input", "cached_input", "output", "reasoning", "as_of", "max_output"}
_MONEY = _FIELDS - {"as_of", "max_output"}
_DATED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Price:
    """Prices of one model in US dollars per million tokens, as known on the date `as_of` (empty if not said).

    `max_output` is the longest reply that the model can give, in tokens, its reasoning included; None if not said.
    """

    input: float
    cached_input: float
    output: float
    reasoning: float
    as_of: str
    max_output: int | None = None

    @property
    def is_free(self) -> bool:
        """Whether no token costs anything."""
        return not any((self.input, self.cached_input, self.output, self.reasoning))

    def cost(self, usage: Usage) -> float | None:
        """Return the price of one reply in US dollars; None when a count that matters is unknown.

        Cached tokens are part of the input and reasoning tokens part of the output: each is counted once.
        """
        received = _split(usage.input_tokens, usage.cached_input_tokens, self.input, self.cached_input)
        written = _split(usage.output_tokens, usage.reasoning_tokens, self.output, self.reasoning)
        return None if received is None or written is None else (received + written) / 1_000_000

    def most(self, input_tokens: int, output_tokens: int) -> float:
        """Return the most that so many tokens can cost in US dollars, whichever of them are cached or reasoning."""
        received, written = max(self.input, self.cached_input), max(self.output, self.reasoning)
        return (input_tokens * received + output_tokens * written) / 1_000_000


def _split(whole: int | None, part: int | None, price: float, part_price: float) -> float | None:
    """Return the cost of `whole` tokens of which `part` have a price of their own, in millionths."""
    if whole is None:
        return None
    if price == part_price:
        return whole * price
    return None if part is None else (whole - part) * price + part * part_price


@dataclass(frozen=True)
class PriceFile:
    """Where prices come from: the name of a file, the version that it says it is, the SHA-256 of its content."""

    file: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Prices:
    """A price list: one entry a model name, each with the file it comes from."""

    models: Mapping[str, Price]
    sources: Mapping[str, PriceFile] = field(default_factory=dict)

    def find(self, model: str | None) -> Price | None:
        """Return the entry of `model`: its own name, or its name without a date ("gpt-4.1-2025-04-14")."""
        return self.models.get(self._key(model))

    def _key(self, model: str | None) -> str:
        """Return the name of the entry that serves `model`."""
        dated = _DATED.fullmatch(model or "")
        return dated[1] if dated and model not in self.models else model or ""

    def cost(self, usage: Usage, model: str | None) -> float | None:
        """Return the price of one reply of `model` in US dollars; None, never 0, where it cannot be known."""
        price = self.find(model)
        return price.cost(usage) if price else None

    def record(self, model: str | None) -> dict[str, Any] | None:
        """Return the entry of `model` and its file as plain values for a journal, None where there is none."""
        price, source = self.find(model), self.sources.get(self._key(model))
        return {**asdict(price), **(asdict(source) if source else {})} if price else None


def load_prices(path: str | Path | None = None) -> Prices:
    """Return the packaged prices with those of `path`, or of the file that GENIUS_KIT_PRICES names, put over them.

    An entry of that file replaces the whole packaged entry of the same model. Raises InvalidParameter when the file
    is missing, is not TOML, or holds anything but prices.
    """
    own = path or os.environ.get("GENIUS_KIT_PRICES") or None
    prices = _packaged()
    if not own:
        return prices
    theirs = _read(Path(own).expanduser())
    return Prices({**prices.models, **theirs.models}, {**prices.sources, **theirs.sources})


@lru_cache(maxsize=1)
def _packaged() -> Prices:
    return _read(PACKAGED_PRICES)


def price_of(usage: Usage, model: str | None, prices: Prices | None = None) -> float | None:
    """Return the price of one reply in US dollars, None ("unpriced") for an unknown model or unknown token counts.

    `model` is the name as served; `prices` spares reading the files again.
    """
    return (prices or load_prices()).cost(usage, model)


def _read(path: Path) -> Prices:
    try:
        data = path.read_bytes()
        content = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise InvalidParameter(
            f"no price file can be read at {path} ({error.strerror}): correct or unset GENIUS_KIT_PRICES"
        ) from error
    except ValueError as error:
        raise InvalidParameter(f"{path} is not a TOML file: {error}") from error
    unknown = content.keys() - {"as_of", "models", "version"}
    models = content.get("models")
    if unknown or not isinstance(models, dict):
        came = ", ".join(sorted(content)) or "nothing"
        raise InvalidParameter(f'{path} holds {came}; expected tables [models."NAME"] with input = and output =')
    as_of = str(content.get("as_of", ""))
    source = PriceFile(path.name, str(content.get("version", "")), hashlib.sha256(data).hexdigest())
    found = {name: _price(entry, f"{path}: {name}", as_of) for name, entry in models.items()}
    return Prices(found, dict.fromkeys(found, source))


def _price(entry: object, place: str, as_of: str) -> Price:
    if not isinstance(entry, dict):
        raise InvalidParameter(
            f'{place} is {entry!r}; expected a table with input = and output = (a dot? [models."a.b"])'
        )
    unknown = sorted(entry.keys() - _FIELDS)
    if unknown:
        raise InvalidParameter(
            f"{place}: {unknown[0]!r} is not one of {', '.join(sorted(_FIELDS))} (a dot? quote the name)"
        )
    money = {name: _money(value, f"{place}: {name}") for name, value in entry.items() if name in _MONEY}
    missing = {"input", "output"} - money.keys()
    if missing:
        raise InvalidParameter(f"{place} lacks {' and '.join(sorted(missing))}, in US dollars per million tokens")
    return Price(
        input=money["input"],
        cached_input=money.get("cached_input", money["input"]),
        output=money["output"],
        reasoning=money.get("reasoning", money["output"]),
        as_of=str(entry.get("as_of", as_of)),
        max_output=_count(entry.get("max_output"), f"{place}: max_output"),
    )


def _count(value: object, place: str) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise InvalidParameter(f"{place} is {value!r}; expected the longest reply in tokens, a whole number above 0")


def _money(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidParameter(f"{place} is {value!r}; expected US dollars per million tokens, a number not below 0")
    return float(value)
