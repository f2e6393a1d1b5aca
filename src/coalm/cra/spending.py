"""What requests cost, and how many more can be paid. No limit is passed, because the dearest case counts: an
answer as long as it may be, after a prompt with the most tokens per byte that were seen so far, and 5 % more.

    spending = Spending(Price(2.5, 10.0), max_cost=5.0)
    count, limit = spending.affordable(jobs)    # of these, so many cannot pass a limit
    spending.add(prompt_bytes, completion)      # what one of them did cost
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coalm.dialogue import Prompt
from coalm.errors import RecipeError
from coalm.models import Completion, Job

_CAUTIOUS = 0.5  # tokens per byte of a prompt, before a server has told; English has about 0.25
_MARGIN = 1.05


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in any currency."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


class Spending:
    """Tokens used so far, with limits on their sum and on their cost.

    Servers that do not count tokens are charged an estimate on the high side, and `estimated` says so.

    Raises:
        RecipeError: a limit on the cost without a price.
    """

    def __init__(
        self, price: Price | None = None, max_cost: float | None = None, max_tokens: int | None = None
    ) -> None:
        if max_cost is not None and price is None:
            hint = "give what a million prompt and a million answer tokens cost, for example --price 2.5,10"
            raise RecipeError("a limit on the cost needs a price", hint=hint)
        self.price, self.max_cost, self.max_tokens = price, max_cost, max_tokens
        self.prompt_tokens = self.completion_tokens = 0
        self.estimated = False
        self._ratio = 0.0  # the most tokens per byte of a prompt that were seen

    @property
    def cost(self) -> float | None:
        return self.price.of(self.prompt_tokens, self.completion_tokens) if self.price else None

    def add(self, prompt_bytes: int, completion: Completion) -> None:
        """Count one completion. One without text was not charged for, unless its server says so."""
        prompt, answer = completion.prompt_tokens, completion.completion_tokens
        if prompt is not None and prompt_bytes:
            self._ratio = max(self._ratio, prompt / prompt_bytes)
        elif completion.text:
            self.estimated = True
            prompt, answer = self._most(prompt_bytes), math.ceil(len(completion.text.encode()) * _CAUTIOUS)
        self.prompt_tokens += prompt or 0
        self.completion_tokens += answer or 0

    def affordable(self, jobs: Sequence[Job]) -> tuple[int, str | None]:
        """How many of `jobs`, from the first, keep to the limits even if each answer is as long as may be, and
        the limit (max_tokens, max_cost) that keeps the next one back.
        """
        prompt, answer = self.prompt_tokens, self.completion_tokens
        for count, job in enumerate(jobs):
            prompt += self._most(prompt_bytes(job.prompt))
            answer += job.max_tokens
            if limit := self._limit_passed(prompt, answer):
                return count, limit
        return len(jobs), None

    def _limit_passed(self, prompt_tokens: int, completion_tokens: int) -> str | None:
        if self.max_tokens is not None and prompt_tokens + completion_tokens > self.max_tokens:
            return "max_tokens"
        cost = self.price.of(prompt_tokens, completion_tokens) if self.price else 0.0
        return "max_cost" if self.max_cost is not None and cost > self.max_cost else None

    def _most(self, size: int) -> int:
        return math.ceil(size * (self._ratio * _MARGIN or _CAUTIOUS))


def prompt_bytes(prompt: Prompt) -> int:
    """UTF-8 bytes of a prompt's texts."""
    texts = [prompt.text] if prompt.text is not None else [text for _, text in prompt.messages]
    return sum(len(text.encode()) for text in texts)
