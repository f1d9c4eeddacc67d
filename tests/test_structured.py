"""Replies in a form that the server enforces, what comes beside their text, and runs in which no reply is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit.chat import usage_of_response
from genius_kit.cli.commands import app
from genius_kit.errors import InvalidParameter, JournalError, ModelError
from genius_kit.journal import Run, read_run
from genius_kit.journal.redact import redact
from genius_kit.journal.verify import verify_run
from genius_kit.lab.replies import beside_html, step_html
from genius_kit.llm import OpenAIClient, ReplayClient, Reply, Usage, schema_for
from genius_kit.llm.client import LONGEST_BESIDE
from genius_kit.llm.settings import TOOL, as_schema, reply_form
from genius_kit.prompts.views import view_of
from genius_kit.reasoning import answer_of, rationale_of, read_form
from genius_kit.records import Proposal
from genius_kit.replies import parse_reply
from genius_kit.runs.batch import resume
from genius_kit.runs.steps import open_run
from genius_kit.spaces import SPACES, load_space
from genius_kit.studies.file import load_study
from genius_kit.testing import Answer, ChatServer, completion, error
from genius_kit.verdicts.rationales import rationales_of_run
from tests.doubles import QueueClient, ToyBenchmark

KEY = "sk-test-0123456789abcdef"
MACRO = load_space("nas-bench-macro")
DESIGNS = [[2] * 8, [2] * 7 + [1], [2] * 6 + [1, 1], [1] * 8]
NO_SCHEMA = Answer(error("This response_format type is unavailable now"), 400)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a key that may not be found anywhere, and name no server."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def formed(design: Any, reasoning: str | None = "Wider layers help.") -> str:
    """Return a reply in the form, in the order of its fields."""
    return json.dumps({**({} if reasoning is None else {"reasoning": reasoning}), "architecture": design})


def called(design: Any, name: str = TOOL, times: int = 1, text: str | None = None) -> dict[str, Any]:
    """Return a completion that calls a tool."""
    one = {"id": "1", "type": "function", "function": {"name": name, "arguments": formed(design)}}
    return completion(text, finish_reason="tool_calls", tool_calls=[one] * times)


def searched(server: ChatServer, path: Path | None = None, budget: int = 2, **settings: Any) -> Run:
    """Run a search against a server that is asked for structured replies, unless the settings say otherwise."""
    made = gk.make_proposer("llm", MACRO, model="any", base_url=server.url, **settings)
    try:
        return gk.search(ToyBenchmark(), made, budget, journal=path, progress=False)
    finally:
        made.client.close()  # type: ignore[attr-defined]


def keys(run: Run) -> list[list[int]]:
    """Return the architectures of the model's that were evaluated."""
    return [event["architecture"] for event in run.of("proposal") if event["origin"] == "model"]


# The form


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=30)
@given(data=st.data())
def test_every_architecture_fits_the_form_and_is_read_from_it(name: str, data: st.DataObject) -> None:
    """It validates against the schema of its space, and its JSON is read as that architecture."""
    space = load_space(name)
    options = [st.integers(0, len(choices) - 1) for choices in space.choices]
    architecture = data.draw(st.tuples(*options))
    words = data.draw(st.text(max_size=40))
    values = list(architecture)
    if space.family == "channels":
        values = [space.choices[position][option] for position, option in enumerate(architecture)]
    nested: Any = [[values[place] for place in stage] for stage in space.stages]
    told = {"reasoning": words, "architecture": nested if space.family == "stages" else values}
    schema = reply_form(space)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(told, schema)
    assert view_of(None, space).parse(json.dumps(told)) == Proposal(architecture)
    assert rationale_of(json.dumps(told)) == words
    del told["reasoning"]
    jsonschema.validate(told, reply_form(space, with_reasoning=False))


@pytest.mark.parametrize("name", SPACES)
def test_the_form_is_strict(name: str) -> None:
    """Every field is required and no other is allowed, which OpenAI's strict form wants; reasoning comes first."""
    schema = reply_form(load_space(name))
    assert list(schema["properties"]) == schema["required"] == ["reasoning", "architecture"]
    assert schema["additionalProperties"] is False
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"reasoning": "", "architecture": [9] * 8}, schema)


