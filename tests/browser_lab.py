"""A real JupyterLab server and a real Chromium for the tests of the lab; nothing is fetched from the network."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

import genius_kit

NOTEBOOK = Path(genius_kit.__file__).resolve().parent.parent / "notebooks" / "08_prompt_lab.ipynb"
TOKEN = "lab-test"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
RUN_ALL = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  app.commands.execute("notebook:run-all-cells");
}"""
HOLD = """async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  kernel.requestExecute({ code, store_history: false });
  await new Promise((resolve) => setTimeout(resolve, 300));
}"""
DRAWN = """() => {
  const paths = [...document.querySelectorAll(".genius-dots")].map((one) => one.getAttribute("d") ?? "");
  const told = document.querySelector(".genius-curve").getAttribute("aria-label");
  return [paths.join("").split("h0").length - 1, parseInt(told) || 0];
}"""
NOT_OURS = re.compile(r"favicon|Failed to load resource|jupyterlab.*extension|nbdime|translation|deprecat", re.I)


def chromium():
    """Return the path of Chromium; skips without one, fails under GENIUS_KIT_DEMAND_BROWSER=1."""
    found = os.environ.get("GENIUS_KIT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    reason = "there is no Chromium: install it (apt-get install chromium), or name it in GENIUS_KIT_CHROMIUM"
    if os.environ.get("GENIUS_KIT_DEMAND_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def lab_server(folder, log):
    """Run JupyterLab on `folder` and give its address; ended with everything that it started."""
    home = {name: str(folder / ".jupyter" / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"),
        f"--IdentityProvider.token={TOKEN}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f"--ServerApp.root_dir={folder}",
    ]
    environment = {**os.environ, **home, "OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    with log.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment, cwd=folder)
        try:
            yield server_address(server, log)
        finally:
            server.terminate()
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()


def server_address(server, log):
    """Return the address that the server wrote to its log, once it answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        if found:
            try:
                urllib.request.urlopen(f"{found[0]}api?token={TOKEN}", timeout=5).read()
                return found[0]
            except OSError:
                pass
        time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


class LabPage:
    """The notebook of the lab, open in a browser, with what its console said."""

    def __init__(self, page, address, notebook):
        self.page, self.errors = page, []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{address}lab/tree/{notebook}?token={TOKEN}&reset", timeout=60_000)
        page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)

    def _heard(self, message):
        if message.type == "error" and not NOT_OURS.search(message.text):
            self.errors.append(message.text)

    def run_all(self):
        """Run every cell, and wait for the lab."""
        self.page.evaluate(RUN_ALL)
        failed = self.page.locator('[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText .ansi-red-fg')
        self.page.locator(".genius-curve").or_(failed).first.wait_for(timeout=90_000)
        assert not failed.count(), failed.first.inner_text()
        self.page.locator(".jp-InputPrompt", has_text="[6]").wait_for(timeout=90_000)

    def hold(self, seconds):
        """Keep the lab from acting for a while, as a busy machine does: what is done meanwhile waits in order."""
        begin = "threading.Thread(target=in_turn, args=(time.sleep,"
        self.page.evaluate(
            HOLD, f"import threading, time; from genius_kit.lab.widgets import in_turn; {begin} {seconds})).start()"
        )

    @property
    def status(self):
        """What the lab says of what is under way."""
        return self.page.locator(".genius-state [role=status]")

    @property
    def alert(self):
        """The sentence of an error."""
        return self.page.locator(".widget-html-content [role=alert]")

    def button(self, name):
        """Return one button of the lab."""
        return self.page.locator(".jp-OutputArea-output .widget-button", has_text=re.compile(f"^{name}$"))

    def tab(self, name):
        """Turn to one of the lab's parts."""
        self.page.locator(".jp-OutputArea-output .widget-toggle-button", has_text=re.compile(f"^{name}$")).click()
        self.page.locator(f".genius-part-{name.lower()}").wait_for()

    def field(self, label):
        """Return a control by its label."""
        return self.page.locator(".jp-OutputArea-output").get_by_label(label, exact=True)

    def save_and_reload(self):
        """Save the notebook and load the page anew; what the console said stays."""
        self.page.evaluate("async () => window.jupyterapp.shell.currentWidget.context.save()")
        self.page.reload(timeout=60_000)
        self.page.locator(".genius-curve").first.wait_for(state="attached", timeout=60_000)

    def run_the_cell(self):
        """Run the cell of the lab again."""
        self.page.locator(".jp-Cell", has_text="prompt_lab = lab.PromptLab(").locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Control+Enter")

    @property
    def curve(self):
        """How many points of the curve are drawn, and how many evaluations its summary tells of, at one moment."""
        return tuple(self.page.evaluate(DRAWN))
