"""From run folders to plain data: what an evaluation measured, how a training went, what a mixture holds.

    RUN/run.json                    written by every command; `command` says what kind of run it is
    RUN/<benchmark>/scores.json     figures with intervals, kinds of error
    RUN/<benchmark>/verdicts.jsonl, predictions.jsonl
    RUN/metrics.jsonl, recipe.yaml  a training run
    DIR/card.json                   a mixture

Optional keys may be missing; files may not.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from coalm.errors import DataError
from coalm.runs import read_json, read_json_lines

KEPT_ITEMS = 60
"""How many items of a run are read whole, for worked examples; those whose prompts the runner kept."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric in percent with its 95 % interval; None where it is not defined for the items of the run."""

    name: str
    label: str
    value: float | None
    low: float | None
    high: float | None
    primary: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """The share of right verdicts in one group (category, level, domain), in percent with its interval."""

    group: str
    items: int
    figure: Figure


@dataclass(frozen=True, slots=True)
class Step:
    """One exchange with the model; `prompt` is None where the runner did not keep it."""

    prompt: str | None
    text: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Kept:
    """An item read whole: what the model was asked and said, and what was judged."""

    id: str
    group: str
    steps: tuple[Step, ...]
    verdicts: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class BenchmarkRun:
    """One benchmark of an evaluation run; `whys` counts the verdicts of each kind of error."""

    benchmark: str
    version: int
    family: str
    items: int
    missing: int
    verdicts: int
    figures: tuple[Figure, ...]
    whys: Mapping[str, int]
    unreadable: Mapping[str, int]
    shares: tuple[Share, ...]
    kept: Mapping[str, Kept] = field(repr=False)
    folder: Path

    def figure(self, name: str) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == name), None)

    @property
    def primary(self) -> Figure:
        return next((figure for figure in self.figures if figure.primary), self.figures[0])


@dataclass(frozen=True, slots=True)
class EvalRun:
    """A model on benchmarks. `label` tells it from the others; `facts` is its run.json."""

    label: str
    folder: Path
    facts: Mapping[str, Any]
    benchmarks: Mapping[str, BenchmarkRun]

    @property
    def arguments(self) -> Mapping[str, Any]:
        return self.facts.get("arguments") or {}

    @property
    def is_demo(self) -> bool:
        """Whether it was measured on the small sets written for this repository."""
        return bool(self.arguments.get("demo") or self.facts.get("demo"))


@dataclass(frozen=True, slots=True)
class Point:
    """A line of metrics.jsonl: what one logged stretch of training did; token counts and seconds are its own."""

    step: int
    loss: float | None
    eval_loss: float | None = None
    lr: float | None = None
    samples: float = 0
    targets: float = 0
    plain_tokens: float = 0
    computed_tokens: float = 0
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class TrainingRun:
    label: str
    folder: Path
    facts: Mapping[str, Any]
    recipe: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Mixture:
    label: str
    folder: Path
    card: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Runs:
    """All that a report is about, in the order in which it was given."""

    evaluations: tuple[EvalRun, ...] = ()
    trainings: tuple[TrainingRun, ...] = ()
    mixtures: tuple[Mixture, ...] = ()

    def benchmarks(self) -> list[str]:
        """Names of the benchmarks that were measured, the paper's three first."""
        names = {name for run in self.evaluations for name in run.benchmarks}
        known = [name for name in ("multiwoz", "apibank", "bfcl") if name in names]
        return known + sorted(names - set(known))

    def measured(self, benchmark: str) -> list[tuple[int, EvalRun, BenchmarkRun]]:
        """(place among the evaluations, run, its part on `benchmark`) of the runs that have one."""
        return [
            (place, run, run.benchmarks[benchmark])
            for place, run in enumerate(self.evaluations)
            if benchmark in run.benchmarks
        ]


def read_runs(paths: Sequence[Path]) -> Runs:
    """Read run folders; a folder that is none itself stands for those in it, in the order they were finished.

    Raises:
        DataError: no run there, a file of it missing or broken, or two versions of one benchmark.
    """
    evaluations, trainings, mixtures = [], [], []
    for path in dict.fromkeys(folder for path in paths for folder in _expand(path)):
        match _kind(path):
            case "eval":
                evaluations.append(_read_evaluation(path))
            case "train":
                trainings.append(_read_training(path))
            case _:
                mixtures.append(Mixture(path.name, path, _mapping(read_json(path / "card.json"), path)))
    runs = Runs(_tell_apart(evaluations), _tell_apart(trainings), _tell_apart(mixtures))
    _check_versions(runs)
    return runs


