"""Prices: what a reply costs, whose list decides, what stays unpriced, and which price files are refused."""

import hashlib
import json
import re
from importlib.metadata import version

import pytest

from genius_kit.budget import Price, load_prices
from genius_kit.budget.amounts import Limits
from genius_kit.budget.prices import OUTPUT_LIMITS, edition
from genius_kit.chat import Usage, usage_of_response
from genius_kit.errors import BudgetSpent, InvalidParameter, JournalError
from genius_kit.journal import read_run
from genius_kit.journal.verify import verify_run
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.loop import search
from genius_kit.runs.provenance import marked, provenance
from tests.chat_server import ChatServer, completion
from tests.doubles import ToyBenchmark

USAGE = Usage(input_tokens=1_000_000, cached_input_tokens=400_000, output_tokens=500_000, reasoning_tokens=200_000)
OPENROUTER, ANTHROPIC = "https://openrouter.ai/api/v1", "https://api.anthropic.com/v1/"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai/"
HERE = "http://localhost:8080/v1"


def cost(usage, model, base_url=None):
    price = load_prices().find(model, base_url)
    return price and price.cost(usage)


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
    assert cost(USAGE, "gpt-4.1") == pytest.approx(0.6 * 2.00 + 0.4 * 0.50 + 0.5 * 8.00)


@pytest.mark.parametrize(
    ("model", "base_url", "provider", "found_by"),
    [
        ("gpt-6.1-sol", "https://api.openai.com/v1", "openai", "address"),
        ("gpt-4.1", "https://mine.openai.azure.com/openai/v1", "azure", "address"),
        ("openai/gpt-6.1-sol", OPENROUTER, "openrouter", "address"),
        ("models/gemini-3.8-flash", GOOGLE, "google", "address"),
        ("claude-sonnet-4-5-20250929", ANTHROPIC, "anthropic", "address"),
        ("gpt-6.1-sol", HERE, "openai", "name"),
        ("GPT-4.1", HERE, "openai", "name"),
        ("openai/gpt-6.1-sol", HERE, "openai", "name"),
        ("claude-opus-5-5", "https://proxy.example/v1", "anthropic", "name"),
        ("claude-opus-5-5", None, "anthropic", "name"),
    ],
)
def test_the_address_decides_whose_price_it_is_and_else_the_name(model, base_url, provider, found_by):
    """A known provider's address is billed by its list; elsewhere a name that its maker lists has the maker's price."""
    price = load_prices().find(model, base_url)
    assert (price.provider, price.found_by) == (provider, found_by)


def test_the_same_model_costs_what_its_provider_asks():
    """DeepSeek's own price and OpenRouter's differ: each is found at its address."""
    own = load_prices().find("deepseek-v4-pro", "https://api.deepseek.com/v1")
    other = load_prices().find("deepseek/deepseek-v4-pro", OPENROUTER)
    assert own.output != other.output


@pytest.mark.parametrize(
    "model", ["gpt-4.1-2025-04-14", "gpt-4.1-2031-01-01", "gpt-4o-2024-11-20", "gpt-4-0613", "o3-2025-04-16"]
)
def test_dated_names_as_served_have_a_price(model):
    """A name followed by a date has the price of the name."""
    assert load_prices().find(model) is not None


def test_a_dated_name_may_have_a_price_of_its_own():
    """The first gpt-4o is dearer than the name without a date, which must not serve it."""
    assert load_prices().find("gpt-4o-2024-05-13").input == 5.00


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        *((name, None) for name in ("gpt-4.1-turbo", "gpt-4.1-2025-04", "gpt-4.1-mini-x", "gpt-4.1-2025-04-14-x")),
        *((name, None) for name in ("scripted-1", "offline", "", None)),
        *((name, HERE) for name in ("deepseek-r1:8b", "deepseek-r1-distill-qwen-7b", "qwen3:8b", "my-claude-distill")),
        ("meta-llama/llama-3.3-70b-instruct", "https://host.example/v1"),
        ("gpt-4.1", OPENROUTER),
        ("qwen3-32b", "https://api.openai.com/v1"),
        ("sonar", "https://api.perplexity.ai"),
        ("text-embedding-3-small", None),
    ],
)
def test_unknown_models_are_unpriced(model, base_url):
    """No name is guessed from how it begins, no provider's price taken for another's, and no fee a request left out."""
    assert cost(USAGE, model, base_url) is None


