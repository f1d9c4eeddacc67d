"""The bar of running searches in a notebook."""

import pytest
import tqdm.auto

from genius_kit.progress import Progress


class Bar:
    """What a notebook makes of a bar: red where it is closed below its total."""

    last = None

    def __init__(self, total, **options):
        self.total, self.n, self.is_red = total, 0, None
        Bar.last = self

    def update(self):
        self.n += 1

    def set_postfix_str(self, text, refresh):
        pass

    def close(self):
        self.is_red = bool(self.total and self.n < self.total)


@pytest.mark.parametrize("failed", [False, True])
def test_a_bar_is_red_after_a_failure_only(monkeypatch, failed):
    """A search that ends before its budget, or that was read from its journal, has not failed."""
    monkeypatch.setenv("GENIUS_KIT_PROGRESS", "bar")
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    try:
        with Progress(3) as progress:
            progress({"event": "evaluation", "feedback": 90.0})
            if failed:
                raise RuntimeError("a search failed")
    except RuntimeError:
        pass
    assert Bar.last.is_red == failed
