"""The functions of BFCL's executable entries, as far as they need no network: they run in the sandbox.

Written from the descriptions that the entries give of them. Results are compared exactly, floats too, so the
order of operations is part of a function. Where a description leaves something open, it is said here.
"""

# ruff: noqa: N802, N803  (names and parameters are the board's)

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

STEP = 1e-10
"""Of the forward difference in `estimate_derivative`."""

ACTIVITY = {1: 1.2, 2: 1.375, 3: 1.55, 4: 1.725, 5: 1.9}
"""Level of activity -> energy spent, in multiples of what the body needs at rest."""

GOAL = {"lose": -500, "gain": 500}
"""Goal -> kilocalories a day to add."""


# ── numbers ───────────────────────────────────────────────────────────────────────────────────────


def math_factorial(n: int) -> int:
    product = 1
    for factor in range(1, n + 1):
        product *= factor
    return product


def math_gcd(a: int, b: int) -> int:
    while b != 0:
        a, b = b, a % b
    return a


def math_lcm(a: int, b: int) -> float:
    return a * b / math_gcd(a, b)


def get_prime_factors(number: int) -> list[int]:
    """In ascending order, each as often as it divides."""
    factors = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, number] if number > 1 else factors


def get_fibonacci_sequence(n: int) -> list[int]:
    sequence = [0, 1]
    while len(sequence) < n:
        sequence.append(sequence[-1] + sequence[-2])
    return sequence[:n]


def get_fibonacci_number(n: int) -> int:
    """The number at position `n`; the first has position 1."""
    return get_fibonacci_sequence(n)[n - 1]


def add_binary_numbers(a: str, b: str) -> str:
    return bin(int(a, 2) + int(b, 2))[2:]


def sort_array(array: Sequence[Any], reverse: bool = False) -> list[Any]:
    return sorted(array, reverse=reverse)


def quadratic_roots(a: float, b: float, c: float) -> list[Any]:
    """The root with the plus sign first; complex roots as `{"real", "imaginary"}`."""
    square = b**2 - 4 * a * c
    if square >= 0:
        return [(-b + math.sqrt(square)) / (2 * a), (-b - math.sqrt(square)) / (2 * a)]
    real, imaginary = -b / (2 * a), math.sqrt(-square) / (2 * a)
    return [{"real": real, "imaginary": imaginary}, {"real": real, "imaginary": -imaginary}]


def estimate_derivative(function: str, x: float) -> float:
    """The forward difference; `function` is the text of a lambda."""
    from coalm.sandbox.child import evaluate

    called = evaluate(function)
    return float((called(x + STEP) - called(x)) / STEP)


def mat_mul(matA: Sequence[Sequence[float]], matB: Sequence[Sequence[float]]) -> list[list[float]]:
    product: list[list[float]] = [[0] * len(matB[0]) for _ in matA]
    for row, values in enumerate(matA):
        for column in range(len(matB[0])):
            for place in range(len(matB)):
                product[row][column] += values[place] * matB[place][column]
    return product


# ── statistics ────────────────────────────────────────────────────────────────────────────────────


def calculate_mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def calculate_standard_deviation(numbers: Sequence[float]) -> float:
    """Of the population."""
    mean = calculate_mean(numbers)
    return math.sqrt(sum((number - mean) ** 2 for number in numbers) / len(numbers))


def calculate_permutations(n: int, k: int) -> float:
    return math_factorial(n) / math_factorial(n - k)


def calc_binomial_probability(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * float(p**k * (1 - p) ** (n - k))


def calculate_cosine_similarity(vectorA: Sequence[float], vectorB: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(vectorA, vectorB, strict=True))
    length_a = sum(a**2 for a in vectorA) ** 0.5
    length_b = sum(b**2 for b in vectorB) ** 0.5
    return float(dot / (length_a * length_b))


def linear_regression(x: Sequence[float], y: Sequence[float], point: float) -> float:
    """The value at `point` of the line with the least squared error."""
    n, sum_x, sum_y = len(x), sum(x), sum(y)
    sum_xx = sum(one**2 for one in x)
    sum_xy = sum(one * y[place] for place, one in enumerate(x))
    slope = (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x**2)
    intercept = (sum_y - slope * sum_x) / n
    return slope * point + intercept


# ── geometry ──────────────────────────────────────────────────────────────────────────────────────


def get_distance(pointA: Sequence[float], pointB: Sequence[float]) -> float:
    return float(((pointA[0] - pointB[0]) ** 2 + (pointA[1] - pointB[1]) ** 2) ** 0.5)


def geometry_area_circle(radius: float) -> float:
    return math.pi * radius**2


def calculate_triangle_area(base: float, height: float) -> float:
    return base * height / 2


def polygon_area(vertices: list[Sequence[float]]) -> float:
    """By the shoelace formula: at least three vertices, a list, in the order given."""
    if len(vertices) < 3:
        raise ValueError("a polygon has three vertices or more")
    # Not [*vertices, vertices[0]]: a tuple has to be an error, as it is on the board.
    ring = vertices + [vertices[0]]  # noqa: RUF005
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in pairwise(ring))) / 2


