from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.cra.spending import Price, Spending, prompt_bytes
from coalm.dialogue import Prompt
from coalm.errors import RecipeError
from coalm.models import Completion, Job

PRICE = Price(2.5, 10.0)


def job(size: int = 400, answer: int = 100) -> Job:
    return Job("a", 0, Prompt(text="x" * size), answer)


def test_tokens_and_cost_add_up() -> None:
    spending = Spending(PRICE)
    spending.add(400, Completion("x", 100, 20))
    spending.add(400, Completion("", error="timeout"))
    assert (spending.prompt_tokens, spending.completion_tokens) == (100, 20)
    assert spending.cost == pytest.approx(0.00025 + 0.0002)
    assert not spending.estimated
    assert Spending().cost is None


def test_a_server_that_does_not_count_is_charged_generously() -> None:
    spending = Spending()
    spending.add(400, Completion("y" * 40))
    assert (spending.prompt_tokens, spending.completion_tokens) == (200, 20)
    assert spending.estimated


def test_what_fits_is_learned_from_what_was_counted() -> None:
    spending = Spending(max_tokens=1000)
    assert spending.affordable([job()] * 10) == (3, "max_tokens")  # 200 + 100 each, until told better
    spending.add(400, Completion("x", 100, 20))
    assert spending.affordable([job()] * 10) == (4, "max_tokens")  # 105 + 100 each, of the 880 that are left
    assert spending.affordable([job()] * 4) == (4, None)


def test_a_cost_needs_a_price() -> None:
    with pytest.raises(RecipeError, match="price"):
        Spending(max_cost=1.0)


def test_bytes_are_those_of_all_messages() -> None:
    assert prompt_bytes(Prompt(messages=(("system", "ab"), ("user", "ü")))) == 4


@given(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 500), st.floats(0, 1)), max_size=40),
    st.integers(0, 20_000),
    st.floats(0, 0.2),
)
def test_no_limit_is_passed(asked: list[tuple[int, int, float]], max_tokens: int, max_cost: float) -> None:
    """Whatever the sizes, as long as a byte is at most half a token and a server counts evenly."""
    spending = Spending(PRICE, max_cost=max_cost, max_tokens=max_tokens)
    jobs = [job(size, answer) for size, answer, _ in asked]
    shares = [share for *_, share in asked]
    while jobs:
        count, limit = spending.affordable(jobs)
        if count == 0:
            assert limit in ("max_cost", "max_tokens")
            break
        for one, share in zip(jobs[:count], shares, strict=False):
            size = prompt_bytes(one.prompt)
            spending.add(size, Completion("x", size // 4, int(one.max_tokens * share)))
        jobs, shares = jobs[count:], shares[count:]
    assert spending.prompt_tokens + spending.completion_tokens <= max_tokens
    assert (spending.cost or 0) <= max_cost
