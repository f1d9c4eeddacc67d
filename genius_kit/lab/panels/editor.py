"""The part of the lab with the choices, the template beside its prompt, and the answer to one question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from genius_kit.budget.prices import OUTPUT_LIMITS, load_prices
from genius_kit.errors import GeniusKitError, InvalidParameter
from genius_kit.lab.money import FIELDS, search_words
from genius_kit.lab.replies import Answer, answer_html
from genius_kit.lab.run import asking_status
from genius_kit.lab.session import ask_line, prompt_line
from genius_kit.lab.widgets import TemplateView, ViewMessage, alert, button, guarded, labelled, on_change, row
from genius_kit.llm.connection import OPENAI_URL, asked_address, server_models, shown_address
from genius_kit.llm.settings import TIMEOUT_SECONDS, check_timeout, line_of, read_line
from genius_kit.prompts import HISTORIES, list_prompts
from genius_kit.runs.live_control import Control
from genius_kit.texts import for_html

if TYPE_CHECKING:
    from genius_kit.benchmarks import Benchmark
    from genius_kit.journal import Event
    from genius_kit.lab.session import LabSession
    from genius_kit.lab.widgets import Stage


def rendered_message(session: LabSession) -> ViewMessage:
    """Return what the browser shows beside the template: the prompt, or what is wrong; the costs; the difference."""
    found = session.draft.render(session.trials)
    return {
        "messages": [{"role": role, "parts": [list(piece) for piece in pieces]} for role, pieces in found.messages],
        "problem": found.problem or "",
        "facts": "" if found.problem else session.facts(),
        "difference": session.draft.difference(),
    }


def _seconds(text: str) -> float:
    return check_timeout(float(text))


def _address(text: str) -> str:
    shown_address(text.strip())  # refuses what is none
    return text.strip()


OPTIONAL: dict[str, tuple[str, str, Callable[[str], Any], str]] = {
    "base_url": ("Server", "OPENAI_BASE_URL, or OpenAI's", _address, "is no address"),
    "temperature": ("Temperature", "model's own", float, "is no number"),
    "max_tokens": (FIELDS["output"], "model's own", int, "is no whole number of tokens"),
    "params": ("Request settings", "top_p=0.9 ...", read_line, "is no line of settings"),
    "timeout": (FIELDS["timeout"], f"{TIMEOUT_SECONDS:g}", _seconds, "is no number of seconds"),
}
"""Settings that may be left out: label, what an empty field shows, what reads it, what is said of a wrong one."""


OFFERED = {
    "base_url": (OPENAI_URL, *(f"http://localhost:{port}/v1" for port in (11434, 8080, 8000, 1234))),
    "params": ("reasoning_effort=low", "reasoning_effort=medium", "reasoning_effort=high", "top_p=0.9"),
}
"""Values that are offered; others can be typed. The ports are those of Ollama, llama.cpp, vLLM and LM Studio."""


def value_of(name: str, text: str) -> Any:
    """Return the setting that a text stands for, None for an empty one; raises InvalidParameter."""
    label, _, read, wrong = OPTIONAL[name]
    try:
        return read(text) if text.strip() else None
    except ValueError:
        raise InvalidParameter(f"{label.lower()} {text!r} {wrong}; leave it empty for the usual") from None


def _text_of(value: float | str | Mapping[str, Any] | None) -> str:
    if isinstance(value, Mapping):
        return line_of(value)
    if isinstance(value, str):
        return value
    return "" if value is None else f"{value:.12g}"


class Asked:
    """A question under way; `tell` is called with it when something has changed, from its thread."""

    def __init__(self, tell: Callable[[Asked], None]) -> None:
        self.words, self.failure = "", ""
        self.control = Control(announce=lambda: tell(self))

    def heard(self, event: Event) -> None:
        """Take note of what was recorded."""
        self.failure = str(event["message"]) if event["event"] == "call_failed" else self.failure

    @property
    def text(self) -> str:
        """What is asked, and why it is asked again."""
        return f"{self.words}. An attempt failed: {self.failure}" if self.failure else self.words


class EditorPanel:
    """Choices, template, prompt, and Ask."""

    def __init__(self, lab: Stage) -> None:
        self.lab = lab
        session, say = lab.session, lab.say
        self.template = TemplateView()
        self.template.on("edit", guarded(self._edit, say))
        self.template.on("ask", guarded(lambda _: self.ask(), say))
        self.answer = widgets.HTML()
        self._asked: Asked | None = None
        chosen = session.choices
        self.benchmark = labelled(
            widgets.Dropdown, "Benchmark", options=_benchmarks(chosen.benchmark), value=chosen.benchmark
        )
        self.variant = labelled(widgets.Combobox, "Variant or file", value=chosen.variant)
        self.history = labelled(widgets.Dropdown, "History", "170px", options=HISTORIES, value=chosen.history)
        self.model = labelled(widgets.Combobox, "Model", "220px", options=_models(), value=chosen.model)
        self.list_button = button("List models", self.list_models, say, "Ask the server which models it has")
        self.optional = {
            name: labelled(
                widgets.Combobox,
                label,
                "220px",
                placeholder=empty,
                options=OFFERED.get(name, ()),
            )
            for name, (label, empty, _, _) in OPTIONAL.items()
        }
        self.budget = labelled(widgets.BoundedIntText, "Budget", "140px", min=1, max=100_000, value=chosen.budget)
        self.seed = labelled(widgets.BoundedIntText, "Seed", "120px", min=0, max=2**31, value=chosen.seed)
        for name, control in {**self._chosen(), **self.optional}.items():
            on_change(control, partial(self._chose, name), say)
        self.ask_button = button("Ask once", self.ask, say, "Ask the model once (Ctrl or Cmd + Enter)", "primary")
        self.abandon_button = button("Give up waiting", self.abandon, say, "Hang up, and try no more")
        self.abandon_button.disabled = True
        self.name = labelled(widgets.Text, "Save as", "240px", placeholder="name of a variant")
        self.cost = widgets.HTML()
        self.controls = row(
            *(self.benchmark, self.variant, self.history, self.model, self.list_button),
            *self.optional.values(),
            *(self.budget, self.seed, self.cost),
        )
        changes = (
            ("Forget results", session.forget_results, "Take the results out of the prompt"),
            ("Undo", session.undo, "Take the last change of the template back"),
            ("Redo", session.redo, "Make the change again that was taken back"),
            ("Back to the variant", session.revert, "The text that the variant has; Undo brings yours"),
        )
        self.root = widgets.VBox(
            [
                self.template,
                row(
                    self.ask_button,
                    self.abandon_button,
                    *(button(label, partial(self._then_show, change), say, tip) for label, change, tip in changes),
                    self.name,
                    button("Save", self.save, say, "Save the template as a variant"),
                ),
                self.answer,
            ]
        )
        self.show()

    def _chose(self, name: str, value: Any) -> None:
        if self.lab.quiet:
            return
        session, before = self.lab.session, self.lab.session.benchmark
        session.choose(**{name: value_of(name, value) if name in OPTIONAL else value})
        if session.benchmark is not before:
            self.lab.new_benchmark()
        (self.show if name in ("benchmark", "variant", "history") else self.render)()
        self.lab.chosen()

    def _chosen(self) -> dict[str, Any]:
        names = ("benchmark", "variant", "history", "model", "budget", "seed")
        return {name: getattr(self, name) for name in names}

    def show(self) -> None:
        """Show the session's choices and template, after something other than a hand changed them."""
        session = self.lab.session
        chosen = session.choices
        with self.lab.quietly():
            self.variant.options = list_prompts(session.benchmark.space)
            for name, control in self._chosen().items():
                control.value = getattr(chosen, name)
            for name, control in self.optional.items():
                control.value = _text_of(getattr(chosen, name))
        is_changed = ", with your changes" if session.draft.changed else ""
        self.template.show_template(session.draft.source, chosen.variant, f"from {chosen.variant}{is_changed}")
        self.render()

    def render(self) -> None:
        """Show the prompt that the template makes now."""
        shown = rendered_message(self.lab.session)
        self.template.show_rendered(shown)
        self.cost.value = self._cost() if not shown["problem"] else ""

    def _cost(self) -> str:
        """Return what the present choices cost, in every part of the lab, before anything is sent."""
        session = self.lab.session
        words = search_words(session.estimated, session.choices.budget)
        return f'<p aria-label="Expected cost">{for_html(words[0].upper() + words[1:])}.</p>'

    def list_models(self) -> None:
        """Offer the models that the server lists; asked in a thread, and only here."""
        address = self.lab.session.choices.base_url

        def listed(models: list[str] | None) -> None:
            place = shown_address(asked_address(address))
            if models is None:
                raise InvalidParameter(f"{place} does not answer, or lists no models; type the name of one")
            self.model.options = (*models, *(name for name in _models() if name not in models))
            self.lab.asked.tell(f"{place} lists {len(models)} models, offered under Model")

        self.lab.desk.work(lambda: server_models(address), guarded(listed, self.lab.say), self.lab.say)

    def _edit(self, content: ViewMessage) -> None:
        source, variant = str(content["source"]), str(content["variant"])
        self.lab.session.edit(source, variant)
        if variant == self.lab.session.choices.variant:
            self.template.template["source"] = source
        self.render()

    def ask(self) -> None:
        """Ask in a thread; the answer, or why there is none, takes the place of the one before."""
        try:
            self._ask()
        except GeniusKitError as error:
            self._over("Nothing was asked", alert(f"Nothing was asked. {error}"))

    def _ask(self) -> None:
        session = self.lab.session
        session.draft.prompt()
        asked = Asked(self._told)
        chosen, settings = session.choices, session.settings()
        line = ask_line(chosen.benchmark, settings, chosen.seed, len(session.trials))
        ask, benchmark = session.asking(asked.control, asked.heard), session.benchmark
        self._asked, asked.words = asked, f"Asking {chosen.model} on {benchmark.title}"
        self._busy(True)
        self._told(asked)

        def come(answer: Answer) -> None:
            if asked is self._asked:
                self.lab.asked.code(line)
                self._show_answer(answer, benchmark)

        def failed(text: str) -> None:
            if asked is self._asked:
                self._over("The question failed", alert(f"No reply. {text}"))

        self.lab.desk.work(ask, come, failed)

    def abandon(self) -> None:
        """Hang up, and try no more."""
        if self._asked is not None:
            self._asked.control.stop(now=True)
        self._over("The reply is not waited for any longer", "")

    def _told(self, asked: Asked) -> None:
        """Show what has become of the question so far; from its thread too."""
        self.lab.desk.post(self._show_asked, asked)

    def _show_asked(self, asked: Asked) -> None:
        if asked is self._asked:
            self.answer.value = f'<p role="status">{for_html(asked.text)}</p>'
            self.lab.asked.tell(asked.text, **asking_status(asked.control))

    def _over(self, state: str, shown: str) -> None:
        self._asked = None
        self.answer.value = shown
        self._busy(False)
        self.lab.asked.tell(state)

    def _busy(self, is_busy: bool) -> None:
        self.ask_button.disabled, self.abandon_button.disabled = is_busy, not is_busy

    def _show_answer(self, answer: Answer, benchmark: Benchmark) -> None:
        if answer.architecture is not None:
            self.lab.asked.draw(benchmark.space, answer.architecture)
        self.render()
        seconds = f" after {answer.call['seconds']:.1f} s" if answer.call else ""
        self._over(f"The reply came{seconds}", answer_html(answer, benchmark))

    def _then_show(self, change: Callable[[], None]) -> None:
        change()
        self.show()

    def save(self) -> None:
        """Save the template under a name that is a variant everywhere."""
        if not self.name.value.strip():
            raise InvalidParameter("no name was given; type one beside Save")
        path = self.lab.session.save_variant(self.name.value.strip())
        self.show()
        versions = [name for name in self.variant.options if name.startswith(f"{path.stem}.v")]
        earlier = f"; earlier texts: {', '.join(versions)}" if versions else ""
        self.lab.asked.tell(
            f"Saved: {path.stem} is a variant now, {path.parent.name}/{path.name} in the data folder{earlier}"
        )
        chosen = self.lab.session.choices
        self.lab.asked.code(prompt_line(chosen.benchmark, path.stem, chosen.history))


def _models() -> tuple[str, ...]:
    """Return the names of models that are known here: with a price of the user's, or an output limit."""
    return ("offline", *load_prices().models, *OUTPUT_LIMITS)


def _benchmarks(chosen: str) -> list[str]:
    """Return the tables that are here, and the one that was chosen."""
    from genius_kit.benchmarks import list_benchmarks

    tables = list_benchmarks()
    names = [str(name) for name in tables[tables["available"]]["name"]]
    return names if chosen in names else [chosen, *names]