def maxPoints(points: Sequence[Sequence[int]]) -> int:
    """How many of `points` are on one line at the most; a point that stands there twice counts twice."""
    most = 0
    for place, (x, y) in enumerate(points):
        directions: Counter[tuple[int, int]] = Counter()
        same = 1
        for other_x, other_y in points[place + 1 :]:
            right, up = other_x - x, other_y - y
            common = math.gcd(right, up) * (-1 if (right, up) < (0, 0) else 1)
            if common:
                directions[right // common, up // common] += 1
            else:
                same += 1
        most = max(most, same + max(directions.values(), default=0))
    return most


# ── physics ───────────────────────────────────────────────────────────────────────────────────────


def calculate_density(mass: float, volume: float) -> float:
    return mass / volume


def calculate_displacement(initial_velocity: float, acceleration: float, time: float) -> float:
    return initial_velocity * time + 0.5 * acceleration * time**2


def calculate_final_velocity(initial_velocity: float, acceleration: float, time: float) -> float:
    return initial_velocity + acceleration * time


def calculate_electrostatic_potential_energy(charge: float, voltage: float) -> float:
    return charge * voltage


# ── money, food and rooms ─────────────────────────────────────────────────────────────────────────


def calculate_future_value(present_value: float, interest_rate: float, periods: int) -> float:
    return float(present_value * (1 + interest_rate) ** periods)


def mortgage_calculator(loan_amount: float, interest_rate: float, loan_period: int) -> float:
    """The payment each month of an annuity."""
    rate, payments = interest_rate / 12, loan_period * 12
    return float(loan_amount * rate * (1 + rate) ** payments / ((1 + rate) ** payments - 1))


def calculate_investment_value(
    initial_investment: float,
    annual_contribution: float,
    years: int,
    annual_return: float,
    inflation_rate: Sequence[float],
    adjust_for_inflation: bool = True,
) -> float:
    """A year's inflation lowers that year's return and what is paid in at its end."""
    value = initial_investment
    for year in range(years):
        inflation = inflation_rate[year] if adjust_for_inflation else 0
        value = value * (1 + annual_return - inflation) + annual_contribution * (1 - inflation)
    return value


def calculate_nutritional_needs(
    weight: float, height: float, age: float, gender: str, activity_level: int, goal: str
) -> dict[str, float]:
    """By the revised Harris-Benedict equation; 30 % of the energy from proteins, 25 % fats, 45 % carbohydrates.

    A gram of fat has 9 kilocalories, of the others 4. All but `male` are reckoned as women; any goal but `lose`
    and `gain` is to maintain the weight.
    """
    if gender == "male":
        at_rest = 88.362 + 13.397 * weight + 4.799 * height - 5.677 * age
    else:
        at_rest = 447.593 + 9.247 * weight + 3.098 * height - 4.330 * age
    calories = at_rest * ACTIVITY[activity_level] + GOAL.get(goal, 0)
    return {
        "calories": calories,
        "proteins_g": calories * 0.30 / 4,
        "fats_g": calories * 0.25 / 9,
        "carbohydrates_g": calories * 0.45 / 4,
    }


def order_food(item: Sequence[str], quantity: Sequence[int], price: Sequence[float]) -> float:
    """The total, whatever the items are."""
    return sum(quantity[place] * price[place] for place in range(len(item)))


def book_room(
    room_type: str,
    check_in_date: str,
    check_out_date: str,
    customer_id: str,
    price: float = 0.0,
    discount_code: str | None = None,
) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "room_number": room_type,
        "check_in_date": check_in_date,
        "check_out_date": check_out_date,
        "total_price": price,
    }


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        *(math_factorial, math_gcd, math_lcm, get_prime_factors, get_fibonacci_sequence, get_fibonacci_number),
        *(add_binary_numbers, sort_array, quadratic_roots, estimate_derivative, mat_mul),
        *(calculate_mean, calculate_standard_deviation, calculate_permutations, calc_binomial_probability),
        *(calculate_cosine_similarity, linear_regression),
        *(get_distance, geometry_area_circle, calculate_triangle_area, polygon_area, maxPoints),
        *(calculate_density, calculate_displacement, calculate_final_velocity),
        *(calculate_electrostatic_potential_energy, calculate_future_value, mortgage_calculator),
        *(calculate_investment_value, calculate_nutritional_needs, order_food, book_room),
    )
}


def set_up() -> dict[str, Callable[..., Any]]:
    """All of them, for a session of the sandbox, and `start_over(globals())`: only they are in reach again."""

    def start_over(space: dict[str, Any]) -> None:
        kept = space["__builtins__"]
        space.clear()
        space.update(names, __builtins__=kept)

    names = {**FUNCTIONS, "start_over": start_over}
    return names