# ── which folders ─────────────────────────────────────────────────────────────────────────────────


def _expand(path: Path) -> list[Path]:
    if _kind(path):
        return [path]
    inner = [folder for folder in path.iterdir() if folder.is_dir() and _kind(folder)] if path.is_dir() else []
    if not inner:
        raise DataError(
            "neither a run nor a folder of runs" if path.exists() else "no such folder",
            where=path,
            hint="give a folder that `coalm eval`, `coalm train` or `coalm data build` wrote",
        )
    return sorted(inner, key=lambda folder: (_finished(folder), folder.name))


def _kind(folder: Path) -> str | None:
    """eval, train or data, None for a folder that is neither."""
    if (folder / "run.json").is_file():
        command = _mapping(read_json(folder / "run.json"), folder / "run.json").get("command")
        if command in ("eval", "train"):
            return str(command)
    return "data" if (folder / "card.json").is_file() else None


def _finished(folder: Path) -> int:
    name = "run.json" if (folder / "run.json").is_file() else "card.json"
    return (folder / name).stat().st_mtime_ns


R = TypeVar("R", EvalRun, TrainingRun, Mixture)


def _tell_apart(runs: list[R]) -> tuple[R, ...]:
    """Labels that occur twice get their folder's name behind them, and a number where that is no help."""
    seen = Counter(run.label for run in runs)
    named = [replace(r, label=f"{r.label} · {r.folder.name}") if seen[r.label] > 1 else r for r in runs]
    again = Counter(run.label for run in named)
    places: Counter[str] = Counter()
    result = []
    for run in named:
        places[run.label] += 1
        twice = again[run.label] > 1
        result.append(replace(run, label=f"{run.label} ({places[run.label]})") if twice else run)
    return tuple(result)


def _check_versions(runs: Runs) -> None:
    for name in runs.benchmarks():
        versions = {part.version: run.folder for _, run, part in runs.measured(name)}
        if len(versions) > 1:
            listed = ", ".join(f"{version} ({folder})" for version, folder in sorted(versions.items()))
            raise DataError(
                f"figures of different versions of {name} do not compare: {listed}",
                hint="score the older predictions again, or write two reports",
            )


# ── evaluation ────────────────────────────────────────────────────────────────────────────────────


def _read_evaluation(folder: Path) -> EvalRun:
    facts = _mapping(read_json(folder / "run.json"), folder / "run.json")
    parts = sorted(path for path in folder.iterdir() if path.is_dir() and _has_benchmark(path))
    if not parts:
        raise DataError("an evaluation without a benchmark", where=folder, hint="let `coalm eval` finish first")
    label = str(facts.get("label") or facts.get("model") or folder.name)
    return EvalRun(label, folder, facts, {path.name: _read_benchmark(path) for path in parts})


def _has_benchmark(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("scores.json", "predictions.jsonl", "verdicts.jsonl"))


def _read_benchmark(folder: Path) -> BenchmarkRun:
    path = folder / "scores.json"
    scores = _mapping(read_json(path), path)
    figures = tuple(_figure(row, path) for row in _typed(scores, "metrics", list, path))
    if not figures:
        raise DataError("no metric in it", where=path)
    whys = scores.get("whys") or {}
    kept = _read_kept(folder / "predictions.jsonl")
    name = str(scores.get("benchmark") or folder.name)
    shares, verdicts = _read_verdicts(folder / "verdicts.jsonl", name, kept)
    return BenchmarkRun(
        benchmark=name,
        version=_typed(scores, "version", int, path),
        family=str(scores.get("family") or ""),
        items=_typed(scores, "items", int, path),
        missing=int(scores.get("missing") or 0),
        verdicts=int(scores.get("verdicts") or 0),
        figures=figures,
        whys=whys,
        unreadable={kind.partition(":")[2]: n for kind, n in whys.items() if kind.startswith("unreadable")},
        shares=shares,
        kept={id: replace(item, verdicts=tuple(verdicts[id])) for id, item in kept.items()},
        folder=folder,
    )


