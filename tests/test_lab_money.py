"""What the lab says of money: before a press the expected cost and its bound, after it what was spent, and for what."""

import time

import pytest

from genius_kit.benchmarks import load_benchmark
from genius_kit.budget.amounts import dollars
from genius_kit.lab.compare import Arm, Comparing
from genius_kit.lab.draft import open_draft
from genius_kit.lab.money import FIELDS, Estimate, TokenCounter, estimate, search_words, spending, together
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.proposers.base import make_proposer
from genius_kit.studies.estimate import estimate_run
from genius_kit.testing import Answer, ChatServer, completion
from tests.doubles import QueueClient
from tests.test_lab_widgets import wait_for

GOOD = "Architecture: [3, 3, 3, 3, 3, 3]"


@pytest.fixture
def priced(tmp_path, monkeypatch):
    """Give the model of the tests a price, with cached tokens at a tenth of it."""
    prices = tmp_path / "own.toml"
    prices.write_text(
        'as_of = "2026-01-01"\n[models."queue-1"]\ninput = 10\ncached_input = 1\noutput = 40\nmax_output = 4000\n'
    )
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(prices))


@pytest.mark.parametrize(("history", "budget"), [("table", 10), ("dialogue", 10), ("table", 200)])
def test_the_lab_expects_what_the_estimate_of_a_run_expects(no_data, priced, history, budget):
    """Expected and bound are those of `estimate_run`, within the rounding of a token."""
    benchmark = load_benchmark("nas-bench-201-cifar10")
    prompt = open_draft("standard", benchmark, history).prompt()
    counter = TokenCounter()
    found = estimate(prompt, (), "queue-1", budget, counter)
    client = QueueClient()
    run = estimate_run(benchmark, make_proposer("llm", benchmark.space, client=client, history=history), budget)
    assert found.search == pytest.approx(run.expected.dollars, rel=0.01)
    assert found.bound == pytest.approx(run.bound.dollars, rel=0.01)
    assert found.calls == round(run.expected.calls)
    assert found.search < found.bound


def test_an_estimate_is_quick_for_a_long_search(no_data, priced):
    """A budget of 2,000 takes little longer than one of 10: keys are not held up by it."""
    prompt = open_draft("standard", load_benchmark("nas-bench-201-cifar10")).prompt()
    counter = TokenCounter()
    estimate(prompt, (), "queue-1", 10, counter)
    began = time.process_time()
    estimate(prompt, (), "queue-1", 2_000, counter)
    assert time.process_time() - began < 0.5


def test_the_cost_stands_there_before_the_press(no_data, priced, tmp_path):
    """Above all parts: calls, expected, bound; it follows the choices."""
    lab = PromptLab("nas-bench-201-cifar10", budget=10, folder=tmp_path)
    assert "A search of 10: about 10 calls, which cost nothing" in lab.editor.cost.value
    lab.editor.model.value = "queue-1"
    found = lab.session.estimate()
    shown = lab.editor.cost.value
    assert f"about {found.calls} calls, about {dollars(found.search)}, in 95 of 100" in shown
    assert f"at most {dollars(found.bound)}." in shown
    lab.editor.budget.value = 20
    assert "A search of 20" in lab.editor.cost.value
    lab.editor.model.value = "nobody-knows-it"
    assert "at an unknown price" in lab.editor.cost.value


def test_several_searches_cost_their_sum(no_data, priced):
    """Unknown where one is."""
    prompt = open_draft("standard", load_benchmark("nas-bench-201-cifar10")).prompt()
    known = estimate(prompt, (), "queue-1", 10, TokenCounter())
    both = together([known, known], times=3)
    assert both.search == pytest.approx(6 * known.search)
    assert both.calls == 6 * known.calls
    assert search_words(both, 10, 6).startswith("6 searches of 10")
    assert together([known, estimate(prompt, (), "nobody", 10, TokenCounter())]).search is None


