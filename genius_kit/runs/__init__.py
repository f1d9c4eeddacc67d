"""One search: the loop, many of them, a person who watches, and the reading of what was recorded."""