def _figure(row: Any, where: Path) -> Figure:
    row = _mapping(row, where)
    value, low, high = (_number(row.get(key)) for key in ("value", "low", "high"))
    name = _typed(row, "name", str, where)
    return Figure(name, str(row.get("label") or name), value, low, high, bool(row.get("primary")))


def _read_kept(path: Path) -> dict[str, Kept]:
    """The items whose prompts were kept; where there is none, simply the first ones."""
    prompted: dict[str, Kept] = {}
    first: dict[str, Kept] = {}
    for number, row in read_json_lines(path):
        where = f"{path}:{number}"
        steps = _typed(_mapping(row, where), "steps", list, where)
        has_prompt = any(isinstance(step, Mapping) and "prompt" in step for step in steps)
        into = prompted if has_prompt else first
        if len(into) < KEPT_ITEMS:
            id = _typed(row, "id", str, where)
            into[id] = Kept(id, str(row.get("group", "")), tuple(_step(step, where) for step in steps))
    return prompted or first


def _step(step: Any, where: str) -> Step:
    step = _mapping(step, where)
    prompt = step.get("prompt")
    return Step(None if prompt is None else str(prompt), str(step.get("text", "")), step.get("error"))


def _read_verdicts(
    path: Path, benchmark: str, kept: Mapping[str, Kept]
) -> tuple[tuple[Share, ...], dict[str, list[Mapping[str, Any]]]]:
    """The share of right verdicts by group, and the verdicts on the kept items."""
    tallies: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for number, row in read_json_lines(path):
        where = f"{path}:{number}"
        item = _typed(_mapping(row, where), "item", str, where)
        for group in _groups(benchmark, row):
            tally = tallies[group][item]
            tally[0] += 1
            tally[1] += bool(row.get("correct"))
        if item in kept:
            found[item].append(row)
    return tuple(_share(group, tallies[group]) for group in sorted(tallies)), found


def _groups(benchmark: str, verdict: Mapping[str, Any]) -> set[str]:
    """What a verdict counts for: its group, or on MultiWOZ each domain of the gold state (`hotel-area`)."""
    want = verdict.get("want")
    if benchmark != "multiwoz" or not isinstance(want, Mapping):
        return {str(verdict.get("group", ""))}
    return {slot.partition("-")[0] for slot in want} or {"nothing asked yet"}


def _share(group: str, tallies: Mapping[str, Sequence[int]]) -> Share:
    from coalm.benchmarks.episode import Metric, Verdict, ratio
    from coalm.benchmarks.statistics import summarize

    verdicts = [
        Verdict(item, "", group, n == right, {"n": n, "right": right}) for item, (n, right) in tallies.items()
    ]
    estimate = summarize(verdicts, [Metric("right", "Right", ratio("right", "n"))]).estimates[0]
    return Share(
        group, len(tallies), Figure("right", "Right", estimate.value, estimate.low, estimate.high, primary=True)
    )


# ── training ──────────────────────────────────────────────────────────────────────────────────────


def _read_training(folder: Path) -> TrainingRun:
    facts = _mapping(read_json(folder / "run.json"), folder / "run.json")
    try:
        recipe = (folder / "recipe.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=folder / "recipe.yaml") from None
    points = tuple(_read_points(folder / "metrics.jsonl"))
    if not points:
        raise DataError("no step in it", where=folder / "metrics.jsonl", hint="let `coalm train` take a step")
    return TrainingRun(str(facts.get("label") or folder.name), folder, facts, recipe, points)


def _read_points(path: Path) -> Iterator[Point]:
    for number, row in read_json_lines(path):
        where = f"{path}:{number}"
        row = _mapping(row, where)
        counts = {
            key: _number(row.get(key)) or 0.0
            for key in ("samples", "targets", "plain_tokens", "computed_tokens", "seconds")
        }
        curves = {key: _number(row.get(key)) for key in ("loss", "eval_loss", "lr")}
        yield Point(step=_typed(row, "step", int, where), **curves, **counts)  # type: ignore[arg-type]


# ── parsed JSON ───────────────────────────────────────────────────────────────────────────────────


def _mapping(value: Any, where: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"expected an object, found {type(value).__name__}", where=where)
    return value


def _typed(row: Mapping[str, Any], key: str, kind: type[T], where: object) -> T:
    value = row.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"expected `{key}` to be {kind.__name__}", where=where)
    return value


def _number(value: Any) -> float | None:
    """A finite number, else None: what has diverged or is not defined is not drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