@pytest.mark.parametrize(
    "words",
    ["The best so far is Architecture: [1, 1, 1, 1, 1, 1, 1, 1].", "I was at\n[0, 0, 0, 0, 0, 0, 0, 0]\n\nbut no."],
)
def test_what_is_thought_is_not_the_answer(words: str) -> None:
    """An architecture in the reasoning of a reply in the form does not make it ambiguous."""
    assert view_of(None, MACRO).parse(formed([2] * 8, words)) == Proposal((2,) * 8)


@pytest.mark.parametrize(
    ("design", "reason"),
    [([2] * 7, "wrong length"), ([2] * 7 + [3], "off-menu"), ([], None), (None, None), ({"a": [2] * 3}, None)],
)
def test_a_reply_in_the_form_is_not_rounded(design: Any, reason: str | None) -> None:
    """What is no architecture of the space is refused with the reason."""
    outcome: Any = view_of(None, MACRO).parse(formed(design))
    assert not isinstance(outcome, Proposal)
    assert reason in (None, outcome.reason)


@pytest.mark.parametrize(
    "text",
    [
        "", "no", "[2]", "{}", '{"architecture": [2]} and more', '{"architecture": [1], "architecture": [2]}',
        '{"architecture": [2], "history": []}', '{"reasoning": 3, "architecture": [2]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_any_other_text_is_not_in_the_form(text: str) -> None:
    """It is left to the reader of prose as it is."""
    assert read_form(text) is None
    assert answer_of(text) == rationale_of(text) == text


# What is asked for


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"model": "any"}, {"structured": "auto"}),
        ({"model": "any", "structured": "auto"}, {"structured": "auto"}),
        ({"model": "any", "structured": "on"}, {"structured": "on"}),
        ({"model": "any", "structured": True}, {"structured": "on"}),
        ({"model": "any", "structured": "off"}, {"constrained_replies": False}),
        ({"model": "any", "structured": False}, {"constrained_replies": False}),
        ({"model": "any", "constrained_replies": False}, {"constrained_replies": False}),
        ({"model": "any", "constrained_replies": True}, {"constrained_replies": True}),
        ({"model": "any", "prompt": "published"}, {"constrained_replies": False}),
        ({}, {"constrained_replies": False}),
        ({"model": "offline", "structured": "auto"}, {"constrained_replies": False}),
        ({"model": "reciter:22222222"}, {"constrained_replies": False}),
        ({"client": QueueClient()}, {"constrained_replies": False}),
        ({"client": QueueClient(), "model": "any", "structured": "auto"}, {"structured": "auto"}),
    ],
)
def test_the_form_is_a_setting_of_runs_that_ask_a_server(settings: dict[str, Any], chosen: dict[str, Any]) -> None:
    """Other runs have the settings that they always had, so that their journals resume."""
    made = gk.make_proposer("llm", MACRO, **settings)
    names = ("structured", "constrained_replies")
    assert {name: made.settings[name] for name in names if name in made.settings} == chosen
    again = gk.make_proposer("llm", MACRO, **made.settings, client=QueueClient())
    assert again.settings == made.settings


def test_runs_of_before_ask_as_they_did() -> None:
    """Their requests and what is left after a refusal are those on record, and their replies have no form."""
    made: Any = gk.make_proposer("llm", load_space("nas-bench-201"), model="any", constrained_replies=True)
    assert made.client.settings()["parameters"] == as_schema(schema_for(load_space("nas-bench-201")))
    assert made.client.without("response_format").settings()["parameters"] == {}
    with ChatServer([formed(DESIGNS[0])]) as server:
        (call,) = searched(server, budget=1, constrained_replies=True).of("call")
    assert "form" not in call


