"""The settings of a request that are the user's: on each way in, in what is sent, on record, and refused."""

import json
from pathlib import Path

import papermill
import pytest
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.cli import app
from genius_kit.errors import InvalidParameter, JournalError
from genius_kit.journal import Run, read_run
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.llm.settings import line_of, read_line
from genius_kit.reports import run as reports
from genius_kit.runs.frames import by_method
from genius_kit.verdicts.searches.memory import ask
from tests.chat_server import MODEL, Answer, ChatServer, error
from tests.doubles import QueueClient, ToyBenchmark
from tests.notebook_files import write

TABLE = "nas-bench-201-cifar10"
GIVEN = {"reasoning_effort": "high", "top_p": 0.9, "thinking": {"type": "enabled", "budget_tokens": 2000}}
OPTIONS = [
    f"--param={name}={value if name == 'reasoning_effort' else json.dumps(value)}" for name, value in GIVEN.items()
]
FOLDER = Path(gk.__file__).resolve().parent.parent / "notebooks"


@pytest.fixture
def server(no_data, monkeypatch):
    """A server that answers every request with one architecture."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with ChatServer(lambda body, number: f"Architecture: {[number % 5, 3, 3, 3, 3, 3]}") as running:
        yield running


def invoke(*arguments):
    """Return the output of a command that succeeds."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def sent_by(server):
    """Return what each request held beside model, messages and the form of the reply."""
    return [without_the_rest(one["body"]) for one in server.requests]


def without_the_rest(fields):
    """Return the fields of a request that are settings of the user's."""
    return {name: value for name, value in fields.items() if name not in ("model", "messages", "response_format")}


# Where they come from


def test_a_run_sends_and_records_them(server, tmp_path):
    """JSON where it reads as JSON, else text; the timeout is beside the settings, and resuming needs neither."""
    asked = ["run", TABLE, "--model", MODEL, "--base-url", server.url, "--budget", 2, "--output", tmp_path, *OPTIONS]
    invoke(*asked, "--timeout", 30)
    assert sent_by(server) == [GIVEN, GIVEN]
    (path,) = tmp_path.glob("*.jsonl")
    begun = read_run(path).events[0]
    assert begun["run"]["settings"]["params"] == without_the_rest(begun["run"]["resolved"]["parameters"]) == GIVEN
    assert begun["timeout"] == 30
    invoke(*asked, "--timeout", 40)  # finished: another timeout is no other run
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    invoke("resume", path, "--timeout", 50, "--base-url", server.url)
    assert sent_by(server)[2:] == [GIVEN]


