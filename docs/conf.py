"""Sphinx: pages from docs/, docstrings and notebooks; warnings are errors in .ci/run."""

import shutil
from pathlib import Path

import nbformat

import genius_kit
from genius_kit.reports.pages import hide_injected
from genius_kit.reports.parameters import read_notebook

project = "genius_kit"
author = "the genius_kit authors"
release = genius_kit.__version__
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "genius_kit"
exclude_patterns = ["_build"]
nb_execution_mode = "off"
myst_heading_anchors = 3
numpydoc_show_class_members = False
numpydoc_validation_checks = {"PR01", "PR02", "PR03"}  # every parameter described, no other one, in order
autodoc_member_order = "bysource"
suppress_warnings = ["myst.header"]  # notebooks use a heading level for each benchmark


def copy_notebooks(app):
    """Put the notebooks beside the pages: executed ones where a report has made them, else as they are committed.

    Their links to pages lead from notebooks/ over docs/; here they lie below docs/ itself.
    """
    root, target = Path(app.srcdir).parent, Path(app.srcdir) / "notebooks"
    shutil.rmtree(target, ignore_errors=True)  # with those that have another name now
    target.mkdir()
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        executed = root / "reports" / source.name
        notebook = read_notebook(executed if executed.is_file() else source)
        hide_injected(notebook)
        text = nbformat.writes(notebook).replace("](../docs/", "](../")
        text = text.replace("](../data/recorded/README.md)", "](../studies.md#recorded-studies-of-a-real-model)")
        (target / source.name).write_text(text, encoding="utf-8")


def setup(app):
    """Copy the notebooks before anything is read."""
    app.connect("builder-inited", copy_notebooks)
