"""The version, below everything else: records name it."""

__version__ = "0.1.0"