def test_a_model_that_is_offered_for_nothing_is_free():
    """OpenRouter's free variants have no price to list."""
    assert load_prices().find("openai/gpt-oss-20b:free", OPENROUTER).is_free


@pytest.mark.parametrize(
    "usage",
    [Usage(), Usage(None, 0, 5, 0), Usage(10, 0, None, None), Usage(10, None, 5, 0)],
    ids=["nothing", "input", "output", "cached"],
)
def test_unknown_counts_are_unpriced(usage):
    """A count that matters and is not known leaves the reply unpriced."""
    assert cost(usage, "gpt-4.1") is None


def test_a_count_that_changes_nothing_need_not_be_known():
    """gpt-4 has one price for all input and one for all output, so the parts do not matter."""
    assert cost(Usage(1_000_000, None, 1_000_000, None), "gpt-4") == pytest.approx(90.0)


def test_what_is_written_to_a_cache_is_dearer():
    """A server counts it beside what is read from the cache; figures that cannot be are dropped."""
    told = {"prompt_tokens": 1000, "completion_tokens": 10}
    usage = usage_of_response({**told, "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 400}})
    expected = 500 * 2.00 + 100 * 0.10 + 400 * 2.50 + 10 * 10.00
    assert cost(usage, "gpt-6.1-sol") == pytest.approx(expected / 1e6)
    wrong = usage_of_response({**told, "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 901}})
    assert wrong.cache_write_tokens is None


def test_a_long_prompt_makes_all_of_its_request_dearer():
    """Above 272,000 tokens of input each token of a request has another price; the most counts what can be reached."""
    price = load_prices().find("gpt-6.1-sol")
    at, above = (Usage(tokens, 0, 1000, 0, 0) for tokens in (272_000, 272_001))
    assert price.cost(at) == pytest.approx((272_000 * 2 + 1000 * 10) / 1e6)
    assert price.cost(above) == pytest.approx((272_001 * 4 + 1000 * 15) / 1e6)
    assert price.most(272_001, 1000) == pytest.approx((272_001 * 5 + 1000 * 15) / 1e6)
    assert price.most(272_001, 1000, longest=1000) == pytest.approx((272_001 * 2.5 + 1000 * 10) / 1e6)


def test_prices_that_change_within_the_day_are_taken_at_their_dearest():
    """A run may last into the dearer hours."""
    from genai_prices.data import providers

    (model,) = (
        one for made in providers if made.id == "deepseek" for one in made.models if one.id == "deepseek-v4-pro"
    )
    dearest = max(float(rule.prices.output_mtok) for rule in model.prices)
    assert load_prices().find("deepseek-v4-pro", "https://api.deepseek.com").output == dearest


def test_every_model_with_an_output_limit_of_ours_has_a_price():
    """The models whose longest reply is known here are listed, each with the date and version of the list."""
    for name, limit in OUTPUT_LIMITS.items():
        price = load_prices().find(name)
        assert price.max_output == limit
        assert 0 < price.cached_input <= price.input < price.output == price.reasoning
        assert price.source.startswith(f"genai-prices {version('genai-prices')} of 20")
    assert load_prices().find("claude-opus-5-5").max_output == 1_000_000  # its context: no reply is longer


def test_a_recorded_entry_is_read_back_as_it_was():
    """What a journal holds is plain, and an entry of before there were tiers is read too."""
    price = load_prices().find("gpt-6.1-sol")
    assert Price.read(json.loads(json.dumps(price.record()))) == price
    before = {"input": 2.0, "cached_input": 0.5, "output": 8.0, "reasoning": 8.0, "as_of": "2025-08-31",
              "max_output": 32768, "file": "prices.toml", "version": "2", "sha256": "0" * 64}  # fmt: skip
    assert Price.read(before).record() == before
    with pytest.raises(JournalError, match="no price entry"):
        Price.read({"input": 2.0})


def test_own_file_is_put_over_the_listed_prices(own_prices):
    """The user's entry replaces the whole entry of its model, at every address, and leaves the others alone."""
    path = own_prices('as_of = "2026-01-01"\n[models."gpt-4.1"]\ninput = 1\noutput = 3\nreasoning = 4\n[models.local]\n'
               "input = 0\noutput = 0\n")  # fmt: skip
    for base_url in (None, HERE, "https://api.openai.com/v1"):
        assert cost(USAGE, "gpt-4.1-2025-04-14", base_url) == pytest.approx(1.0 + 0.3 * 3 + 0.2 * 4)
    assert load_prices().find("gpt-4.1").record() == {
        "input": 1.0, "cached_input": 1.0, "output": 3.0, "reasoning": 4.0, "as_of": "2026-01-01", "max_output": None,
        "file": "prices.toml", "version": "", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }  # fmt: skip
    assert load_prices().find("gpt-4o").version == version("genai-prices")
    assert cost(USAGE, "local") == 0
    assert cost(USAGE, "gpt-4") is not None


def test_a_run_prices_itself_and_keeps_its_price_when_it_is_resumed(tmp_path, own_prices):
    """The entry in the first event prices a later sitting too; that the lists say another is on record, and charged."""
    path = tmp_path / "a.jsonl"
    details = {"prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}}
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, **details}
    served = [
        completion(text, model="gpt-6.1-sol-2026-09-29", usage=usage) for text in ("22222222", "12222222", "02222222")
    ]
    with ChatServer(served) as server:

        def go_on(calls, dollars=1):
            made = make_proposer("llm", ToyBenchmark().space, model="gpt-6.1-sol", base_url=server.url, max_tokens=1000)
            limits = Limits(calls=calls, dollars=dollars)
            try:
                search(ToyBenchmark(), made, 3, journal=path, progress=False, limits=limits)
            finally:
                made.client.close()

        with pytest.raises(BudgetSpent):
            go_on(1)
        own_prices('[models."gpt-6.1-sol"]\ninput = 50\noutput = 100\n')
        go_on(3, dollars=5)
    run = read_run(path)
    assert run.finished
    [changed] = run.of("price_changed")
    assert (changed["model"], changed["price"]["output"], changed["before"]["output"]) == ("gpt-6.1-sol", 100, 10)
    assert [call["spent"]["dollars"] for call in run.of("call")] == pytest.approx([0.003, 0.06, 0.06])
    assert re.search(r"price +from 20\d\d-\d\d-\d\d on: .*input 50.0.*output 100.0", verify_run(path).report())
    assert run.events[0]["price"]["provider"] == "openai"
    assert [call["cost"] for call in run.of("call")] == [pytest.approx(0.003)] * 3
    told = provenance(marked(run.frame(), run))["parameters"]["prices"]
    assert told == f"genai-prices {version('genai-prices')} of {edition()['as_of']} (list of openai, by name)"


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
        cost(USAGE, "gpt-4.1")


def test_input_cached_output_and_reasoning_tokens_are_priced_apart(own_prices):
    """Each of the four has its own price, and the most that a reply can cost takes the dearer of each pair."""
    own_prices("[models.four]\ninput = 1\ncached_input = 10\noutput = 100\nreasoning = 1000\n")
    assert cost(USAGE, "four") == pytest.approx(0.6 * 1 + 0.4 * 10 + 0.3 * 100 + 0.2 * 1000)
    assert load_prices().find("four").most(1_000_000, 500_000) == pytest.approx(10 + 500)