def test_without_them_nothing_is_sent_or_recorded(server, tmp_path):
    """The record of a run that does not use them is as it was before they were there."""
    invoke("run", TABLE, "--model", MODEL, "--base-url", server.url, "--budget", 1, "--output", tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    begun = read_run(path).events[0]
    assert sent_by(server) == [{}]
    assert not {"params", "timeout"} & {*begun, *begun["run"]["settings"]}


def test_the_settings_of_a_study_file_are_for_all_arms_or_for_one(server, tmp_path, monkeypatch):
    """An arm's own replace those of the file, an option those of both files' keys; each has its journal."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    told = {"name": "small", "benchmarks": [TABLE], "budget": 1, "seeds": 1, "models": [MODEL], "timeout": 30}
    arms = ["llm", {"proposer": "llm", "name": "little", "params": {"reasoning_effort": "low"}}]
    file = tmp_path / "small.yaml"
    file.write_text(json.dumps({**told, "arms": arms, "params": GIVEN}))
    invoke("study", file, "--output", tmp_path / "studies", "--workers", 1)
    assert sent_by(server) == [GIVEN, {"reasoning_effort": "low"}]
    journals = [read_run(path) for path in (tmp_path / "studies").rglob("*.jsonl")]
    assert [run.events[0]["timeout"] for run in journals] == [30, 30]
    invoke("study", file, "--output", tmp_path / "studies", "--workers", 1, "--param", "top_p=0.5", "--timeout", 20)
    assert sent_by(server)[2:] == [{"top_p": 0.5}]
    assert '# params: {"top_p": 0.5}' in (tmp_path / "studies" / "small" / "study.yaml").read_text()


def test_a_study_takes_the_request_options_of_a_run(server, tmp_path):
    """Server, temperature and form are options of `study` as of `run`; what an arm says of itself stays."""
    told = {"name": "small", "benchmarks": [TABLE], "budget": 1, "seeds": 1, "models": [MODEL], "temperature": 1}
    arms = ["llm", {"proposer": "llm", "name": "cold", "temperature": 0}]
    file, options = tmp_path / "small.yaml", ["--base-url", server.url, "--temperature", 0.5, "--structured", "off"]
    file.write_text(json.dumps({**told, "arms": arms}))
    estimated = invoke("estimate", "study", file, "--output", tmp_path / "studies", *options)
    assert "2 runs" in estimated
    invoke("study", file, "--output", tmp_path / "studies", "--workers", 1, *options)
    assert [one["body"]["temperature"] for one in server.requests] == [0.5, 0]
    settings = [read_run(path).settings["settings"] for path in (tmp_path / "studies").rglob("*.jsonl")]
    assert [one["base_url"] for one in settings] == [server.url, server.url]
    assert not any("structured" in one for one in settings)
    wrong = CliRunner().invoke(app, ["study", str(file), "--base-url", "localhost"])
    assert "base_url as given beside the file" in str(wrong.exception)


def test_a_wrong_setting_of_a_study_file_is_pointed_at(tmp_path):
    """The line of the file's own settings, or of the arm's."""
    file = tmp_path / "small.yaml"
    head = f"name: small\nbenchmarks: [{TABLE}]\nbudget: 1\nseeds: 1\n"
    for body, line in (
        ("arms: [llm]\nparams: {n: 2}\n", 6),
        ("arms:\n  - random\n  - {proposer: llm, params: {stream: true}}\n", 7),
        ("arms: [llm]\nparams: {at: 2026-01-01}\n", 6),
        ("arms: [llm]\nparams: [top_p]\n", 6),
        ("arms: [llm]\ntimeout: 0\n", 6),
    ):
        file.write_text(head + body)
        with pytest.raises(InvalidParameter, match=f"line {line}: "):
            gk.load_study(file)


def test_questions_on_a_table_are_asked_with_them(server, tmp_path):
    """Beside what is asked for anyway, in whose place they may stand."""
    invoke("memory", TABLE, "--questions", 1, "--model", MODEL, "--base-url", server.url, "--output", tmp_path,
           "--param", "top_logprobs=2", "--param", "reasoning_effort=low", "--timeout", 30)  # fmt: skip
    assert sent_by(server) == [{"logprobs": True, "top_logprobs": 2, "reasoning_effort": "low"}]
    (path,) = tmp_path.glob("*.jsonl")
    begun = read_run(path).events[0]
    assert begun["run"]["settings"]["params"] == {"top_logprobs": 2, "reasoning_effort": "low"}
    assert begun["timeout"] == 30
    with pytest.raises(InvalidParameter, match="looks like a secret"):
        ask(gk.load_benchmark(TABLE), params={"api_key": "x"})


def test_an_estimate_takes_the_options_of_the_run(no_data):
    """The same words after `estimate` as after `genius-kit`; an output limit among them bounds what may be spent."""
    asked = ["run", TABLE, "--model", "gpt-4.1", "--temperature", "0", "--base-url", "http://localhost:1/v1"]
    free, bound = (invoke("estimate", *asked, *more) for more in ([], ["--param", "max_completion_tokens=10"]))
    rows = [next(line for line in text.splitlines() if line.startswith("worst case")) for text in (free, bound)]
    worst = [float(row.partition("$")[2].split()[0].replace(",", "")) for row in rows]
    assert 0 < worst[1] < worst[0]


def test_a_proposer_of_any_kind_that_asks_a_model_takes_them(server):
    """`params` and `timeout` are settings of each of them, nested or not."""
    space = gk.load_space("nas-bench-201")
    for name in ("llm", "llm+gp", "llm-mutation"):
        made = gk.make_proposer(name, space, model=MODEL, base_url=server.url, params=GIVEN, timeout=12.5)
        assert (made.settings["params"], made.client.timeout) == (GIVEN, 12.5)


def test_each_notebook_that_asks_a_model_has_a_parameter_for_them():
    """An empty mapping by default, declared as one."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        declared = papermill.inspect_notebook(str(path))
        assert ("model" in declared) == ("params" in declared), path.name
        assert declared.get("params", {"default": "{}"})["default"] == "{}"


def test_a_notebook_gets_them_as_json(tmp_path, monkeypatch):
    """From the command line as from Python; text that is no mapping and a secret within are refused."""
    notebook = write(tmp_path, "a", "print(sorted(params))", parameters="params: dict = {}  # of each request")
    given = reports.read_settings(tmp_path, None, ['params={"top_p": 0.9}'])
    assert given == {"params": {"top_p": 0.9}}
    number = write(
        tmp_path / "number", "b", "1", parameters="temperature: float = None\nprompt: str = 'standard'"
    ).parent
    monkeypatch.chdir(number)
    (number / "mine.md").touch()
    for text, value in (("prompt=mine.md", str(number / "mine.md")), ("prompt=minimal", "minimal")):
        assert reports.read_settings(number, None, [text]) == {"prompt": value}
    for text, value in (("temperature=0.7", 0.7), ("temperature=None", None)):
        assert reports.read_settings(number, None, [text]) == {"temperature": value}
    for text in ("params=top_p", "params="):
        with pytest.raises(InvalidParameter, match="must be dict"):
            reports.read_settings(tmp_path, None, [text])
    for wrong, words in (([1], "must be dict"), ({"a": [{"api_key": "x"}]}, "looks like a secret")):
        with pytest.raises(InvalidParameter, match=words):
            reports.run_notebook(notebook, tmp_path / "out", {"params": wrong})


def test_a_notebook_runs_with_them(server, tmp_path, monkeypatch):
    """They arrive in the requests of the kernel."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    code = (
        "import genius_kit as gk\n"
        f"gk.search_many(gk.load_benchmark('{TABLE}'), 'llm', [0], 1, model=model, params=params, progress=False)"
    )
    declared = f'model: str = "{MODEL}"  # who answers\nparams: dict = {{}}  # of each request'
    reports.run_notebook(write(tmp_path, "a", code, parameters=declared), tmp_path / "out", {"params": GIVEN})
    assert sent_by(server) == [GIVEN]


# The lab


def test_the_lab_has_a_field_for_them(server, tmp_path):
    """In the words of the command line; the search sends them, and the line of Python has them."""
    lab = PromptLab(TABLE, model=MODEL, base_url=server.url, budget=1, folder=tmp_path)
    fields = lab.editor.optional
    fields["params"].value = """reasoning_effort=high top_p=0.9 'thinking={"type": "enabled", "budget_tokens": 2000}'"""
    fields["timeout"].value = "30"
    assert lab.error.value == ""
    lab.searching.run()
    run = lab.session.live.wait(60)
    assert sent_by(server) == [GIVEN]
    assert run.events[0]["timeout"] == 30
    assert f"params={GIVEN!r}, timeout=30.0" in lab.view.board.line
    fields["params"].value = ""
    assert "params" not in lab.session.settings()
    lab.open(run.path)
    lab.session.edit_step(0)
    lab.editor.show()
    assert lab.session.settings()["params"] == read_line(fields["params"].value) == GIVEN


def test_a_wrong_setting_in_the_lab_is_a_sentence(no_data, tmp_path):
    """What cannot be sent is said at once, and not chosen."""
    lab = PromptLab(TABLE, params={"top_p": 0.5}, timeout=20, folder=tmp_path)
    fields = lab.editor.optional
    assert (fields["params"].value, fields["timeout"].value) == ("top_p=0.5", "20")
    for name, text, words in (
        ("params", "top_p", "must be FIELD=VALUE"),
        ("params", "'top_p=1", "close the quotation mark"),
        ("params", "temperature=1", "use --temperature"),
        ("timeout", "-1", "must be seconds"),
        ("timeout", "long", "is no number of seconds"),
    ):
        fields[name].value = text
        assert words in lab.error.value
    assert (lab.session.choices.params, lab.session.choices.timeout) == ({"top_p": 0.5}, 20)


@pytest.mark.parametrize("params", [GIVEN, {"a": "1", "b": 1, "c": None, "d": "two words", "e": "'", "f": ["x", {}]}])
def test_a_line_of_settings_reads_back(params):
    """Text that looks like a number stays text."""
    assert read_line(line_of(params)) == params


# What is refused


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"temperature": 1}, "use --temperature"),
        ({"max_tokens": 5}, "use --max-tokens"),
        ({"max_output_tokens": 5}, "use --max-tokens"),
        ({"model": "x"}, "--model"),
        ({"messages": []}, "made from the prompt"),
        ({"stream": True}, "read whole"),
        ({"n": 2}, "one reply"),
        ({"seed": 1}, "request_seed"),
        ({"response_format": {}}, "--structured"),
        ({"tools": []}, "no tools"),
        ({"api_key": "x"}, "looks like a secret"),
        ({"metadata": [{"Authorization": "x"}]}, "looks like a secret"),
        ({"note": "canary-of-a-secret"}, "the value of MY_API_KEY"),
        ({"max_completion_tokens": -1}, "whole number of tokens from 1"),
        ({"max_completion_tokens": True}, "whole number of tokens from 1"),
        ({"reasoning.effort": "high"}, "mapping within a mapping"),
        ({"": 1}, "no name of a field"),
        ({1: 1}, "no name of a field"),
        ({"top_p": float("nan")}, "as JSON"),
        ({"stop": {"a", "b"}}, "as JSON"),
        ({"stop": "\ud800"}, "as JSON"),
        ({"logit_bias": {str(number): 1 for number in range(10_000)}}, "at most 10,000"),
        ({"a": [[[[[[[[1]]]]]]]]}, "8 deep"),
        ("top_p=0.9", "must be a mapping"),
    ],
)
def test_what_cannot_be_a_field_of_a_request_is_refused(params, words, monkeypatch):
    """With the reason, whoever answers: the stand-in sends nothing, and a run with it is refused all the same."""
    monkeypatch.setenv("MY_API_KEY", "canary-of-a-secret")
    for model in ("offline", "a-model"):
        with pytest.raises(InvalidParameter, match=words) as refused:
            gk.make_proposer("llm", ToyBenchmark().space, model=model, params=params)
        assert "canary" not in str(refused.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "60", 1e6])
def test_a_timeout_is_a_number_of_seconds(timeout):
    """Above 0 and at most a day."""
    with pytest.raises(InvalidParameter, match="must be seconds"):
        gk.make_proposer("llm", ToyBenchmark().space, model="offline", timeout=timeout)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "100"])
def test_an_output_limit_is_a_number_of_tokens(limit):
    """What is none would be reserved as one."""
    with pytest.raises(InvalidParameter, match="must be a whole number of tokens from 1"):
        gk.make_proposer("llm", ToyBenchmark().space, max_tokens=limit)


@pytest.mark.parametrize("text", ["top_p", "=1", "n=2"])
def test_an_option_of_another_form_is_refused(text, no_data, tmp_path):
    """Before anything is sent or written."""
    done = CliRunner().invoke(app, ["run", TABLE, "--output", str(tmp_path / "runs"), "--param", text])
    assert isinstance(done.exception, InvalidParameter)
    assert not (tmp_path / "runs").exists()


def test_names_of_token_ids_are_no_secrets():
    """Fields of vLLM that hold numbers of tokens."""
    params = {"stop_token_ids": [1, 2], "allowed_token_ids": [3], "thinking_token_budget": 100, "prompt_cache_key": "a"}
    assert gk.make_proposer("llm", ToyBenchmark().space, params=params).settings["params"] == params


# What they decide


def test_a_run_resumes_with_its_own_settings_only(tmp_path):
    """Other params are another run, as another temperature is; another timeout is not."""
    path = tmp_path / "a.jsonl"

    def search(budget_of_answers, **settings):
        client = QueueClient(*["Architecture: 2,2,2,2,2,2,2,2", "Architecture: 1,1,1,1,1,1,1,1"][-budget_of_answers:])
        made = gk.make_proposer("llm", ToyBenchmark().space, client=client, **settings)
        return gk.search(ToyBenchmark(), made, 2, journal=path, progress=False)

    search(2, params={"top_p": 0.9})
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:5]))
    for other in ({"params": {"top_p": 0.8}}, {"params": {"top_p": 0.9, "top_k": 5}}, {}):
        with pytest.raises(JournalError, match="params"):
            search(1, **other)
    assert search(1, params={"top_p": 0.9}, timeout=5).finished


def test_a_field_that_the_server_refuses_is_left_out_from_then_on(server):
    """The others are sent, the refusal is on record, and so is what was wanted."""
    server.script = lambda body, number: (
        Answer(error("Unrecognized request argument supplied: top_p", param="top_p"), status=400)
        if "top_p" in body
        else f"Architecture: {[number % 5, 3, 3, 3, 3, 3]}"
    )
    table = gk.load_benchmark(TABLE)
    made = gk.make_proposer("llm", table.space, model=MODEL, base_url=server.url, params=GIVEN)
    run = gk.search(table, made, 2, progress=False)
    left = {name: value for name, value in GIVEN.items() if name != "top_p"}
    assert sent_by(server) == [GIVEN, left, left]
    assert [event["parameter"] for event in run.of("call_failed")] == ["top_p"]
    assert run.settings["settings"]["params"] == GIVEN


def test_an_output_limit_among_them_bounds_what_is_reserved(server, tmp_path, monkeypatch):
    """Text among them counts too, for it may come into the prompt."""
    prices = tmp_path / "own.toml"
    prices.write_text(f'as_of = "2026-01-01"\n[models."{MODEL}"]\ninput = 1\noutput = 10\n')
    monkeypatch.setenv("GENIUS_KIT_PRICES", str(prices))
    table = gk.load_benchmark(TABLE)
    reserved = []
    for params in (
        {"max_completion_tokens": 40},
        {"max_completion_tokens": 50},
        {"max_completion_tokens": 50, "x": "a" * 99},
    ):
        made = gk.make_proposer("llm", table.space, model=MODEL, base_url=server.url, params=params)
        run = gk.search(table, made, 1, progress=False, limits=gk.Limits(dollars=1))
        reserved.append(run.of("intent")[0]["reserved"]["tokens"])
    assert reserved[1] - reserved[0] == 10
    assert reserved[2] - reserved[1] > 99


def test_searches_with_other_settings_are_another_method_in_figures():
    """The name tells them, as it tells the temperature."""
    settings = [
        {"temperature": 0.0},
        {"temperature": 0.0, "params": {"reasoning_effort": "high"}},
        {"params": {"a": 1}},
    ]
    runs = [
        Run(None, [{"event": "run_started", "run": {"proposer": "llm", "settings": {"model": "m", **one}}}])
        for one in settings
    ]
    assert list(by_method(runs)) == ["m, temperature 0", "m, temperature 0, reasoning_effort high", "m, a 1"]
