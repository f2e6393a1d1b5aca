"""Charts are well-formed SVG that says in words what it shows."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalm.report.figures import Line, bar, element, format_tick, line_chart, nice_ticks, strip
from coalm.report.measured import Figure

FIGURE = Figure("jga", "JGA", 40.0, 35.5, 44.5)


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def test_text_and_attributes_are_escaped() -> None:
    svg = element("text", {"x": '"><script>', "y": None}, "<b> & ", element("tspan", {}, "in"))
    assert svg == '<text x="&#34;&gt;&lt;script&gt;">&lt;b&gt; &amp; <tspan></tspan></text>'.replace(
        "<tspan></tspan>", "<tspan>in</tspan>"
    )


def test_a_strip_places_dot_and_interval() -> None:
    svg = parse(strip(FIGURE, 1, "tiny: 40.0"))
    assert svg.find("title").text == svg.get("aria-label") == "tiny: 40.0"
    assert svg.find("circle").get("cx") == "40.00%"
    spans = [(line.get("x1"), line.get("x2")) for line in svg.findall("line") if line.get("class") == "range"]
    assert spans == [("35.50%", "44.50%")]
    assert svg.get("class") == "strip run-1"


def test_what_is_not_defined_has_no_mark() -> None:
    nothing = Figure("overall", "Overall", None, None, None)
    assert parse(strip(nothing, 0, "none")).find("circle") is None
    assert [rect.get("class") for rect in parse(bar(nothing, 0, "none")).findall("rect")] == ["track"]


@given(st.floats(-50, 1e6), st.floats(0, 1e6))
def test_bars_stay_inside_their_box(value: float, maximum: float) -> None:
    svg = parse(bar(Figure("n", "n", value, value - 1, value + 1), 0, "t", maximum))
    widths = [float(rect.get("width", "").rstrip("%")) for rect in svg.findall("rect")]
    assert all(0 <= width <= 100 for width in widths)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_are_round_few_and_enclose_the_data(low: float, span: float) -> None:
    ticks = nice_ticks(low, low + span)
    slack = 1e-6 * max(1.0, abs(low), span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack
    assert 2 <= len(ticks) <= 9
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (1e-3, "1e-3"), (2.5e-4, "2.5e-4"), (1500, "1.5k"), (2e6, "2M"), (-2000, "-2k")],
)
def test_ticks_are_written_short(value: float, text: str) -> None:
    assert format_tick(value) == text


def test_lines_are_described_and_named_at_their_ends() -> None:
    lines = [
        Line("each step", [(1, 5.0), (2, 1.0)], "raw"),
        Line("training", [(1, 5.0), (2, 1.0)]),
        Line("held out", [(2, 1.01)], "dots"),
    ]
    svg = parse(line_chart(lines, title="Loss", description="It falls.", height=200))
    assert (svg.find("title").text, svg.find("desc").text) == ("Loss", "It falls.")
    names = {text.text: float(text.get("y")) for text in svg.findall("text") if "name" in text.get("class")}
    assert set(names) == {"training", "held out"}
    assert abs(names["training"] - names["held out"]) >= 15
    assert [circle.get("cx") for circle in svg.findall("circle")] == ["100.00%"]


@pytest.mark.parametrize("points", [[], [(0, 1.0)], [(0, 0.0), (5, 0.0)], [(3, 2.0), (4, 2.0)]])
def test_poor_curves_are_drawn_too(points: list[tuple[float, float]]) -> None:
    svg = line_chart([Line("a", points)], title="t", description="d")
    assert "nan" not in svg
    assert "inf" not in svg
    parse(svg)


def test_positions_are_finite() -> None:
    svg = parse(line_chart([Line("a", [(n, math.sin(n)) for n in range(50)])], title="t", description="d"))
    path = svg.find("svg/polyline").get("points")
    pairs = [tuple(map(float, pair.split(","))) for pair in path.split()]
    assert len(pairs) == 50
    assert all(0 <= x <= 1000 and 0 <= y <= 240 for x, y in pairs)
