"""The `genius-kit` command: `commands` lists them and says how they end, `options` are what several share."""

from genius_kit.cli.commands import app, main

__all__ = ["app", "main"]