def test_what_was_spent_is_known_where_tokens_and_a_price_are(no_data, priced, tmp_path):
    """A server that does not count cached tokens: all are priced as new, and that is said."""
    body = completion(GOOD, model="queue-1")
    del body["usage"]["prompt_tokens_details"]
    with ChatServer([Answer(body)] * 2) as server:
        lab = PromptLab("nas-bench-201-cifar10", budget=1, folder=tmp_path, model="queue-1", base_url=server.url)
        lab.searching.run()
        lab.session.live.wait(60)
        assert lab.session.live.state.spent is None
        wait_for(lambda: "Finished" in lab.view.board.status["text"])
    money = lab.view.board.status["money"]
    assert money.startswith("spent $0.0018 (100 tokens in, 20 out, its cache not told: all priced as new)")


def test_unknown_counts_stay_unknown():
    """No tokens, no price: no sum is made up."""
    usage = {"input_tokens": None, "cached_input_tokens": None, "output_tokens": 5, "reasoning_tokens": None}
    found = spending([{"usage": usage, "cost": None}], None)
    assert found.text == "unknown (tokens not counted)"
    assert spending([], None).text == "$0 (0 tokens in, 0 out)"


@pytest.mark.parametrize(
    ("entry", "limit", "advice"),
    [
        ("input = 10\noutput = 40\nmax_output = 4000", 0.0001, 'raise "Spend at most $"'),
        ("input = 10\noutput = 40\nmax_output = 4000", 0.0001, 'lower output limit ("Output limit")'),
        ("input = 10\noutput = 40", 1.0, 'give an output limit ("Output limit")'),
        (None, 1.0, "set GENIUS_KIT_ALLOW_UNPRICED=1 for the kernel"),
    ],
)
def test_advice_names_the_fields_of_the_lab(no_data, tmp_path, monkeypatch, entry, limit, advice):
    """No option of the command line, no argument of a function; the controls that are named are there."""
    prices = tmp_path / "own.toml"
    prices.write_text('as_of = "2026-01-01"\n' + (f'[models."queue-1"]\n{entry}\n' if entry else "[models]\n"))
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(prices))
    lab = PromptLab("nas-bench-201-cifar10", budget=1, folder=tmp_path, client=QueueClient(GOOD))
    lab.searching.limit.value = limit
    lab.searching.run()
    lab.session.live.wait(60)
    wait_for(lambda: advice in lab.view.board.status["text"])
    assert "--" not in lab.view.board.status["text"]
    assert "max_tokens=" not in lab.view.board.status["text"]
    labels = [control.description for control in (*lab.editor.optional.values(), lab.searching.limit)]
    assert all(any(label.startswith(field) for label in labels) for field in FIELDS.values())


def test_a_comparison_says_its_cost_before_and_keeps_to_its_limit(no_data, priced, tmp_path):
    """Rows, calls, expected and bound; with a limit that is too low nothing is sent, with a higher one it goes on."""
    client = QueueClient(*[GOOD] * 2)
    lab = PromptLab("nas-bench-201-cifar10", budget=1, folder=tmp_path, model="queue-1", client=client)
    panel = lab.comparing
    panel.pin()
    lab.turn("Compare")
    lab.editor.variant.value = "minimal"
    panel.pairs.value = 1
    assert "2 rows × 1 seeds: 2 searches of 1: about 2 calls, about $" in panel.pinned.value
    assert "in 95 of 100 cases at most $" in panel.pinned.value
    panel.limit.value = 0.0001
    panel.run()
    wait_for(lambda: not panel.comparison.is_running and lab.error.value)
    assert client.sent == []
    assert "raise &quot;Spend at most $&quot;" in lab.error.value
    panel.limit.value = 20.0
    panel.run()
    wait_for(lambda: not panel.comparison.is_running)
    assert len(client.sent) == 2


def test_each_search_of_a_comparison_may_take_what_the_ones_before_left(no_data, priced, tmp_path):
    """The limit is for all of them together."""
    benchmark, client = load_benchmark("nas-bench-201-cifar10"), QueueClient(*[GOOD] * 4)
    rows = [Arm({"prompt": name, "client": client}, "", Estimate(0)) for name in ("standard", "minimal")]
    comparison = Comparing(benchmark, rows, [0, 1], 1, tmp_path, limit=20.0)
    limits, spent = [], []

    def shown(run):
        limits.append(run.limits.dollars)
        spent.append(float(comparison.spent))

    comparison.shown.append(shown)
    comparison.run()
    assert comparison.done == 2
    assert spent == sorted(set(spent))
    assert limits == pytest.approx([20.0 - one for one in spent])
