"""The parts of the lab in a real browser: failed questions, decisions by keyboard, runs on disk, drafts, themes."""

import re

import pytest
from test_lab_browser import choose, expect, lab, nothing_left_behind  # noqa: F401 - the fixtures

from genius_kit.testing import Answer, error

pytestmark = pytest.mark.slow

DARK = "JupyterLab Dark"


@pytest.fixture
def own_answers(lab):  # noqa: F811
    """Return a function that gives the model's server another script; the old one is back after the test."""
    before = lab.model.script

    def give(script):
        lab.model.script = script

    lab.model.delay = 0.0
    for name, value in (("Model", "scripted-1"), ("Server", "")):
        choose(lab, name, value)
    yield give
    lab.model.script = before


def test_an_error_stands_where_the_reply_stood_and_is_seen(lab, own_answers):  # noqa: F811
    """On a low page, with the button in sight: the old reply is gone, the error is in view."""
    lab.page.set_viewport_size({"width": 1400, "height": 900})
    lab.tab("Prompt")
    lab.button("Ask once").click()
    reply = lab.page.locator(".genius-reply[aria-label=Reply]")
    expect(reply).to_contain_text("scripted-1 on NAS-Bench-201")
    own_answers(lambda body, number: Answer(error("Incorrect API key"), status=401))
    lab.button("Ask once").click()
    told = lab.page.locator(".genius-part-prompt [role=alert].genius-alert")
    expect(told).to_contain_text("Incorrect API key")
    expect(told).to_be_in_viewport()
    expect(reply).to_have_count(0)
    lab.page.set_viewport_size({"width": 1400, "height": 1500})


def test_a_server_that_is_down_is_said_while_it_is_tried(lab, own_answers):  # noqa: F811
    """Why, and how long until the next attempt; giving up ends it."""
    choose(lab, "Server", "http://127.0.0.1:9/v1")
    lab.tab("Prompt")
    lab.button("Ask once").click()
    expect(lab.page.locator(".genius-state")).to_contain_text(
        re.compile("the connection to http://127.0.0.1:9/v1 failed")
    )
    expect(lab.page.locator(".genius-age")).to_have_text(re.compile(r"^retrying in \d s$"))
    lab.button("Give up waiting").click()
    expect(lab.status).to_contain_text("not waited for any longer")
    expect(lab.page.locator(".genius-age")).to_have_text("")
    choose(lab, "Server", "")


def test_decisions_are_made_by_keyboard_one_after_the_other(lab):  # noqa: F811
    """The focus stays on Approve; what is decided on stands there."""
    choose(lab, "Model", "offline")
    lab.tab("Search")
    lab.field("Approve each proposal").check()
    lab.button("Run a search").click()
    proposal = lab.page.locator("section[aria-label=Proposal]")
    expect(proposal).to_contain_text("Proposed for iteration 1:")
    expect(proposal).to_contain_text("I am the offline stand-in")
    lab.button("Approve").focus()
    for iteration in (2, 3, 4):
        lab.page.keyboard.press("Enter")
        expect(proposal).to_contain_text(f"Proposed for iteration {iteration}:")
        assert lab.page.evaluate("document.activeElement.textContent") == "Approve"
    expect(proposal.locator("tbody tr")).to_have_count(3)
    lab.button("Stop now").click()
    expect(lab.status).to_contain_text("Stopped")
    lab.field("Approve each proposal").uncheck()


def test_runs_are_found_sorted_filtered_and_opened(lab):  # noqa: F811
    """Those of the notebook's own folder; one opens for stepping, two in one curve."""
    lab.tab("Replay")
    lab.button("Find runs").click()
    table = lab.page.locator(".genius-runs tbody")
    expect(table.locator("tr").nth(3)).to_be_visible()
    evaluated = table.locator("tr", has_text="finished")
    lab.page.locator(".genius-runs th[data-column=rank] button").click()
    expect(lab.page.locator(".genius-runs th[data-column=rank]")).to_have_attribute("aria-sort", "ascending")
    ranks = lab.page.locator(".genius-runs tbody tr td:nth-child(7)").all_inner_texts()
    numbers = [float(text.replace(",", "")) for text in ranks if text]
    assert numbers == sorted(numbers)
    assert all(not text for text in ranks[len(numbers) :])
    lab.field("Filter the runs").fill("reasoned offline finished")
    expect(lab.page.locator(".genius-runs-bar [role=status]")).to_have_text(re.compile(r"^\d+ of \d+ runs$"))
    assert all("reasoned" in text for text in table.locator("tr").all_inner_texts())
    lab.field("Filter the runs").fill("finished")
    for place in range(2):
        evaluated.nth(place).locator("input").check()
    lab.page.get_by_role("button", name="Open 2 together").click()
    expect(lab.page.locator(".genius-curve")).to_have_attribute("aria-label", re.compile("^Best so far of 2 runs: 1: "))
    expect(lab.page.locator(".genius-curve g .genius-best[stroke-dasharray]")).to_have_count(2)
    lab.page.locator(".genius-curve").hover()
    expect(lab.page.locator(".genius-tip div")).to_have_count(3)
    expect(lab.page.locator(".genius-tip")).to_contain_text("2: ")
    evaluated.first.locator("button").click()
    expect(lab.status).to_contain_text("Recorded run")
    expect(lab.page.locator(".genius-curve")).to_have_attribute("aria-label", re.compile("^10 evaluations"))


