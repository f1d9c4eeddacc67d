"""One notebook executed in a kernel of this interpreter, within its time, its failing cell marked."""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genius_kit import files

_START_ATTEMPTS = 3  # two kernels that start at once can draw the same port
_PLAIN_BARS = "import tqdm, tqdm.auto; tqdm.auto.tqdm = tqdm.tqdm; tqdm.auto.trange = tqdm.trange"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def execute(
    source: Path,
    executed: Path,
    parameters: dict[str, Any],
    *,
    cell_limit: float | None = None,
    time_limit: float | None = None,
    threads: int | None = None,
    on_cell: Callable[[int, int], None] | None = None,
) -> str | None:
    """Run the notebook `source` into `executed`; return None, or one sentence on the cell that failed and its error.

    `cell_limit` and `time_limit` are seconds for one cell and for the whole notebook; `threads` is how many its
    numerical libraries use, as many as they like by default. `on_cell` is told as each code cell begins, which one it
    is and of how many.
    """
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    _quiet()
    name, deadline = source.name, _deadline(time_limit)
    for attempt in range(1, _START_ATTEMPTS + 1):
        try:
            papermill.execute_notebook(
                str(source),
                str(executed),
                parameters,
                progress_bar=False,
                timeout_func=_seconds_left(cell_limit, deadline),
                kernel_manager_class=_kernel_manager_class(threads, executed.parent),
                on_cell_start=None if on_cell is None else _counted(on_cell, _code_cells(source, parameters)),
                resources={"metadata": {"path": str(source.parent)}},
                store_widget_state=False,
                coalesce_streams=True,
            )
            return None
        except PapermillExecutionError as error:
            return f"{name}, cell {error.exec_count}: {error.ename}: {error.evalue}"
        except CellTimeoutError:
            return _mark(executed, name, "TimeLimit", _too_long(cell_limit, time_limit, deadline))
        except DeadKernelError as error:
            return _mark(executed, name, "KernelDied", f"the kernel died while this cell ran ({error})")
        except (RuntimeError, OSError) as error:  # the kernel did not start: most often a port clash
            if isinstance(error, OSError) and error.errno in files.REFUSALS:
                raise  # it did, and what it has to tell cannot be written
            if attempt == _START_ATTEMPTS:
                return f"{name}: no kernel started in {_START_ATTEMPTS} attempts ({error})"
        finally:
            _close_loop()
    return None


def _close_loop() -> None:
    """Close the event loop that was made for this thread, which would stay as long as the process."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    if not loop.is_running():  # as in a notebook, where it is the kernel's own
        loop.close()


def _quiet() -> None:
    """Keep papermill's log off the terminal, unless somebody reads it: our sentence says the same."""
    log = logging.getLogger("papermill")
    if not log.handlers:
        log.addHandler(logging.NullHandler())


def _code_cells(source: Path, parameters: dict[str, Any]) -> int:
    """Return how many cells are run: those with code, and the one in which papermill puts the parameters."""
    import nbformat

    cells = nbformat.read(source, as_version=4).cells
    return sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in cells) + bool(parameters)


def _counted(on_cell: Callable[[int, int], None], cells: int) -> Callable[..., None]:
    numbers = itertools.count(1)

    def begin(cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code" and cell.source.strip():
            on_cell(next(numbers), cells)

    return begin


def _deadline(time_limit: float | None) -> float:
    return float("inf") if time_limit is None else time.monotonic() + time_limit


def _seconds_left(cell_limit: float | None, deadline: float) -> Callable[[Any], float | None]:
    """Return what nbclient asks before each cell: how many seconds it may take, None for no limit."""

    def left(_cell: Any) -> float | None:
        limits = [limit for limit in (cell_limit, deadline - time.monotonic()) if limit is not None]
        seconds = min(limits)
        return None if seconds == float("inf") else max(seconds, 0.01)  # 0 would mean no limit

    return left


def _too_long(cell_limit: float | None, time_limit: float | None, deadline: float) -> str:
    if time_limit is not None and time.monotonic() >= deadline:
        return f"the notebook ran longer than {time_limit:g} s, its time limit"
    return f"the cell ran longer than {cell_limit:g} s"


def _mark(executed: Path, name: str, error: str, sentence: str) -> str:
    """Give the cell that was running an error output of ours, with papermill's mark before it; return the message."""
    import nbformat
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import raise_for_execution_errors

    notebook = nbformat.read(executed, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    begun = [cell for cell in cells if cell.metadata.get("papermill", {}).get("start_time")]
    if not begun:
        return f"{name}: {sentence}"
    cell = begun[-1]
    cell.execution_count = cell.execution_count or cells.index(cell) + 1
    cell.metadata.papermill.update(exception=True, status="failed")
    cell.outputs.append(nbformat.v4.new_output("error", ename=error, evalue=sentence, traceback=[sentence]))
    try:
        raise_for_execution_errors(notebook, str(executed))
    except PapermillExecutionError as marked:
        return f"{name}, cell {marked.exec_count}: {sentence}"
    return f"{name}: {sentence}"


def _kernel_manager_class(threads: int | None, folder: Path) -> type:
    """Return a kernel manager whose kernels run this interpreter, whatever kernels are installed.

    The file that says how to reach a kernel lies in `folder`, which goes with the run, also where that is killed.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    argv.append(f"--IPKernelApp.exec_lines={_PLAIN_BARS}")
    environment = {
        "GENIUS_KIT_PROGRESS": os.environ.get("GENIUS_KIT_PROGRESS", "none"),
        "GENIUS_KIT_DATA": str(Path(files.data_folder()).resolve()),
    }
    if threads is not None:
        environment.update({name: os.environ.get(name, str(threads)) for name in _THREADS})
    spec = KernelSpec(
        argv=argv,
        env=environment,
        display_name="Python 3",
        language="python",
        metadata={"supported_encryption": ["curve"]},  # as ipykernel's own: messages between processes are encrypted
    )

    class RunningInterpreter(AsyncKernelManager):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            self.connection_file = str(folder / f"kernel-{secrets.token_hex(8)}.json")
            if self.has_trait("transport_encryption"):  # jupyter_client 8.10 and later; off by default
                self.transport_encryption = "auto"

        def start_kernel(self, **settings: Any) -> Any:
            # what a cell prints comes as messages; the rest is a dying kernel's talk, which nobody has checked for keys
            return super().start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **settings)

        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

    return RunningInterpreter
