"""Conversational ReAct API data (paper, section 4.1): annotated dialogues get thoughts and observations."""
