"""`genius-kit lab` in a real browser: the list of notebooks, and beside it what they wrote."""

import json
import os
import subprocess
import sys

import pytest
from browser_lab import TOKEN, chromium, server_address

pytestmark = pytest.mark.slow


def test_it_opens_the_list_of_the_notebooks_and_what_lies_beside_them_can_be_browsed(tmp_path):
    """The address that it prints shows the notebooks; one folder up are reports, runs and data."""
    path = chromium()
    sync = pytest.importorskip("playwright.sync_api")
    for folder in ("notebooks", "reports", "runs", "data"):
        (tmp_path / folder).mkdir()
    own = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "notebooks" / "own.ipynb").write_text(json.dumps(own))
    home = {name: str(tmp_path / ".jupyter") for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    options = ("--no-browser", "--allow-root", "--port=0", f"--IdentityProvider.token={TOKEN}")
    log = tmp_path / "server.log"
    with log.open("w") as stream, sync.sync_playwright() as playwright:
        server = subprocess.Popen(
            [sys.executable, "-m", "genius_kit", "lab", *options],
            cwd=tmp_path,
            env={**os.environ, **home, "JUPYTER_PREFER_ENV_PATH": "1"},
            stdout=stream,
            stderr=stream,
        )
        try:
            address = server_address(server, log)
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = browser.new_page()
            page.goto(f"{address}?token={TOKEN}", timeout=60_000)
            listed = page.locator(".jp-DirListing-itemText")
            listed.filter(has_text="own.ipynb").wait_for(timeout=60_000)
            page.locator(".jp-BreadCrumbs-home").click()
            for folder in ("reports", "runs", "data"):
                listed.filter(has_text=folder).wait_for(timeout=20_000)
            browser.close()
        finally:
            server.terminate()
            server.wait(20)