@pytest.mark.parametrize("settings", [{}, {"model": "offline"}, {"model": "any", "prompt": "published"}])
def test_the_form_is_not_demanded_where_none_can_be(settings: dict[str, Any]) -> None:
    """The stand-ins and the published prompt have replies in prose."""
    with pytest.raises(InvalidParameter, match="in prose"):
        gk.make_proposer("llm", MACRO, structured="on", **settings)
    with pytest.raises(InvalidParameter, match="one of auto, on, off"):
        gk.make_proposer("llm", MACRO, structured="yes")


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({}, ["reasoning", "architecture"]),
        ({"prompt": "minimal"}, ["architecture"]),
        ({"change": "no-rationale"}, ["architecture"]),
    ],
)
def test_the_model_may_think_where_the_prompt_asks_for_words(settings: dict[str, Any], fields: list[str]) -> None:
    """A prompt that asks for the architecture alone has a form of the architecture alone."""
    made = gk.make_proposer("llm", MACRO, model="any", **settings)
    sent = made.client.settings()["parameters"]  # type: ignore[attr-defined]
    assert sent == as_schema(reply_form(MACRO, with_reasoning="reasoning" in fields))
    assert list(sent["response_format"]["json_schema"]["schema"]["properties"]) == fields


def test_a_study_file_may_write_on_and_off_as_yaml_does(tmp_path: Path, no_data: Path) -> None:
    """Plain `on` and `off` are what YAML reads as true and false."""
    text = "name: a\nbenchmarks: [nas-bench-201-cifar10]\narms: [llm]\nbudget: 2\nseeds: 1\nmodels: [any]\n"
    found = []
    for value in ("auto", "on", "off"):
        path = tmp_path / f"{value}.yaml"
        path.write_text(f"{text}structured: {value}\n", encoding="utf-8")
        (task,) = load_study(path).plan()
        made = gk.make_proposer("llm", load_space("nas-bench-201"), **task.settings)
        found.append(made.settings.get("structured"))
    assert found == ["auto", "on", None]


# What servers make of it


def test_a_server_that_enforces_the_form_is_asked_once_a_reply(tmp_path: Path) -> None:
    """The form is in the request, and on record with each reply; the words of the rationale are its reasoning."""
    texts = [formed(design, "I replace layer 9 by identity.") for design in DESIGNS]
    with ChatServer(texts) as server:
        run = searched(server, tmp_path / "a.jsonl", 3)
    assert keys(run) == DESIGNS[:3]
    assert [call["form"] for call in run.of("call")] == ["json_schema"] * 3
    assert server.count == 3
    assert all("response_format" in body for body in server.bodies)
    assert [one.reply for one in rationales_of_run(run)[1]] == ["I replace layer 9 by identity."] * 2


def test_a_server_that_ignores_the_form_is_read_as_prose() -> None:
    """No further request is needed, and the record says that it was ignored."""
    with ChatServer([f"Architecture: {design}" for design in DESIGNS]) as server:
        run = searched(server)
    assert keys(run) == DESIGNS[:2]
    assert [call["form"] for call in run.of("call")] == ["ignored"] * 2
    assert server.count == 2


def picky(refusal: Answer, offers_tools: bool, first: int = 0) -> Any:
    """Return the script of a server without schemas, perhaps without tools; it proposes from `first` on."""
    designs = iter(DESIGNS[first:])

    def answer(body: dict[str, Any], number: int) -> Any:
        if "response_format" in body:
            return refusal
        if "tools" in body:
            return called(next(designs)) if offers_tools else Answer(error("No endpoints support tool use"), 404)
        return f"Architecture: {next(designs)}"

    return answer


