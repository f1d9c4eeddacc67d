"""One notebook executed by papermill in a kernel of this interpreter, within its limits, its failing cell marked."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit import files

if TYPE_CHECKING:
    from nbformat import NotebookNode

OUTPUT_CHARACTERS = 25_000_000
"""What one cell may put out, pictures included; a page with more opens in no browser. Each output counts 100 more."""
CUT = "\n[What this cell put out from here on is left out: it is longer than {:,} characters.]\n"
TIME_LIMIT, KERNEL_DIED = "TimeLimit", "KernelDied"  # names of the errors that a cell is given
_SHOWN = ("stream", "display_data", "execute_result")

_START_ATTEMPTS = 3  # two kernels that start at once can draw the same port
_LOOK_SECONDS = 0.1  # between two looks at the clock
_OUTPUT_SECONDS = 10**6  # how long nbclient waits for the outputs of a cell that has ended; ours is the limit
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
    is and of how many. An error of a cell tagged "raises-exception" is no failure, nor is an end that the notebook
    asks for: `sys.exit(0)`, or an exception that shows no traceback.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    if not (log := logging.getLogger("papermill")).handlers:
        log.addHandler(logging.NullHandler())  # unless somebody reads it, our sentence says the same
    name, limits = source.name, Limits(cell_limit, time_limit)
    with limits.watched():
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                papermill.execute_notebook(
                    *(str(path).replace("{", "{{").replace("}", "}}") for path in (source, executed)),  # no templates
                    parameters,
                    engine_name=_engine(),
                    kernel_name="python3",
                    language="python",
                    progress_bar=False,
                    folder=source.parent,
                    connections=executed.parent,
                    limits=limits,
                    threads=threads,
                    on_cell=on_cell,
                )
                return None
            except PapermillExecutionError as error:
                if _is_wanted(executed):
                    return None
                kind = "" if error.ename in (TIME_LIMIT, KERNEL_DIED) else f"{error.ename}: "
                return f"{name}, cell {error.exec_count}: {kind}{error.evalue}"
            except (RuntimeError, OSError) as error:  # the kernel did not start: most often a port clash
                if isinstance(error, OSError) and error.errno in files.REFUSALS:
                    raise  # it did, and what it has to tell cannot be written
                if limits.passed:
                    return f"{name}: {limits.passed}"
                if attempt == _START_ATTEMPTS:
                    return f"{name}: no kernel started in {_START_ATTEMPTS} attempts ({error})"
            finally:
                _close_loop()
    return None


class Limits:
    """A clock that kills the kernel when its notebook or a cell takes too long, whatever kernel and client are doing.

    The client cannot be asked to: an endless stream of outputs keeps it busy for ever. `passed` says which limit was.
    """

    def __init__(self, cell_limit: float | None, time_limit: float | None) -> None:
        self._cell_limit, self._time_limit = cell_limit, time_limit
        self._began, self._cell_began = time.monotonic(), float("inf")
        self._over = threading.Event()
        self.passed: str | None = None
        self.kernel: Any = None  # the manager of the kernel under way

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the kernel, if there is a limit at all."""
        if self._cell_limit is not None or self._time_limit is not None:
            threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
        finally:
            self._over.set()

    def begin_cell(self) -> None:
        """Start the clock of a cell."""
        self._cell_began = time.monotonic()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if self._time_limit is not None and now - self._began > self._time_limit:
                self.passed = f"the notebook ran longer than {self._time_limit:g} s, its time limit"
            elif self._cell_limit is not None and now - self._cell_began > self._cell_limit:
                self.passed = f"the cell ran longer than {self._cell_limit:g} s"
            process = getattr(getattr(self.kernel, "provisioner", None), "process", None)
            if self.passed and process is not None:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a kernel with all that it has started; it leads a group of its own where there are groups."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg") and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


