"""What the lab offers to choose from: servers, their models, parameters of a request, saved variants."""

import pytest

from genius_kit.lab.panels.editor import OFFERED, value_of
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.testing import ChatServer
from tests.test_lab_widgets import wait_for


@pytest.fixture
def lab(no_data, tmp_path, monkeypatch):
    """A lab that keeps its variants in a folder of the test."""
    monkeypatch.setenv("GENIUS_KIT_DATA", str(tmp_path))
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return PromptLab("nas-bench-201-cifar10", folder=tmp_path / "lab")


def test_the_models_of_a_server_are_offered_when_asked_for(lab):
    """Nothing is asked before the press; its own come first."""
    with ChatServer(models=("mine-7b", "mine-70b")) as server:
        lab.editor.optional["base_url"].value = server.url
        assert lab.session.choices.base_url == server.url
        assert server.requests == []
        lab.editor.list_button.click()
        wait_for(lambda: lab.editor.model.options[:2] == ("mine-7b", "mine-70b"))
        assert lab.view.board.status["text"].endswith("lists 2 models, offered under Model")
        assert lab.session.settings()["base_url"] == server.url
    assert "offline" in lab.editor.model.options


def test_a_server_that_is_down_is_a_sentence(lab):
    """The models that are known stay offered."""
    before = lab.editor.model.options
    lab.editor.optional["base_url"].value = "http://127.0.0.1:9/v1"
    lab.editor.list_button.click()
    wait_for(lambda: "does not answer, or lists no models" in lab.error.value)
    assert lab.editor.model.options == before


def test_an_address_that_is_none_is_refused(lab):
    """The choice before stays."""
    lab.editor.optional["base_url"].value = "localhost"
    assert "is not the address of a server" in lab.error.value
    assert lab.session.choices.base_url is None


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in OFFERED.items() for text in texts])
def test_what_is_offered_is_taken(name, text):
    """Each is a value as the setting reads it."""
    assert value_of(name, text)


def test_saved_variants_are_offered(lab):
    """As soon as they are saved, versions too."""
    assert lab.editor.variant.options[:3] == ("minimal", "standard", "reasoned")
    for words in ("one", "two"):
        lab.session.edit(lab.session.draft.source + f"\n{words}")
        lab.editor.name.value = "mine"
        lab.editor.save()
    assert lab.editor.variant.options[3:] == ("mine", "mine.v1")
    assert "earlier texts: mine.v1" in lab.view.board.status["text"]
    lab.editor.variant.value = "mine.v1"
    assert lab.session.draft.source.endswith("one")
