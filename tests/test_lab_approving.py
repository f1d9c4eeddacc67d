"""Decisions on proposals in the lab, without a browser: on what grounds, in which form, told to whom."""

import pytest

from genius_kit.errors import InvalidParameter
from genius_kit.lab.panels.searching import read_architecture
from genius_kit.lab.prompt_lab import PromptLab
from genius_kit.spaces import load_space
from tests.doubles import QueueClient
from tests.test_lab_widgets import wait_for

REPLIES = [f"I weigh it.\n\nArchitecture: [3, 3, 3, 3, 3, {last}]" for last in range(4)]
CELL = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"


@pytest.fixture
def panel(no_data, tmp_path):
    """Return the panel of a search under approval, its first proposal shown, and the lab that it is in."""
    lab = PromptLab("nas-bench-201-cifar10", budget=3, folder=tmp_path, client=QueueClient(*REPLIES))
    lab.searching.approve.value = True
    lab.searching.run()
    found = lab.searching.deciding
    found.lab = lab
    waits(found, 1)
    yield found
    lab.session.live.stop(now=True)
    lab.session.live.wait(20)


def waits(panel, iteration):
    """Wait until the proposal of an iteration is shown."""
    wait_for(lambda: f"Proposed for iteration {iteration}:" in panel.proposal.value)


@pytest.mark.parametrize(
    "text",
    ["310423", CELL, "[3, 1, 0, 4, 2, 3]", "3, 1, 0, 4, 2, 3", '{"architecture": [3, 1, 0, 4, 2, 3]}',
     "Architecture: [3, 1, 0, 4, 2, 3]", "I propose [3, 1, 0, 4, 2, 3] next.",
     '["nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "nor_conv_3x3"]'],
)  # fmt: skip
def test_every_form_that_a_model_may_use_is_read(text):
    """The space's own text, its key, a list, JSON, names of operations, a whole reply."""
    assert read_architecture(text, load_space("nas-bench-201")) == (3, 1, 0, 4, 2, 3)


@pytest.mark.parametrize(
    "text", ["", "3, 1, 0", "[9, 9, 9, 9, 9, 9]", "[3, 1, 0, 4, 2, 3] or [3, 1, 0, 4, 2, 2]", "None."]
)
def test_what_names_no_architecture_is_refused(text):
    """Nothing is completed or guessed; the sentence says what is wrong."""
    with pytest.raises(InvalidParameter, match="names no architecture: "):
        read_architecture(text, load_space("nas-bench-201"))


def test_the_reply_the_prompt_and_the_results_stand_there(panel):
    """All that the proposal rests on, the architecture marked in its reply; results come with the iterations."""
    assert "I weigh it." in panel.proposal.value
    assert '<mark class="genius-design">[3, 3, 3, 3, 3, 0]</mark>' in panel.proposal.value
    assert "one design" in panel.proposal.value
    assert "Results so far: 0" in panel.proposal.value
    panel.decide("approve")
    waits(panel, 2)
    assert "Results so far: 1" in panel.proposal.value
    assert '<mark class="genius-design">[3, 3, 3, 3, 3, 1]</mark>' in panel.proposal.value
    first = panel.lab.session.live.state.run.of("evaluation")[0]
    assert f"{first['feedback']:.2f} %" in panel.proposal.value


def test_a_reason_is_told_to_the_model(panel):
    """The label says so, and the next request holds it."""
    assert "told to the model" in panel.reason.description
    panel.reason.value = "one pooling edge is missing"
    panel.decide("reject")
    wait_for(lambda: len(panel.lab.session.client.sent) == 2)
    assert "one pooling edge is missing" in panel.lab.session.client.sent[-1][-1]["content"]
    wait_for(lambda: "[3, 3, 3, 3, 3, 1]" in panel.proposal.value)
    assert panel.reason.value == ""


def test_another_one_is_evaluated_in_its_place(panel):
    """Given as JSON; the line of Python names its key."""
    panel.edited.value = '{"architecture": [3, 1, 0, 4, 2, 3]}'
    panel.decide("edit")
    waits(panel, 2)
    assert panel.lab.session.live.state.run.of("evaluation")[0]["architecture"] == [3, 1, 0, 4, 2, 3]
    assert "decide('edit', architecture='310423')" in panel.lab.view.board.line


def test_the_panel_stays_from_one_decision_to_the_next(panel, monkeypatch):
    """Its buttons keep the focus; a press between two proposals decides on nothing."""
    monkeypatch.setattr(type(panel.lab.session.live), "asked_about", None)
    panel.show(panel.lab.session.searched)
    with pytest.raises(InvalidParameter, match="no proposal waits"):
        panel.decide("approve")
    monkeypatch.undo()
    panel.show(panel.lab.session.searched)
    panel.decide("approve")
    panel.show(panel.lab.session.searched)
    assert panel.root.layout.display == ""
    waits(panel, 2)
    panel.decide("end")
    panel.lab.session.live.wait(20)
    panel.show(panel.lab.session.searched)
    assert panel.root.layout.display == "none"


def test_a_decision_is_about_the_proposal_that_is_shown(panel):
    """Where another one waits by then, nothing is decided."""
    seen = panel._request
    panel.lab.session.live.decide("approve")
    wait_for(lambda: panel.lab.session.live.asked_about not in (None, seen))
    panel._request = seen
    with pytest.raises(InvalidParameter, match="no proposal waits"):
        panel.decide("approve")
