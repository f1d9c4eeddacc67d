"""Secrets: which there are, every form they take, and that none reaches a journal, notebook, page, log or stderr."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from chat_server import Answer, ChatServer, completion, error
from notebook_files import write
from typer.testing import CliRunner

import genius_kit as gk
from genius_kit import redaction
from genius_kit.errors import InvalidParameter, ModelError, NotebookFailed
from genius_kit.llm import OpenAIClient
from genius_kit.redaction import MASK, looks_secret, mask, masked, secret_values, secrets_of_address, variables_in
from genius_kit.reports import run as reports

CANARY = "cAnArY/q7+Zk9~x2vB4w8"
MESSAGES = [{"role": "user", "content": "Propose one."}]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """No secret of another test, and none of this machine's for the model."""
    monkeypatch.setattr(redaction, "_learned", set())
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)


def in_base64(secret, before):
    """Return a secret as it stands in base64, `before` bytes from the start of a longer text."""
    return base64.b64encode(b"u" * before + secret.encode() + b":tail").decode()


ENCODINGS = {
    "plain": lambda secret: f"Bearer {secret}.",
    "in a URL": lambda secret: f"https://host/v1?k={quote(secret, safe='')}&x=1",
    "in base64": lambda secret: " ".join(in_base64(secret, before) for before in range(3)),
    "JSON-escaped": lambda secret: json.dumps({"said": json.dumps({"key": secret})}),
    "in an exception": lambda secret: repr(ValueError(f"{secret} was refused")),
    "in the user part of a URL": lambda secret: f"http://{quote(secret)}:pw@host/v1",
}


