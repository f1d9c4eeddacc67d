"""Controls of the lab: ipywidgets with a label, a width that fits, and errors that become sentences."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from genius_kit.lab.thread import sentence

Say = Callable[[str], None]

LABELLED = {"description_width": "initial"}


def guarded(action: Callable[..., Any], say: Say) -> Callable[..., None]:
    """Return `action` as a callback: what it raises is said in a sentence, and an earlier error is cleared."""

    def act(*arguments: Any) -> None:
        try:
            say("")
            action(*arguments)
        except Exception as error:  # a person reads it: nothing may end as a traceback or vanish
            say(sentence(error))

    return act


def button(label: str, action: Callable[[], Any], say: Say, tip: str = "", style: str = "") -> widgets.Button:
    """Return a button that calls `action`."""
    made = widgets.Button(
        description=label, tooltip=tip or label, button_style=style, layout={"width": "auto", "min_width": "70px"}
    )
    made.on_click(guarded(lambda _: action(), say))
    return made


def labelled(kind: type, label: str, width: str = "auto", **options: Any) -> Any:
    """Return a control of `kind` with a visible label."""
    return kind(description=label, style=LABELLED, layout={"width": width}, **options)


def on_change(control: Any, action: Callable[[Any], Any], say: Say) -> None:
    """Call `action` with each new value of `control`."""
    act = guarded(action, say)
    control.observe(lambda change: act(change["new"]), names="value")


def alert(text: str) -> str:
    """Return a sentence as HTML that a screen reader speaks at once; empty for none."""
    return (
        f'<p role="alert" style="color:var(--jp-error-color0,#b00020);margin:4px 0">{escape(text)}</p>' if text else ""
    )


def row(*children: Any) -> widgets.HBox:
    """Return controls beside each other, wrapped where there is no room."""
    return widgets.HBox(children, layout={"flex_flow": "row wrap", "align_items": "center"})
