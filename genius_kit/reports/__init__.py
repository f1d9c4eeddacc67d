"""Reports: notebooks run without a browser, side by side, into pages that open offline and an index of them."""

from genius_kit.reports.run import (
    GET_DATA,
    NotebookResult,
    notebook_folder,
    read_settings,
    report,
    run_notebook,
)

__all__ = [
    "GET_DATA",
    "NotebookResult",
    "notebook_folder",
    "read_settings",
    "report",
    "run_notebook",
]
