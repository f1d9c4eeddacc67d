"""Estimates: the worst case bounds every record, the expected one is near, and the command asks first."""

import os
import pty
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from genius_kit.budget.amounts import Limits
from genius_kit.budget.limits import spent_of
from genius_kit.cli import app
from genius_kit.cli.commands import loaded
from genius_kit.cli.estimate import ask_first, study
from genius_kit.cli.options import ConsentOptions
from genius_kit.errors import InvalidParameter
from genius_kit.llm import Reply, Usage
from genius_kit.proposers.base import make_proposer
from genius_kit.runs.loop import first_architecture, search
from genius_kit.studies.estimate import Assumptions, Forecast, Sum, estimate_run, estimate_study
from genius_kit.studies.run import load_study, run_study
from tests.doubles import QueueClient, ToyBenchmark

COMMAND = [sys.executable, "-c", "from genius_kit.cli import main; main()"]


@pytest.fixture(autouse=True)
def prices(tmp_path, monkeypatch):
    """One dollar for a million tokens of input, ten for output, replies of at most a hundred tokens."""
    path = tmp_path / "own.toml"
    path.write_text('[models."queue-1"]\ninput = 1\noutput = 10\nmax_output = 100\n', encoding="utf-8")
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(path))
    return path


class Verbose(QueueClient):
    """Answers as badly as can be: as long as allowed, never with an architecture, until the last of each iteration."""

    def __init__(self, refusals):
        super().__init__()
        self.refusals, self.count = refusals, 0

    def send(self, messages, seed=None):
        self.count += 1
        usage = Usage(sum(len(message["content"]) for message in messages), 0, 100, 0)
        text = "word " * 100
        if self.count % (self.refusals + 1) == 0:
            digits = "".join(str(self.count // 3**place % 3) for place in range(6))
            text = f"{text}22{digits}"
        return Reply(text, "queue-1", "stop", usage)


@pytest.mark.parametrize("history", ["table", "dialogue"])
@pytest.mark.parametrize("first", ["none", "largest"])
@pytest.mark.parametrize("name", ["llm", "llm+gp", "llm-mutation", "gp-filtered-llm"])
def test_the_worst_case_bounds_a_run_that_goes_as_badly_as_can_be(name, first, history):
    """A model that is as long as it may be, and refused as often as it may be, stays below the estimate."""
    benchmark = ToyBenchmark()
    made = make_proposer(name, benchmark.space, client=Verbose(2), rejections_limit=2, history=history)
    forecast = estimate_run(benchmark, made, 6, first=first)
    given = None if first == "none" else first_architecture(first, benchmark.space, 0)
    done = search(benchmark, made, 6, first=given, progress=False)
    spent = spent_of(done.events)
    assert spent.calls > 0
    assert spent.calls <= forecast.worst.calls
    assert spent.tokens <= forecast.worst.tokens
    assert float(spent.dollars) <= forecast.worst.dollars
    reserved = [intent["reserved"] for intent in done.of("intent")]
    assert sum(one["tokens"] for one in reserved) <= forecast.worst.tokens
    assert sum(one["dollars"] for one in reserved) <= forecast.worst.dollars
    assert forecast.expected.dollars < forecast.worst.dollars


def test_the_expected_size_is_that_of_the_prompts_that_are_sent():
    """With the lengths and rates that a run turns out to have, the estimate is within a twentieth of its tokens."""

    class Even(QueueClient):
        def send(self, messages, seed=None):
            received = round(sum(len(message["content"]) for message in messages) / 4)
            text = f"{len(self.sent) % 3}{'2' * 7}"
            self.sent.append(messages)
            return Reply(text, "queue-1", "stop", Usage(received, 0, 50, 0))

    benchmark = ToyBenchmark()
    made = make_proposer("llm", benchmark.space, client=Even(), rejections_limit=0)
    given = Assumptions(reply_tokens=50, refusal_rate=0.0, attempts=1.0)
    forecast = estimate_run(benchmark, made, 3, assumptions=given)
    spent = spent_of(search(benchmark, made, 3, progress=False).events)
    assert forecast.expected.calls == spent.calls == 3
    assert forecast.expected.tokens == pytest.approx(spent.tokens, rel=0.05)
    assert forecast.expected.dollars == pytest.approx(float(spent.dollars), rel=0.05)


def test_more_refusals_and_attempts_cost_more():
    """Each assumption moves the expected figures and none the worst case; all of them are printed."""
    benchmark = ToyBenchmark()
    made = make_proposer("llm", benchmark.space, client=QueueClient())
    plain, refused, tried = (
        estimate_run(benchmark, made, 5, assumptions=given)
        for given in (Assumptions(), Assumptions(refusal_rate=0.5), Assumptions(attempts=2.0))
    )
    assert plain.expected.dollars < refused.expected.dollars
    assert plain.expected.dollars < tried.expected.dollars
    assert plain.worst == refused.worst == tried.worst
    assert plain.bound.dollars < refused.bound.dollars
    assert "50% of replies refused" in refused.assumptions.text
    for wrong in ({"refusal_rate": 1.0}, {"attempts": 0}, {"reply_tokens": float("nan")}):
        with pytest.raises(InvalidParameter):
            Assumptions(**wrong)


def test_what_costs_nothing_and_what_has_no_price_is_told_apart(prices):
    """A stand-in is free, an unknown model has no dollars, a priced one without an output limit no worst case."""
    benchmark = ToyBenchmark()
    free = estimate_run(benchmark, make_proposer("llm", benchmark.space), 3)
    assert (free.is_free, free.worst.dollars) == (True, 0.0)
    assert estimate_run(benchmark, make_proposer("random", benchmark.space), 3).is_free
    prices.write_text('[models."queue-1"]\ninput = 1\noutput = 10\n', encoding="utf-8")
    unbounded = estimate_run(benchmark, make_proposer("llm", benchmark.space, client=QueueClient()), 3)
    assert (unbounded.worst.dollars, unbounded.most, unbounded.unpriced) == (None, None, False)
    assert unbounded.at_stake == unbounded.bound.dollars
    assert unbounded.expected.dollars > 0
    prices.write_text('[models."other"]\ninput = 1\noutput = 10\n', encoding="utf-8")
    unpriced = estimate_run(benchmark, make_proposer("llm", benchmark.space, client=QueueClient()), 3)
    assert (unpriced.unpriced, unpriced.expected.dollars) == (True, None)


def test_a_limit_below_the_bound_is_what_is_at_stake():
    """A person is asked about the 95 % bound, or the limits of all runs together where they are lower."""
    benchmark = ToyBenchmark()
    made = make_proposer("llm", benchmark.space, client=QueueClient())
    free = estimate_run(benchmark, made, 5, runs=2)
    assert free.expected.dollars < free.at_stake == free.bound.dollars < free.most == free.worst.dollars
    assert estimate_run(benchmark, made, 5, runs=2, limits=Limits(dollars=0.001)).at_stake == pytest.approx(0.002)


def test_95_of_100_runs_cost_less_than_the_bound():
    """Models that differ as `Assumptions.cautious` says stay below the bound, which is no worst case.

    Length of replies, refusals, repeated attempts and characters in a token are log-normal, one draw each per run.
    """
    draws, budget, tries = np.random.default_rng(0), 10, 400
    benchmark = ToyBenchmark()
    made = make_proposer("llm", benchmark.space, client=QueueClient())
    forecast, given = estimate_run(benchmark, made, budget), Assumptions()
    spread = np.exp(draws.normal(size=(tries, 4)) * np.log([4, 3, 3, 4 / 3]) / 1.645)
    costs = []
    for length, refusals, repeats, marks in spread:
        one = Assumptions(
            reply_tokens=max(1, min(100, round(given.reply_tokens * length))),  # 100 tokens are the output limit
            refusal_rate=min(0.9, given.refusal_rate * refusals),
            attempts=1 + (given.attempts - 1) * repeats,
            characters_a_token=given.characters_a_token / marks,
        )
        costs.append(estimate_run(benchmark, made, budget, assumptions=one).expected.dollars)
    assert np.mean(np.array(costs) <= forecast.bound.dollars) >= 0.95
    assert forecast.bound.dollars < 0.1 * forecast.worst.dollars


def test_nobody_is_asked_for_an_architecture_that_is_given():
    """A search that begins with a given one asks once less, a hybrid as often, an evolution of random parents too."""
    benchmark, given = ToyBenchmark(), Assumptions(refusal_rate=0, attempts=1)

    def calls(name, first):
        made = make_proposer(name, benchmark.space, client=Verbose(0))
        return estimate_run(benchmark, made, 6, assumptions=given, first=first).expected.calls

    assert (calls("llm", "none"), calls("llm", "random")) == (6, 5)
    assert calls("llm+gp", "none") == calls("llm+gp", "random")
    assert calls("llm-mutation", "none") == calls("llm-mutation", "random")


def test_a_study_is_the_sum_of_its_unfinished_runs(no_data, tmp_path):
    """Runs that are done are left out; arms that ask nobody cost nothing."""
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: small\nbenchmarks: [nas-bench-201-cifar10]\narms: [llm, random]\nbudget: 2\nseeds: 2\n"
        "limits: {dollars: 3}\n",
        encoding="utf-8",
    )
    study = load_study(path, models=["gpt-4.1"])
    whole = estimate_study(study, tmp_path)
    assert whole.runs == 4
    assert whole.worst.dollars > 3 == whole.most > whole.at_stake
    cheap = load_study(path)
    run_study(cheap, tmp_path, progress=False)
    assert estimate_study(cheap, tmp_path).runs == 0
    assert estimate_study(study, tmp_path).runs == 2


# the question


def forecast(dollars, **changes):
    return Forecast(3, Sum(), Sum(1, 1, dollars, 1), Sum(1, 1, 1e9, 1), Assumptions(), **changes)


def test_nobody_is_asked_about_what_is_cheap_free_or_consented_to():
    """Below the bar, without a bill, without a price, or with --yes the command goes on."""
    ask_first(forecast(4.99), ConsentOptions())
    ask_first(forecast(100.0), ConsentOptions(100.0))
    ask_first(forecast(None, is_free=True), ConsentOptions())
    ask_first(forecast(None, unpriced=True), ConsentOptions())
    ask_first(forecast(1e6), ConsentOptions(yes=True))
    ask_first(forecast(1e6, limit=4.0), ConsentOptions())


def test_the_bar_is_an_option_or_a_variable(monkeypatch):
    """The option of this command, else GENIUS_KIT_ASK_ABOVE, else 5 dollars; what is no number is wrong usage."""

    def bar(*more):
        return loaded("run").make_context("run", ["nas-bench-201-cifar10", *more]).params["ask_above"]

    monkeypatch.delenv("GENIUS_KIT_ASK_ABOVE", raising=False)
    assert (bar(), bar("--ask-above", "7")) == (5, 7)
    monkeypatch.setenv("GENIUS_KIT_ASK_ABOVE", "2000")
    assert (bar(), bar("--ask-above", "7")) == (2000, 7)
    monkeypatch.setenv("GENIUS_KIT_ASK_ABOVE", "much")
    done = CliRunner().invoke(app, ["run", "nas-bench-201-cifar10"])
    assert (done.exit_code, "--ask-above" in done.output, "GENIUS_KIT_ASK_ABOVE" in done.output) == (2, True, True)


@pytest.mark.parametrize("dollars", [5.01, None])
def test_without_a_terminal_nothing_dear_is_begun(monkeypatch, dollars):
    """Where nobody can answer, what is above the bar or unbounded is refused, with the ways on."""
    monkeypatch.setattr("sys.stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115 - closed with the test
    with pytest.raises(InvalidParameter, match=r"--yes.*--max-dollars.*--ask-above"):
        ask_first(forecast(dollars), ConsentOptions())
    sys.stdin.close()


def at_terminal(answer, *arguments):
    """Run the command with `answer` typed at its terminal; return the exit code and what it wrote."""
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], stdin=theirs, capture_output=True, text=True, check=False, env=environment
    )
    os.close(ours)
    os.close(theirs)
    return done.returncode, done.stderr


