"""Language models behind any OpenAI-compatible server: the client, what went wrong with a call, every call on record.

Recordings that answer like a model stand in `genius_kit.llm.recorded`.
"""

from genius_kit.chat import ChatClient, Reply, Usage
from genius_kit.llm.client import OpenAIClient
from genius_kit.llm.recorded import ReplayClient
from genius_kit.llm.settings import schema_for

__all__ = ["ChatClient", "OpenAIClient", "ReplayClient", "Reply", "Usage", "schema_for"]
