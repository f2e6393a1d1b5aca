"""How a training went: loss, speed both ways and learning rate over steps, with a few figures of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from coalm.report.collect import Point, TrainingRun
from coalm.report.figures import Line, line_chart

MOST_POINTS = 300
"""Of a curve that are drawn; a longer one is thinned, but keeps its last point and all held-out losses."""


@dataclass(frozen=True, slots=True)
class Chart:
    name: str
    title: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class TrainingView:
    """A training run ready to be shown. `facts` are (label, value, remark); `hover` is read by the page's script."""

    id: str
    run: TrainingRun
    facts: Sequence[tuple[str, str, str]]
    charts: Sequence[Chart]
    hover: Mapping[str, Any]


def view_training(run: TrainingRun, number: int) -> TrainingView:
    points = thin(run.points)
    curves = {"loss": _loss(points), "speed": _speed(points), "rate": _learning_rate(points)}
    titles = {
        "loss": "Loss per target token",
        "speed": "Tokens per second",
        "rate": "Learning rate",
    }
    charts = [
        Chart(name, titles[name], _draw(name, titles[name], lines))
        for name, lines in curves.items()
        if any(line.points for line in lines)
    ]
    hover = {chart.name: _values(points, curves[chart.name]) for chart in charts}
    return TrainingView(f"training-{number}", run, _facts(run.points), charts, hover)


def thin(points: Sequence[Point]) -> list[Point]:
    """Every n-th point, the last one, and those with a held-out loss."""
    stride = -(-len(points) // MOST_POINTS)
    last = len(points) - 1
    return [p for i, p in enumerate(points) if i % stride == 0 or i == last or p.eval_loss is not None]


def smooth(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Exponential moving average over about a thirtieth of the curve, without the pull of its start."""
    keep = 1 - 1 / max(1.0, len(values) / 30)
    mean = weight = 0.0
    result = []
    for x, y in values:
        mean, weight = keep * mean + (1 - keep) * y, keep * weight + 1 - keep
        result.append((x, mean / weight))
    return result


def _loss(points: Sequence[Point]) -> list[Line]:
    raw = _points(points, lambda p: p.loss)
    held_out = _points(points, lambda p: p.eval_loss)
    return [
        Line("each step", raw, "raw"),
        Line("training", smooth(raw), "main"),
        Line("held out", held_out, "dots"),
    ]


def _speed(points: Sequence[Point]) -> list[Line]:
    plain = smooth(_points(points, lambda p: _rate(p, p.plain_tokens)))
    computed = smooth(_points(points, lambda p: _rate(p, p.computed_tokens)))
    return [Line("plain", plain, "main"), Line("computed", computed, "second")]


def _learning_rate(points: Sequence[Point]) -> list[Line]:
    return [Line("", _points(points, lambda p: p.lr), "second")]


def _points(points: Sequence[Point], value: Callable[[Point], float | None]) -> list[tuple[float, float]]:
    return [(p.step, y) for p in points if (y := value(p)) is not None]


def _rate(point: Point, tokens: float) -> float | None:
    return tokens / point.seconds if point.seconds and tokens else None


def _draw(name: str, title: str, lines: Sequence[Line]) -> Markup:
    ends = [f"{line.label or title} {line.points[-1][1]:.4g}" for line in lines if line.points]
    description = f"{title} over training steps. At the last step: {', '.join(ends)}."
    return line_chart(lines, title=title, description=description, height=260 if name == "loss" else 130)


def _values(points: Sequence[Point], lines: Sequence[Line]) -> dict[str, Any]:
    """Steps, and for each curve its values at these steps, null where it has none."""
    rows = []
    for line in lines:
        at = dict(line.points)
        rows.append([line.label, [None if (y := at.get(p.step)) is None else float(f"{y:.4g}") for p in points]])
    return {"steps": [p.step for p in points], "rows": rows}


def _facts(points: Sequence[Point]) -> list[tuple[str, str, str]]:
    first = next((p.loss for p in points if p.loss is not None), None)
    last = next((p.loss for p in reversed(points) if p.loss is not None), None)
    held_out = next((p.eval_loss for p in reversed(points) if p.eval_loss is not None), None)
    samples, plain, computed, seconds = (
        sum(getattr(p, key) for p in points) for key in ("samples", "plain_tokens", "computed_tokens", "seconds")
    )
    facts = [("Steps", f"{points[-1].step:,}", f"{samples:,.0f} samples")]
    if first is not None and last is not None:
        facts.append(("Loss", f"{last:.3f}", f"from {first:.3f}" + _held_out(held_out)))
    if plain and computed:
        facts.append(("Tokens computed", _short(computed), f"{plain / computed:.1f} × fewer than {_short(plain)}"))
    if plain and seconds:
        facts.append(("Tokens per second", _short(plain / seconds), f"plain; {_short(computed / seconds)} computed"))
    if seconds:
        facts.append(("Time", _duration(seconds), f"{samples / seconds:,.1f} samples per second"))
    return facts


def _held_out(loss: float | None) -> str:
    return "" if loss is None else f"; held out {loss:.3f}"


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