def hits(text, secrets):
    """Return which secrets stand in a text, in any form that this test can decode: written apart from the package."""
    found = []
    for secret in secrets:
        forms = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], html.escape(secret)}
        for before in range(3):
            # the signs of base64 that hold bits of this secret only
            code = in_base64(secret, before)
            first, last = -(-8 * before // 6), (8 * (before + len(secret.encode()))) // 6
            forms |= {code[first:last], code[first:last].replace("+", "-").replace("/", "_")}
        found += [secret for form in forms if form in text]
    return found


@pytest.mark.parametrize("secret", [CANARY, 'p"w\\ö ä/+&', "sk-proj-0123456789", "päßwörter-ü"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_masked_in_every_form(secret, encoding):
    """What stands around it stays; masking twice changes nothing more."""
    text = f"before {ENCODINGS[encoding](secret)} after"
    shown = mask(text, {secret})
    assert hits(text, {secret}) or encoding != "plain"
    assert not hits(shown, {secret})
    assert MASK in shown
    assert (shown[:7], shown[-6:]) == ("before ", " after")
    assert mask(shown, {secret}) == shown
    redaction.learn({secret})
    assert masked({"said": [text]}) == {"said": [shown]}


def test_a_change_of_the_environment_is_heard(monkeypatch):
    """A key that is set, changed or gone counts from then on."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first-key")
    assert mask("sk-first-key sk-other-key") == "[key] sk-other-key"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other-key")
    assert mask("sk-first-key sk-other-key") == "sk-first-key [key]"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert mask("sk-first-key sk-other-key") == "sk-first-key sk-other-key"


def test_the_longest_secret_is_masked_first():
    """A secret that another one begins with leaves no piece behind."""
    assert mask("x sk-abcdefgh-long y sk-abcdefgh", {"sk-abcdefgh", "sk-abcdefgh-long"}) == "x [key] y [key]"


def test_a_number_that_is_a_secret_leaves_json_whole():
    """Texts inside a value are masked, keys too; numbers are no texts."""
    redaction.learn({"12345678"})
    value = {"seed": 12345678, "note 12345678": ["12345678", None, True], "inner": ({"text": "a 12345678"},)}
    assert masked(value) == {"seed": 12345678, "note [key]": ["[key]", None, True], "inner": ({"text": "a [key]"},)}


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("api-key", True),
        ("hf_token", True),
        ("clientSecret", True),
        ("DB_PASSWORD", True),
        ("Authorization", True),
        ("session_cookie", True),
        ("max_tokens", False),
        ("monkey", False),
        ("keyboard", False),
        ("prompt_cache_key", False),
        ("temperature", False),
    ],
)
def test_names_that_look_like_secrets(name, secret):
    """A whole word of the name decides, in any spelling."""
    assert looks_secret(name) is secret


def test_where_the_secrets_of_the_environment_are(monkeypatch):
    """Keys, headers but for those that name the sender, and what addresses hide; short ones are placeholders."""
    address = "http://user-0123:pass%2F0123@host/v1?code=query-0123&api-version=2024-10-21"  # pragma: allowlist secret
    settings = {
        "OPENAI_API_KEY": " sk-key-0123 ",
        "HF_TOKEN": "none",
        "OPENAI_CUSTOM_HEADERS": "X-Title: An experiment\nX-Api-Key: header-0123\nAuthorization: Basic basic-0123",
        "OPENAI_BASE_URL": address,
        "https_proxy": "proxy-user:proxy-pass@proxy:3128",
        "SOME_URL": "https://example.org/plain",
    }
    before = secret_values()
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    found = secret_values() - before
    expected = {"sk-key-0123", "header-0123", "basic-0123", "user-0123", "pass%2F0123", "pass/0123", "query-0123"}
    assert found >= expected | {"proxy-user", "proxy-pass"}
    assert not {"2024-10-21", "experiment", "none"} & found
    assert variables_in("it said header-0123 and query-0123") == ["OPENAI_CUSTOM_HEADERS", "OPENAI_BASE_URL"]


def test_an_address_that_cannot_be_read_hides_nothing():
    """No error for a variable that only looks like an address."""
    assert secrets_of_address("http://[::1") == set()


def test_a_secret_in_a_nested_extra_field_is_refused():
    """The name of the field is enough, wherever it stands."""
    with pytest.raises(InvalidParameter, match="'api_key' looks like a secret"):
        OpenAIClient("m", extra={"metadata": [{"api_key": "x"}]})


# The canary: eight places, six encodings, everything that is written

PLACES = ("key", "header", "user", "password", "query", "proxy", "parameter", "extra")


def canary(place):
    """Return the canary of one place, with signs that each encoding writes in its own way."""
    return f"{CANARY}-{place}"


def environment(server):
    """Return the environment with a canary in each place that it has; the address of the server has three."""
    address = f"{quote(canary('user'), safe='')}:{quote(canary('password'), safe='')}@{server.url.partition('//')[2]}"
    return {
        "OPENAI_API_KEY": canary("key"),
        "OPENAI_CUSTOM_HEADERS": f"X-Api-Key: {canary('header')}",
        "OPENAI_BASE_URL": f"http://{address}?code={quote(canary('query'), safe='')}",
        "HTTPS_PROXY": f"http://{quote(canary('proxy'), safe='')}:x@127.0.0.1:9",
        "PARAMETER_TOKEN": canary("parameter"),
        "EXTRA_SECRET": canary("extra"),
        "PYTHONPATH": os.pathsep.join(map(str, [Path(gk.__file__).resolve().parent.parent])),
    }


def echoes(headers=()):
    """Return what a server says that repeats every secret in every encoding, and the headers of the request."""
    every = [encode(canary(place)) for place in PLACES for encode in ENCODINGS.values()]
    return " ".join([*every, *(f"{name}: {value}" for name, value in headers)])


def is_clean(text):
    """Assert that no canary stands in a text."""
    assert not hits(text, [canary(place) for place in PLACES])
    assert "cAnArY" not in text


def files_below(folder):
    """Return the text of everything that was written below a folder, names included."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert files
    return "\n".join(f"{path}\n{path.read_bytes().decode('utf-8', 'replace')}" for path in files)


@pytest.fixture
def planted(monkeypatch):
    """A server that echoes all it knows, and an environment with a canary in each place."""

    def answered(body, number):
        headers = server.requests[-1]["headers"].items()
        text = f"I saw {echoes(headers)}.\n\nArchitecture: [1, 1, 1, 1, 1, {number}]"
        return completion(text, model=f"model {canary('key')}", refusal=canary("header"))

    with ChatServer(answered) as server:
        for name, value in environment(server).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


def test_the_canaries_do_reach_the_server(planted):
    """What is planted is sent: the test would find nothing otherwise."""
    client = OpenAIClient("m", extra={"note": canary("extra")})
    client.send(MESSAGES)
    client.close()
    request = planted.requests[0]
    user = base64.b64encode(f"{canary('user')}:{canary('password')}".encode()).decode()
    assert request["headers"]["x-api-key"] == canary("header")
    assert request["headers"]["authorization"] in (f"Basic {user}", f"Bearer {canary('key')}")
    assert quote(canary("query"), safe="") in request["path"]
    assert request["body"]["note"] == canary("extra")
    assert hits(echoes(request["headers"].items()), [canary(place) for place in PLACES])


def test_no_reply_hands_a_secret_on(planted):
    """Text, refusal and the model's name are masked where the reply is read, the architecture is still read."""
    client = OpenAIClient("m", extra={"note": canary("extra")})
    reply = client.send(MESSAGES)
    client.close()
    is_clean(repr(reply) + json.dumps(client.settings()) + repr(client))
    assert reply.text.count(MASK) >= len(PLACES) * len(ENCODINGS)
    assert reply.text.endswith("Architecture: [1, 1, 1, 1, 1, 0]")


def test_no_journal_log_or_output_of_a_search_holds_a_canary(planted, no_data, tmp_path):
    """A search in a process of its own, with every logger at its most talkative, and then one that fails."""
    script = (
        "import logging, sys; logging.basicConfig(level=1, filename=sys.argv[1])\n"
        "from genius_kit.cli import main; sys.argv = ['genius-kit', *sys.argv[2:]]; main()"
    )
    for number, name in enumerate(("good", "bad")):
        if name == "bad":
            planted.script = lambda body, number: Answer(error(echoes()), 400, headers={"x-echo": canary("key")})
        command = ["run", "nas-bench-201-cifar10", "--model", "m", "--budget", "3", "--output", str(tmp_path / name)]
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / f"{name}.log"), *command],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
        )
        assert planted.count > 3 * number, done.stderr
        is_clean(done.stdout + done.stderr)
    is_clean(files_below(tmp_path))
    assert "HTTP Request" in (tmp_path / "good.log").read_text()


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_no_failure_holds_a_canary(planted, status, encoding):
    """The server's words, whatever it puts into them; the chain of causes included."""
    said = " ".join(ENCODINGS[encoding](canary(place)) for place in PLACES)
    planted.script = lambda body, number: Answer(error(said) if status != 200 else said, status)
    client = OpenAIClient("m")
    with pytest.raises(ModelError) as caught:
        client.send(MESSAGES)
    client.close()
    is_clean(str(caught.value) + repr(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("place", PLACES)
def test_no_notebook_keeps_a_canary(planted, tmp_path, place, encoding):
    """A parameter that holds one is refused before anything runs, in each encoding."""
    notebook = write(tmp_path / "notebooks", "a", "print(name)")
    with pytest.raises(InvalidParameter, match="holds the value of") as caught:
        reports.run_notebook(notebook, tmp_path / "out", {"name": ENCODINGS[encoding](canary(place))})
    is_clean(str(caught.value))
    assert not (tmp_path / "out").exists()


def test_no_report_shows_a_canary(planted, tmp_path):
    """A notebook that shows replies is kept without them; one that prints the environment leaves nothing on disk."""
    ask = "from genius_kit.llm import OpenAIClient\nreply = OpenAIClient('m').send([{'role': 'user', 'content': 'x'}])"
    shows = write(tmp_path / "notebooks", "shows", f"{ask}\nprint(reply)\nreply")
    result = reports.run_notebook(shows, tmp_path / "out")
    assert MASK in result.page.read_text(encoding="utf-8")
    for number, code in enumerate(("import os; print(dict(os.environ))", "import os; raise ValueError(os.environ)")):
        tells = write(tmp_path / "notebooks", f"tells{number}", code)
        with pytest.raises(NotebookFailed) as caught:
            reports.run_notebook(tells, tmp_path / "out")
        is_clean(str(caught.value))
    is_clean(files_below(tmp_path / "out"))


def test_the_doctor_and_the_settings_show_none(planted):
    """What describes this machine names no secret of it."""
    from genius_kit.cli import app

    is_clean(CliRunner().invoke(app, ["doctor"]).output)


def test_a_logger_is_guarded_once(monkeypatch, caplog):
    """Its records are masked before a handler sees them, arguments included."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    logger = logging.getLogger("talkative.one")
    redaction.guard_logs("talkative")
    redaction.guard_logs("talkative")
    assert len(logger.filters) == 1
    with caplog.at_level(logging.DEBUG, "talkative.one"):
        logger.debug("sent %s to %d", CANARY, 3)
    assert caplog.messages == ["sent [key] to 3"]
    logger.filters.clear()