@pytest.mark.parametrize(
    "refusal",
    [
        NO_SCHEMA,
        Answer(error("Invalid schema for response_format 'architecture': 'minItems' is not permitted."), 400),
        Answer(error("failed to parse grammar"), 400),
        Answer(error("No endpoints found that support the requested parameters"), 404),
        Answer("Bad Request", 422),
    ],
    ids=["type", "schema", "grammar", "route", "nothing"],
)
@pytest.mark.parametrize("offers_tools", [True, False])
def test_a_server_that_refuses_the_schema_is_asked_for_a_tool_call(refusal: Answer, offers_tools: bool) -> None:
    """Then for prose; what it takes is found out once per run, and recorded."""
    with ChatServer(picky(refusal, offers_tools)) as server:
        run = searched(server)
    assert keys(run) == DESIGNS[:2]
    asked = [{"response_format", "tools", "tool_choice"} & set(body) for body in server.bodies]
    schema, tools = {"response_format"}, {"tools", "tool_choice"}
    assert asked == ([schema, tools, tools] if offers_tools else [schema, tools, set(), set()])
    refused = ["response_format"] if offers_tools else ["response_format", "tools"]
    assert [event["parameter"] for event in run.of("call_failed")] == refused
    assert [call.get("form") for call in run.of("call")] == (["tool"] * 2 if offers_tools else [None] * 2)
    expected = formed(DESIGNS[0]) if offers_tools else f"Architecture: {DESIGNS[0]}"
    assert run.of("call")[0]["text"] == expected


@pytest.mark.parametrize("offers_tools", [True, False])
def test_what_a_server_takes_is_found_out_once_a_run(offers_tools: bool, tmp_path: Path) -> None:
    """A run that goes on has it from its journal: what was refused is not tried again."""
    path = tmp_path / "a.jsonl"
    with ChatServer(picky(NO_SCHEMA, offers_tools)) as server:
        whole = searched(server, path)
        lines = path.read_bytes().splitlines(keepends=True)
        for kept in range(3, len(lines)):
            path.write_bytes(b"".join(lines[:kept]))
            before, done = read_run(path), server.count
            server.script = picky(NO_SCHEMA, offers_tools, len(before.of("call")))
            again = searched(server, path)
            assert keys(again) == keys(whole), kept
            calls = len(whole.of("call")) - len(before.of("call"))
            assert server.count - done == calls + len(whole.of("call_failed")) - len(before.of("call_failed"))


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ([formed(DESIGNS[0]), Answer(error("filtered by the content policy"), 400)], "bad-request"),
        ([Answer(error("The model does not exist"), 404)], "not-found"),
        ([Answer(error("invalid model: any"), 400)], "bad-request"),
        ([Answer(error("no credit left"), 401)], "authentication"),
        ([Answer(error("temperature is 5"), 400)] * 3, "bad-request"),
    ],
    ids=["later", "model", "name", "key", "temperature"],
)
def test_what_is_no_fault_of_the_form_is_not_taken_for_it(answers: list[Any], cause: str) -> None:
    """Once a reply came the form is taken; before that the request in prose meets the fault again."""
    with ChatServer(answers) as server, pytest.raises(ModelError) as caught:
        searched(server)
    assert caught.value.cause == cause
    assert server.count == len(answers)


def test_a_form_that_is_demanded_is_had_or_the_run_ends(tmp_path: Path) -> None:
    """A reply in prose is refused, a server that takes neither schema nor tool ends the run, and again on resuming."""
    with ChatServer([f"Architecture: {DESIGNS[0]}", formed(DESIGNS[1])]) as server:
        run = searched(server, budget=1, structured="on")
    assert keys(run) == DESIGNS[1:2]
    assert [event["reason"] for event in run.of("rejected")] == ["not in the form"]
    with ChatServer([NO_SCHEMA, Answer(error("tools are not supported"), 400)]) as server:
        for _ in range(2):
            with pytest.raises(ModelError, match="--structured auto"):
                searched(server, tmp_path / "a.jsonl", structured="on")
    assert server.count == 2


def test_what_is_no_proposal_is_asked_for_in_prose() -> None:
    """Design principles have no form."""
    with ChatServer(["Wider is better.", formed(DESIGNS[0])]) as server:
        run = searched(server, budget=1, principles="fed-back")
    assert ["response_format" in body for body in server.bodies] == [False, True]
    assert ["form" in call for call in run.of("call")] == [False, True]


