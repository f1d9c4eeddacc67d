"""Conclusions: the sentences under the figures of notebooks, each computed from the numbers that it compares."""
