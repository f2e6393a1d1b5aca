"""CoALM: one language model for multi-turn conversations and tool calls."""

__version__ = "0.1.0"