@pytest.mark.parametrize(
    "answer",
    [called(DESIGNS[0], times=2), called(DESIGNS[0], name="search"), completion(None, tool_calls="none")],
    ids=["several", "another", "broken"],
)
def test_only_the_one_tool_call_that_was_asked_for_is_read(answer: dict[str, Any]) -> None:
    """Others are on record beside the reply, which is then refused."""
    with ChatServer([NO_SCHEMA, answer, called(DESIGNS[1], text="I call it.")]) as server:
        run = searched(server, budget=1)
    assert keys(run) == DESIGNS[1:2]
    first, second = run.of("call")
    assert [one["kind"] for one in first["beside"]] == ["tool_calls"]
    assert second["beside"] == [{"kind": "content", "content": "I call it.", "characters": 10}]
    assert run.of("rejected")[0]["detail"].startswith("The reply holds tool_calls and no answer")


# What comes beside the text

THOUGHT = "First, [1, 1, 1, 1, 1, 1, 1, 1] was good."
FORMS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "reasoning_content": (None, {"reasoning_content": THOUGHT}, "reasoning_content"),
    "reasoning": ("", {"reasoning": THOUGHT}, "reasoning"),
    "both": (" ", {"reasoning": THOUGHT, "reasoning_content": THOUGHT}, "reasoning_content"),
    "thinking part": ([{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}], {}, "thinking"),
    "reasoning part": ([{"type": "reasoning", "text": THOUGHT}], {}, "reasoning"),
}


@pytest.mark.parametrize("name", FORMS)
def test_reasoning_alone_is_no_answer(name: str) -> None:
    """It is on record and told as the reason; it is neither parsed nor sent back."""
    content, message, kind = FORMS[name]
    with ChatServer([completion(content, **message), f"Architecture: {DESIGNS[0]}"]) as server:
        run = searched(server, budget=1, structured="off")
    first, second = run.of("call")
    assert first["beside"] == [{"kind": kind, "content": THOUGHT, "characters": len(THOUGHT)}]
    assert "beside" not in second
    (rejected,) = run.of("rejected")
    assert rejected["reason"] == "no answer"
    assert rejected["detail"].startswith(f"The reply holds reasoning of {len(THOUGHT)} characters and no answer;")
    assert "was good" not in json.dumps(server.bodies[1])


def test_reasoning_that_took_the_whole_output_limit_is_said_to_be_cut() -> None:
    """The reason is the limit, and how much was thought before it."""
    answer = completion(None, finish_reason="length", reasoning="x" * 12_345)
    with ChatServer([answer, f"Architecture: {DESIGNS[0]}"]) as server:
        run = searched(server, budget=1, structured="off")
    (rejected,) = run.of("rejected")
    assert rejected["reason"] == "cut"
    assert (
        "reasoning of 12,345 characters and no answer before it was cut off at the output limit" in rejected["detail"]
    )


def test_the_text_of_a_reply_in_parts_is_its_text_parts() -> None:
    """Parts of other types stand beside it, a refusal in its own field."""
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Archi"},
        {"type": "output_text", "text": "t"},
    ]
    with ChatServer(
        [completion([*parts, {"type": "refusal", "refusal": "no"}, {"type": "image_url", "x": 1}])]
    ) as server:
        client = OpenAIClient("any", server.url)
        reply = client.send([{"role": "user", "content": "?"}])
        client.close()
    assert (reply.text, reply.refusal) == ("Archit", "no")
    assert [(one["kind"], one["content"]) for one in reply.beside or ()] == [
        ("thinking", "hm"),
        ("image_url", '{"type": "image_url", "x": 1}'),
    ]


@pytest.mark.parametrize("deep", [10, 700])
def test_what_is_beside_is_masked_bounded_and_never_breaks(deep: int) -> None:
    """No key and no half of a surrogate pair is kept, no more than a bound, and nesting does no harm."""
    nested: Any = "x"
    for _ in range(deep):
        nested = [nested]
    with ChatServer(
        [completion("a", reasoning=f"{KEY} \ud800" + "y" * LONGEST_BESIDE, reasoning_content=nested)]
    ) as server:
        client = OpenAIClient("any", server.url)
        reply = client.send([{"role": "user", "content": "?"}])
        client.close()
    told = {one["kind"]: one for one in reply.beside or ()}["reasoning"]
    assert len(told["content"]) == LONGEST_BESIDE
    assert told["characters"] == len("[key] \ufffd") + LONGEST_BESIDE
    assert told["content"].startswith("[key] \ufffdy")


