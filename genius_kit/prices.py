"""What a reply costs: a dated price list, which a user's file may correct."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genius_kit.chat import Usage
from genius_kit.errors import InvalidParameter

PACKAGED_PRICES = Path(__file__).with_name("prices.toml")
_FIELDS = {"input", "cached_input", "output", "reasoning", "as_of"}
_DATED = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Price:
    """Prices of one model in US dollars per million tokens, as known on the date `as_of` (empty if not said)."""

    input: float
    cached_input: float
    output: float
    reasoning: float
    as_of: str

    def cost(self, usage: Usage) -> float | None:
        """Return the price of one reply in US dollars; None when a count that matters is unknown.

        Cached tokens are part of the input and reasoning tokens part of the output: each is counted once.
        """
        received = _split(usage.input_tokens, usage.cached_input_tokens, self.input, self.cached_input)
        written = _split(usage.output_tokens, usage.reasoning_tokens, self.output, self.reasoning)
        return None if received is None or written is None else (received + written) / 1_000_000


def _split(whole: int | None, part: int | None, price: float, part_price: float) -> float | None:
    """Return the cost of `whole` tokens of which `part` have a price of their own, in millionths."""
    if whole is None:
        return None
    if price == part_price:
        return whole * price
    return None if part is None else (whole - part) * price + part * part_price


@dataclass(frozen=True)
class Prices:
    """A price list: one entry a model name."""

    models: Mapping[str, Price]

    def find(self, model: str | None) -> Price | None:
        """Return the entry of `model`: its own name, or its name without a date ("gpt-4.1-2025-04-14")."""
        dated = _DATED.fullmatch(model or "")
        return self.models.get(model or "") or (self.models.get(dated[1]) if dated else None)

    def cost(self, usage: Usage, model: str | None) -> float | None:
        """Return the price of one reply of `model` in US dollars; None, never 0, where it cannot be known."""
        price = self.find(model)
        return price.cost(usage) if price else None

    def record(self, model: str | None) -> dict[str, Any] | None:
        """Return the entry of `model` as plain values for a journal, None where there is none."""
        price = self.find(model)
        return asdict(price) if price else None


def load_prices(path: str | Path | None = None) -> Prices:
    """Return the packaged prices with those of `path`, or of the file that GENIUS_KIT_PRICES names, put over them.

    An entry of that file replaces the whole packaged entry of the same model. Raises InvalidParameter when the file
    is missing, is not TOML, or holds anything but prices.
    """
    own = path or os.environ.get("GENIUS_KIT_PRICES") or None
    models = _read(PACKAGED_PRICES)
    return Prices({**models, **_read(Path(own).expanduser())} if own else models)


def price_of(usage: Usage, model: str | None, prices: Prices | None = None) -> float | None:
    """Return the price of one reply in US dollars, None ("unpriced") for an unknown model or unknown token counts.

    `model` is the name as served; `prices` spares reading the files again.
    """
    return (prices or load_prices()).cost(usage, model)


def _read(path: Path) -> dict[str, Price]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidParameter(
            f"no price file can be read at {path} ({error.strerror}): correct or unset GENIUS_KIT_PRICES"
        ) from error
    except ValueError as error:
        raise InvalidParameter(f"{path} is not a TOML file: {error}") from error
    unknown = content.keys() - {"as_of", "models"}
    models = content.get("models")
    if unknown or not isinstance(models, dict):
        came = ", ".join(sorted(content)) or "nothing"
        raise InvalidParameter(f'{path} holds {came}; expected tables [models."NAME"] with input = and output =')
    as_of = str(content.get("as_of", ""))
    return {name: _price(entry, f"{path}: {name}", as_of) for name, entry in models.items()}


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
    money = {name: _money(value, f"{place}: {name}") for name, value in entry.items() if name != "as_of"}
    missing = {"input", "output"} - money.keys()
    if missing:
        raise InvalidParameter(f"{place} lacks {' and '.join(sorted(missing))}, in US dollars per million tokens")
    return Price(
        input=money["input"],
        cached_input=money.get("cached_input", money["input"]),
        output=money["output"],
        reasoning=money.get("reasoning", money["output"]),
        as_of=str(entry.get("as_of", as_of)),
    )


def _money(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidParameter(f"{place} is {value!r}; expected US dollars per million tokens, a number not below 0")
    return float(value)