@pytest.mark.slow
def test_the_command_asks_at_a_terminal(no_data, tmp_path):
    """ "n" ends it before a journal is there; "y" goes on, to the key that is missing here."""
    arguments = ("run", "nas-bench-201-cifar10", "--model", "gpt-4.1", "--ask-above", 0, "--output", tmp_path / "runs")
    code, told = at_terminal(b"n\n", *arguments)
    assert code == 1
    assert "Go on?" in told
    assert "95 % bound" in told
    assert "what lowers it: --max-tokens" in told
    assert not (tmp_path / "runs").exists()
    code, told = at_terminal(b"y\n", *arguments)
    assert code == 3
    assert "OPENAI_API_KEY" in told


def test_the_estimate_command_prints_figures_and_assumptions(no_data, tmp_path):
    """A run and a study: calls, tokens, dollars, seconds, and what was assumed; a limit that stops a run is exit 4."""

    def call(*arguments):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=tmp_path
        )

    one = call("estimate", "run", "nas-bench-201-cifar10", "--model", "gpt-4.1", "--refusal-rate", 0.2, "--runs", 3)
    assert one.returncode == 0, one.stderr
    for word in (
        "calls",
        "tokens",
        "dollars",
        "time",
        "expected",
        "95 % bound",
        "worst case",
        "20% of replies",
        "3 runs",
    ):
        assert word in one.stdout
    weighed = call("estimate", "run", "nas-bench-201-cifar10", "--model", "gpt-4.1", "--objectives", "accuracy,macs")
    assert weighed.returncode == 0, weighed.stderr
    path = tmp_path / "study.yaml"
    path.write_text(
        "name: small\nbenchmarks: [nas-bench-201-cifar10]\narms: [llm]\nbudget: 2\nseeds: 4\n", encoding="utf-8"
    )
    study = call("estimate", "study", path, "--seeds", 2)
    assert study.returncode == 0, study.stderr
    assert "2 runs" in study.stdout
    stopped = call("run", "nas-bench-201-cifar10", "--budget", 3, "--max-calls", 1)
    assert stopped.returncode == 4, stopped.stderr
    assert "--max-calls" in stopped.stderr


