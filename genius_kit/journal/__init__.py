"""The record of a run: one append-only JSONL file, chained by hash; written by `Journal`, read by `read_run`."""

from genius_kit.journal.chain import Event
from genius_kit.journal.journal import Journal
from genius_kit.journal.run import Run, complete, frame_of, read_run, readable

__all__ = ["Event", "Journal", "Run", "complete", "frame_of", "read_run", "readable"]
