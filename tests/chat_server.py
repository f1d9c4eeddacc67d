"""The scripted server of `genius_kit.testing`, under the name that the tests use."""

from genius_kit.testing import MODEL, Answer, ChatServer, completion, error

__all__ = ["MODEL", "Answer", "ChatServer", "completion", "error"]
