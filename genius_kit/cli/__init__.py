"""The `genius-kit` command: `commands` puts it together, `options` are what groups of commands share."""

from genius_kit.cli.commands import app, main

__all__ = ["app", "main"]
