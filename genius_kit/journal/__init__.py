"""The record of a run: one append-only file of events, chained by hash; runs resume from it, anybody can verify it."""