@pytest.fixture
def thoughtful(tmp_path: Path) -> Path:
    """A journal of two replies with reasoning beside them, one of them in the form."""
    path = tmp_path / "a.jsonl"
    answers = [completion(formed(DESIGNS[0]), reasoning=THOUGHT), completion("?", reasoning="Hm."), formed(DESIGNS[1])]
    with ChatServer(answers) as server:
        searched(server, path)
    return path


def test_a_resumed_run_has_what_came_beside(thoughtful: Path, tmp_path: Path) -> None:
    """It is handed back and replayed as it came, the run goes on to the same end, and the chain vouches for it."""
    run = read_run(thoughtful)
    assert verify_run(thoughtful).is_sound
    client = ReplayClient.from_journal(thoughtful)
    for call in run.of("call"):
        reply = client.send(call["messages"])
        assert (reply.beside, reply.form) == (call.get("beside"), call.get("form"))
    lines = thoughtful.read_bytes().splitlines(keepends=True)
    for cut in (3, 4, 6, 7):
        path = tmp_path / f"{cut}.jsonl"
        path.write_bytes(b"".join(lines[:cut]))
        left = [call["text"] for call in read_run(thoughtful).of("call")][len(read_run(path).of("call")) :]
        server_again(path, left, run)


def server_again(path: Path, left: list[str], whole: Run) -> None:
    """Resume with a queue that has the settings of the server's client, and expect the same proposals."""
    kept = whole.settings

    class Named(QueueClient):
        kind = kept["resolved"]["client"]

        def settings(self) -> dict[str, Any]:
            return {name: kept["resolved"][name] for name in ("client", "model", "base_url", "parameters", "dropped")}

    made = gk.make_proposer("llm", MACRO, **kept["settings"], client=Named(*left))
    again = gk.search(ToyBenchmark(), made, kept["budget"], kept["seed"], path, progress=False)
    assert keys(again) == keys(whole)


def test_what_came_beside_is_withheld_with_the_replies(thoughtful: Path, tmp_path: Path) -> None:
    """The copy holds none of it, verifies, and shows that something was taken out."""
    copy = redact(thoughtful, tmp_path / "published.jsonl", ["reply"])
    content = copy.read_text(encoding="utf-8")
    assert "was good" not in content
    assert verify_run(copy).head == verify_run(thoughtful).head
    assert read_run(copy).of("call")[0]["beside"] == [{"kind": "[withheld]", "content": "[withheld]", "characters": 0}]


def test_a_misshapen_journal_is_refused(thoughtful: Path) -> None:
    """A journal of another hand cannot put anything else there."""
    line = thoughtful.read_bytes().splitlines()[2]
    event = json.loads(line) | {"beside": ["x"]}
    thoughtful.write_bytes(thoughtful.read_bytes().replace(line, json.dumps(event).encode()))
    with pytest.raises(JournalError, match="line 3"):
        read_run(thoughtful)


def test_the_lab_shows_what_came_beside(thoughtful: Path) -> None:
    """Under each reply, closed, as text and not as HTML."""
    run = open_run(thoughtful)
    assert f"reasoning, {len(THOUGHT)} characters, not read as the answer" in step_html(run[0], run.space)
    assert beside_html({"beside": [{"kind": "<b>", "content": "<i>", "characters": 3}]}).count("&lt;") == 2
    assert beside_html({}) == ""


def test_an_agent_may_tell_what_came_beside(tmp_path: Path) -> None:
    """Its reply is recorded as a server's; one of another shape is the agent's fault."""
    from genius_kit.errors import AgentFailed
    from genius_kit.llm.agents import AgentClient

    good = [{"kind": "reasoning", "content": "Hm.", "characters": 3}]
    told = [Reply("a", "m", "stop", beside=good), Reply("a", "m", "stop", beside=["x"])]  # type: ignore[arg-type, list-item]
    client = AgentClient(lambda messages: told.pop(0), "0" * 64, "k", "agent:mine")
    assert client.send([]).beside == good
    with pytest.raises(AgentFailed):
        client.send([])