@cache
def _engine() -> str:
    """Give papermill an engine with kernels of this interpreter and `Limits`, and return its name."""
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from nbclient.exceptions import DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class RunningInterpreter(KernelSpecManager):  # whatever kernels are installed
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(**get_kernel_dict())

    class Client(PapermillNotebookClient):
        room = OUTPUT_CHARACTERS

        def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
            content = msg["content"]
            if msg["msg_type"] in ("execute_input", "clear_output"):
                self.room = OUTPUT_CHARACTERS
            elif msg["msg_type"] == "error":
                content["traceback"] = content["traceback"] or []  # of an exception that shows none
            elif msg["msg_type"] in _SHOWN:
                room, self.room = self.room, self.room - _characters(content)
                if room < 0:
                    return None
                if self.room < 0:
                    text = str(content.get("text", ""))[:room] + CUT.format(OUTPUT_CHARACTERS)
                    msg = {
                        **msg,
                        "msg_type": "stream",
                        "content": {"name": content.get("name", "stderr"), "text": text},
                    }
            return super().process_message(msg, cell, cell_index)

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **given: Any) -> None:
            kernel = AsyncKernelManager(kernel_name=kernel_name, kernel_spec_manager=RunningInterpreter())
            # the file that says how to reach it goes with the run, also where that is killed
            kernel.connection_file = str(given["connections"] / f"kernel-{secrets.token_hex(8)}.json")
            if kernel.has_trait("transport_encryption"):  # jupyter_client 8.10 and later; off by default
                kernel.transport_encryption = "auto"
            limits = given["limits"]
            limits.kernel = kernel
            client = Client(
                nb_man,
                km=kernel,
                startup_timeout=given["start_timeout"],
                iopub_timeout=_OUTPUT_SECONDS,
                store_widget_state=False,
                resources={"metadata": {"path": str(given["folder"])}},
                extra_arguments=[f"--IPKernelApp.exec_lines={_PLAIN_BARS}"],
                on_cell_execute=_counted(given["on_cell"], limits, nb_man.nb),
            )
            # what a cell prints comes as messages; the rest is a dying kernel's talk, which nobody has checked for keys
            silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            try:
                client.execute(cleanup_kc=True, env=_environment(given["threads"]), **silent)
            except DeadKernelError as error:
                if not client.code_cells_executed:
                    raise
                died = f"the kernel died while this cell ran ({error})"
                _fail(nb_man, TIME_LIMIT if limits.passed else KERNEL_DIED, limits.passed or died)

    papermill_engines.register("genius-kit", Engine)
    return "genius-kit"


def _fail(manager: Any, kind: str, sentence: str) -> None:
    """Give the code cell that began last an error, for papermill to find and mark."""
    from nbformat.v4 import new_output

    cells = [(index, cell) for index, cell in enumerate(manager.nb.cells) if cell.cell_type == "code"]
    number, (index, cell) = [one for one in enumerate(cells, 1) if one[1][1].metadata.papermill["start_time"]][-1]
    cell.execution_count = cell.execution_count or number
    cell.outputs.append(new_output("error", ename=kind, evalue=sentence, traceback=[sentence]))
    manager.cell_exception(cell, cell_index=index)


def _characters(content: dict[str, Any]) -> int:
    return 100 + len(content.get("text", "")) + sum(len(str(value)) for value in content.get("data", {}).values())


def _counted(on_cell: Callable[[int, int], None] | None, limits: Limits, notebook: NotebookNode) -> Callable[..., None]:
    """Return what nbclient calls as a code cell begins."""
    cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    numbers = itertools.count(1)

    def begin(**_cell: Any) -> None:
        limits.begin_cell()
        if on_cell is not None:
            on_cell(next(numbers), cells)

    return begin


def _environment(threads: int | None) -> dict[str, str]:
    own = {"GENIUS_KIT_PROGRESS": "none", **dict.fromkeys(_THREADS if threads else (), str(threads))}
    return {**own, **os.environ, "GENIUS_KIT_DATA": str(Path(files.data_folder()).resolve())}


def _close_loop() -> None:
    """Close the event loop that was made for this thread, which would stay as long as the process."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    if not loop.is_running():  # as in a notebook, where it is the kernel's own
        loop.close()


def _is_wanted(executed: Path) -> bool:
    """Return whether the errors in an executed notebook are wanted; papermill's marks are taken from it then."""
    import nbformat
    from papermill.execute import remove_error_markers

    notebook = nbformat.read(executed, as_version=4)
    failed = [cell for cell in notebook.cells if cell.metadata.get("papermill", {}).get("status") == "failed"]
    errors = [output for cell in failed for output in cell.outputs if output.output_type == "error"]
    if failed and not (errors and all(map(_is_end, errors))):
        return False
    nbformat.write(remove_error_markers(notebook), executed)
    return True


def _is_end(error: NotebookNode) -> bool:
    return not error.traceback or (error.ename == "SystemExit" and error.evalue in ("", "0"))