@pytest.mark.parametrize("theme", ["JupyterLab Light", pytest.param(DARK, marks=pytest.mark.full)])
def test_axe_finds_nothing_serious_in_any_part(lab, own_answers, theme):  # noqa: F811
    """Each part with all that it can show: a reply, an error, a proposal that waits, the runs, a comparison."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    lab.page.evaluate("async (theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    is_light = str(theme != DARK).lower()
    expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-light", is_light)
    choose(lab, "Temperature", "warm")
    expect(lab.alert.filter(has_text="is no number")).to_be_visible()
    check(axe, lab, "error")
    choose(lab, "Temperature", "")
    lab.tab("Prompt")
    field = lab.field("Prompt template")
    text = field.input_value()
    field.fill(f"{text}\n{{{{ surprise }}}}")
    expect(lab.page.locator(".genius-prompt mark")).to_be_visible()
    check(axe, lab, "wrong template")
    field.fill(f"{text}\nMind the width.")
    lab.page.locator(".genius-template details").evaluate("details => { details.open = true; }")
    expect(lab.page.locator(".genius-added").first).to_be_visible()
    lab.button("Ask once").click()
    expect(lab.page.locator(".genius-reply[aria-label=Reply]")).to_be_visible()
    check(axe, lab, "reply")
    own_answers(lambda body, number: Answer(error("Incorrect API key"), status=401))
    lab.button("Ask once").click()
    expect(lab.page.locator(".genius-part-prompt [role=alert].genius-alert")).to_be_visible()
    check(axe, lab, "failed question")
    lab.button("Back to the variant").click()
    choose(lab, "Model", "offline")
    lab.tab("Search")
    lab.field("Approve each proposal").check()
    lab.button("Run a search").click()
    expect(lab.page.locator("section[aria-label=Proposal]")).to_be_visible()
    check(axe, lab, "proposal")
    lab.button("Stop now").click()
    lab.field("Approve each proposal").uncheck()
    lab.tab("Replay")
    lab.button("Find runs").click()
    expect(lab.page.locator(".genius-runs tbody tr").first).to_be_visible()
    check(axe, lab, "runs")
    lab.tab("Compare")
    lab.button("Pin as baseline").click()
    check(axe, lab, "comparison")


def check(axe, lab, what):  # noqa: F811
    """Fail where axe finds something serious or critical in what the lab shows."""
    found = axe.run(lab.page, context={"include": [[".jp-OutputArea-output .widget-vbox"], [".genius-lab"]]})
    serious = [one for one in found.response["violations"] if one["impact"] in ("serious", "critical")]
    assert not serious, (what, [(one["id"], [node["html"][:300] for node in one["nodes"]]) for one in serious])


def test_the_console_holds_no_error(lab):  # noqa: F811
    """Everything above went by without one; a kernel that is restarted below cannot be sent to meanwhile."""
    assert lab.errors == []


@pytest.mark.full
def test_a_changed_template_is_there_after_a_reload_and_in_a_new_kernel(lab):  # noqa: F811
    """Typed, not saved; undo is a press away."""
    lab.tab("Prompt")
    field = lab.field("Prompt template")
    lab.button("Back to the variant").click()
    expect(lab.page.locator(".genius-added")).to_have_count(0)
    text = field.input_value()
    field.fill(f"{text}\nMind the width.")
    expect(lab.page.locator(".genius-prompt")).to_contain_text("Mind the width.")
    lab.save_and_reload()
    expect(field).to_have_value(re.compile("Mind the width.$"))
    lab.page.evaluate("async () => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    lab.run_all()
    lab.tab("Prompt")
    expect(field).to_have_value(re.compile("Mind the width.$"))
    lab.button("Back to the variant").click()
    expect(field).to_have_value(text)
    lab.button("Undo").click()
    expect(field).to_have_value(re.compile("Mind the width.$"))
    lab.button("Back to the variant").click()
