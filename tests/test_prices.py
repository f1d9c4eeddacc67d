"""Prices: what a reply costs, what stays unpriced, and which price files are refused."""

import hashlib
import tomllib

import pytest

from genius_kit.budget import load_prices, price_of
from genius_kit.budget.prices import PACKAGED_PRICES
from genius_kit.chat import Usage
from genius_kit.errors import InvalidParameter

USAGE = Usage(input_tokens=1_000_000, cached_input_tokens=400_000, output_tokens=500_000, reasoning_tokens=200_000)


@pytest.fixture(autouse=True)
def no_own_prices(monkeypatch):
    monkeypatch.delenv("GENIUS_KIT_PRICES", raising=False)


@pytest.fixture
def own_prices(tmp_path, monkeypatch):
    def write(text):
        path = tmp_path / "prices.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("GENIUS_KIT_PRICES", str(path))
        return path

    return write


def test_cached_and_reasoning_tokens_are_counted_once():
    """Cached tokens are part of the input and reasoning tokens part of the output."""
    assert price_of(USAGE, "gpt-4.1") == pytest.approx(0.6 * 2.00 + 0.4 * 0.50 + 0.5 * 8.00)


@pytest.mark.parametrize("model", ["gpt-4.1-2025-04-14", "gpt-4o-2024-11-20", "gpt-4-0613", "o3-2025-04-16"])
def test_dated_names_as_served_have_a_price(model):
    """A name followed by a date has the price of the name."""
    assert load_prices().find(model) is not None


def test_a_dated_name_may_have_a_price_of_its_own():
    """The first gpt-4o is dearer than the name without a date, which must not serve it."""
    assert load_prices().find("gpt-4o-2024-05-13").input == 5.00


@pytest.mark.parametrize(
    "model",
    ["gpt-4.1-turbo", "gpt-4.1-2025-04", "gpt-4.1-mini-x", "GPT-4.1", "gpt-4.1-2025-04-14-x", "scripted-1", "", None],
)
def test_unknown_models_are_unpriced(model):
    """Only the exact name, or the exact name and a date, has a price: nothing is guessed and nothing is 0."""
    assert price_of(USAGE, model) is None


@pytest.mark.parametrize(
    "usage",
    [Usage(), Usage(None, 0, 5, 0), Usage(10, 0, None, None), Usage(10, None, 5, 0)],
    ids=["nothing", "input", "output", "cached"],
)
def test_unknown_counts_are_unpriced(usage):
    """A count that matters and is not known leaves the reply unpriced."""
    assert price_of(usage, "gpt-4.1") is None


def test_a_count_that_changes_nothing_need_not_be_known():
    """gpt-4 has one price for all input and one for all output, so the parts do not matter."""
    assert price_of(Usage(1_000_000, None, 1_000_000, None), "gpt-4") == pytest.approx(90.0)


def test_every_packaged_entry_is_dated_and_complete():
    """Each of the packaged models has a date, and a cached price that is not above the input price."""
    models = load_prices().models
    assert {"gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano"} < models.keys()
    assert {"o3", "o4-mini", "gpt-5", "gpt-5-mini"} < models.keys()
    for price in models.values():
        assert price.as_of
        assert 0 < price.cached_input <= price.input < price.output == price.reasoning
        assert price.max_output >= 4096


def test_own_file_is_put_over_the_packaged_prices(own_prices):
    """The user's entry replaces the whole entry of its model and leaves the others alone."""
    path = own_prices('as_of = "2026-01-01"\n[models."gpt-4.1"]\ninput = 1\noutput = 3\nreasoning = 4\n[models.local]\n'
               "input = 0\noutput = 0\n")  # fmt: skip
    assert price_of(USAGE, "gpt-4.1") == pytest.approx(1.0 + 0.3 * 3 + 0.2 * 4)
    recorded = load_prices().record("gpt-4.1")
    assert recorded == {
        "input": 1.0, "cached_input": 1.0, "output": 3.0, "reasoning": 4.0, "as_of": "2026-01-01", "max_output": None,
        "file": "prices.toml", "version": "", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }  # fmt: skip
    assert load_prices().record("gpt-4o")["version"] == str(tomllib.loads(PACKAGED_PRICES.read_text())["version"])
    assert price_of(USAGE, "local") == 0
    assert price_of(USAGE, "gpt-4") is not None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[models.gpt-4.1]\ninput = 1\noutput = 2\n", "dot"),
        ('[models."a"]\ninput = 1\n', "output"),
        ('[models."a"]\ninput = "1"\noutput = 2\n', "input"),
        ('[models."a"]\ninput = -1\noutput = 2\n', "-1"),
        ('[models."a"]\ninput = 1\noutput = 2\nmax_output = 0\n', "max_output"),
        ('[models."a"]\ninput = nan\noutput = 2\n', "nan"),
        ('[models."a"]\ninput = 1\noutput = 2\ncahced_input = 1\n', "cahced_input"),
        ('["gpt-4.1"]\ninput = 1\n', "gpt-4.1"),
        ("models = 3\n", "models"),
        ("[models\n", "TOML"),
        ("", "nothing"),
    ],
)
def test_a_wrong_price_file_is_refused(own_prices, text, named):
    """A price file with anything but prices is refused, and the message names the file and the fault."""
    path = own_prices(text)
    with pytest.raises(InvalidParameter) as caught:
        load_prices()
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_a_missing_price_file_is_refused(tmp_path, monkeypatch):
    """A file that GENIUS_KIT_PRICES names and that is not there is an error that names both."""
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(tmp_path / "none.toml"))
    with pytest.raises(InvalidParameter, match=r"none\.toml.*GENIUS_KIT_PRICES"):
        price_of(USAGE, "gpt-4.1")


def test_input_cached_output_and_reasoning_tokens_are_priced_apart(own_prices):
    """Each of the four has its own price, and the most that a reply can cost takes the dearer of each pair."""
    own_prices("[models.four]\ninput = 1\ncached_input = 10\noutput = 100\nreasoning = 1000\n")
    assert price_of(USAGE, "four") == pytest.approx(0.6 * 1 + 0.4 * 10 + 0.3 * 100 + 0.2 * 1000)
    assert load_prices().find("four").most(1_000_000, 500_000) == pytest.approx(10 + 500)