def test_what_a_study_costs_is_unknown_where_one_of_its_models_has_no_price(no_data, tmp_path):
    """Arms that ask nobody cost nothing and no sum hides what is not known; the price that is known is told."""
    options = ["--benchmarks", "nas-bench-201-cifar10", "--max-tokens", "100", "--seeds", "2", "--budget", "2"]
    for models in ("nobody-1", "nobody-1,gpt-6.1-sol"):
        command = [*COMMAND, "estimate", "study", "does-it-search", *options, "--models", models]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
        assert [line[46:63].strip() for line in done.stdout.splitlines()[2:5]] == ["unknown"] * 3
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "no price is known for the model of 16 run(s); name a" in done.stdout
        assert "limits let" not in done.stdout
        assert ("genai-prices" in done.stdout) == ("gpt-6.1-sol" in models)


def test_a_study_is_estimated_as_the_options_change_it(no_data, tmp_path):
    """The options that `genius-kit study` takes change the estimate too, and no limit is told where none was set."""
    options = ["--models", "gpt-4.1", "--benchmarks", "nas-bench-201-cifar10", "--max-tokens", "100", "--seeds", "2"]
    command = [sys.executable, "-m", "genius_kit", "estimate", "study", "does-it-search", *options]
    done = subprocess.run([*command, "--budget", "3"], capture_output=True, text=True, cwd=tmp_path, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "22 runs"  # 8 of them, the hybrids, begin with replies that are on record
    assert lines[2].split()[:2] == ["expected", "19"]  # 4 arms, 2 seeds, 2 of 3 evaluations, refusals and attempts
    assert "2 seeds per arm are too few for a verdict; 40 are enough for most natures" in " ".join(lines)
    assert "$" in lines[2]
    assert "limits let" not in done.stdout


def test_a_study_tells_what_it_could_find(capsys, no_data, tmp_path):
    """Before anything is paid: which natures are told what they are, and how often; other studies say nothing of it."""
    for name, said in (("does-it-search", True), ("optimisers", False)):
        study(name, tmp_path, benchmarks="nas-bench-201-cifar10")
        printed = " ".join(capsys.readouterr().out.split())
        assert ('gave the right verdict to a hill climber ("searches") in 98 %' in printed) == said
        assert ("simulated studies with 40 seeds per arm" in printed) == said