# What is counted


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ((32, 9, 94, 135), Usage(32, None, 103, 94, None, 9)),
        ((20, 7, 3, 27), Usage(20, None, 7, 3)),
        ((10, 5, None, 115), Usage(10, None, 105, 100, None, 5)),
        ((10, 5, 0, 115), Usage(10, None, 105, 100, None, 5)),
        ((10, 5, 3, 99), Usage(10, None, 89, 3, None, 5)),
        ((10, 5, 30, None), Usage(10, None, 35, 30, None, 5)),
        ((10, None, 30, 40), Usage(10, None, 30, 30)),
        ((10, 5, None, 15), Usage(10, None, 5, None)),
        ((10, 5, None, 9), Usage(10, None, 5, None)),
    ],
    ids=["xAI", "OpenAI", "Gemini", "none told", "unclear", "no total", "no completion", "plain", "too few"],
)
def test_reasoning_is_counted_where_the_total_shows_it(usage: tuple[Any, ...], expected: Usage) -> None:
    """The largest count that the figures allow is believed; the server's own is kept where it is smaller."""
    prompt, completed, reasoning, total = usage
    details = {} if reasoning is None else {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    counts = {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": total, **details}
    assert usage_of_response(counts) == expected


# Runs in which no reply is taken


def test_a_run_of_fallbacks_says_so_and_exits_with_5(tmp_path: Path, no_data: Path) -> None:
    """The last line says why; the card too; with one reply taken the exit code is 0."""
    command = ["run", "nas-bench-201-cifar10", "--model", "any", "--budget", "2", "--output", str(tmp_path), "--yes"]
    command += ["--allow-unpriced", "--base-url"]
    with ChatServer(lambda body, number: "I would rather not.") as server:
        done = CliRunner().invoke(app, [*command, server.url])
    assert done.exit_code == 5, done.output
    last = done.output.strip().splitlines()[-1]
    assert "no reply of the model was taken, all 2 evaluations are random fallbacks; refused: no design (12)" in last
    (path,) = tmp_path.glob("*.jsonl")
    assert read_run(path).only_fallbacks
    assert "replies taken" in read_run(path).facts()
    with ChatServer(lambda body, number: ["?", formed([0, 1, 2, 3, 4, 0])][number > 5]) as server:
        done = CliRunner().invoke(app, [*command, server.url, "--seed", "1"])
    assert done.exit_code == 0, done.output


def test_a_study_says_in_how_many_runs_no_reply_was_taken(
    tmp_path: Path, no_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its summary, arm by arm."""
    path = tmp_path / "a.yaml"
    path.write_text(
        "name: a\nbenchmarks: [nas-bench-201-cifar10]\narms: [llm, random]\nbudget: 2\nseeds: 2\nmodels: [any]\n"
        "allow_unpriced: true\nrejections_limit: 0\n",
        encoding="utf-8",
    )
    with ChatServer(lambda body, number: "No.", models=["any"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        done = CliRunner().invoke(
            app, ["study", str(path), "--output", str(tmp_path / "out"), "--workers", "1", "--yes"]
        )
    assert done.exit_code == 0, done.output
    assert "No reply was taken in 2 of 2 runs of nas-bench-201-cifar10, llm, any, standard" in done.output


def test_a_finished_run_in_the_form_is_read_back(tmp_path: Path, no_data: Path) -> None:
    """`resume` returns it as it is."""
    with ChatServer([formed([0, 1, 2, 3, 4, 0])]) as server:
        benchmark = gk.load_benchmark("nas-bench-201-cifar10", source="embedded")
        made = gk.make_proposer("llm", benchmark.space, model="any", base_url=server.url)
        gk.search(benchmark, made, 1, journal=tmp_path / "a.jsonl", progress=False)
        made.client.close()  # type: ignore[attr-defined]
    run = resume(tmp_path / "a.jsonl")
    assert run.of("proposal")[0]["architecture"] == [0, 1, 2, 3, 4, 0]
    assert parse_reply(answer_of(run.of("call")[0]["text"]), benchmark.space) == Proposal((0, 1, 2, 3, 4, 0))
