"""One self-contained HTML page: style, script and charts stand in it, and nothing is loaded from anywhere.

All text from models and data goes through Jinja's autoescape or `tojson`. A content security policy that names the
hash of the page's one script is the second lock: a script that slipped in would not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from coalm.report.collect import BenchmarkRun, EvalRun, Figure, Runs
from coalm.report.curves import TrainingView, view_training
from coalm.report.examples import Example, choose_examples, compare, show_value
from coalm.report.figures import bar, strip
from coalm.report.paper import About, Paper, load_paper
from coalm.report.tables import Comparison, compare_with_paper, coverage, interval, measured_cell, mixture_rows

LONGEST_PROMPT = 5000
"""Characters of a prompt that are shown; the middle of a longer one is left out, with a word."""
LISTED_KINDS = 60


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of error: its verdicts in each run, run by run (None where the run did not take the benchmark)."""

    name: str
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Section:
    """One benchmark's part of the page. `measured` is (place, run, part) of the runs that took it."""

    name: str
    about: About
    measured: Sequence[tuple[int, EvalRun, BenchmarkRun]]
    warnings: Sequence[str]
    practice: bool
    comparison: Comparison | None
    groups: Sequence[str]
    kinds: Sequence[Kind]
    details: Sequence[Kind]
    examples: Sequence[Example]

    @property
    def last(self) -> BenchmarkRun:
        return self.measured[-1][2]

    @property
    def rise(self) -> float | None:
        """Points by which the second of two runs lies above the first, in the primary figure."""
        if len(self.measured) != 2:
            return None
        before, after = self.measured[0][2].figure(self.last.primary.name), self.last.primary
        if before is None or before.value is None or after.value is None:
            return None
        return after.value - before.value


def render_page(runs: Runs) -> str:
    """The report as HTML. The same runs give the same bytes."""
    paper = load_paper()
    style, script = _read("style.css"), _read("page.js")
    trainings = [view_training(run, number) for number, run in enumerate(runs.trainings)]
    return _environment().get_template("template.html").render(
        runs=runs,
        paper=paper,
        sections=[_section(runs, name, paper) for name in runs.benchmarks()],
        trainings=trainings,
        title=_title(runs, paper),
        style=Markup(style),
        script=Markup(script),
        script_hash=_hash(script),
        curves={view.id: view.hover for view in trainings},
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("coalm.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bar": _bar,
        "compare": compare,
        "interval": interval,
        "prompt": shorten,
        "provenance": provenance,
        "share": _share_bar,
        "show": show_value,
        "strip": strip,
        "words": lambda name: name.replace("_", " "),
    }
    environment.globals |= {
        "listed_kinds": LISTED_KINDS,
        "measured_cell": measured_cell,
        "mixture_rows": mixture_rows,
    }
    return environment


def _read(name: str) -> str:
    return resources.files("coalm.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _title(runs: Runs, paper: Paper) -> str:
    names = [run.label for run in runs.evaluations] or [run.label for run in runs.trainings]
    who = list_words(names) if len(names) <= 3 else f"{len(names)} models"
    titles = [paper.about(name).title for name in runs.benchmarks()]
    return f"{who} on {list_words(titles)}" if titles else who or list_words([m.label for m in runs.mixtures])


def list_words(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def shorten(text: str) -> str:
    """A prompt with its middle left out where it is long: its beginning and its end matter most."""
    if len(text) <= LONGEST_PROMPT:
        return text
    head, tail = LONGEST_PROMPT * 3 // 5, LONGEST_PROMPT * 2 // 5
    left_out = len(text) - head - tail
    return f"{text[:head]}\n\n[… {left_out:,} characters left out …]\n\n{text[-tail:]}"


def provenance(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The content of a run.json as rows for people: nested objects become `arguments.model`."""
    rows = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += [(f"{key}.{name}", text) for name, text in provenance(value)]
        elif value is not None:
            rows.append((key, show_value(value)))
    return rows


# ── a benchmark's section ─────────────────────────────────────────────────────────────────────────


def _section(runs: Runs, name: str, paper: Paper) -> Section:
    measured = runs.measured(name)
    about, table = paper.about(name), paper.table(name)
    warnings = dict.fromkeys(coverage(run, part, about) for _, run, part in measured)
    groups = dict.fromkeys(share.group for _, _, part in measured for share in part.shares)
    whys = [part.whys for _, _, part in measured]
    return Section(
        name,
        about,
        measured,
        warnings=[warning for warning in warnings if warning],
        practice=any(run.is_demo for _, run, _ in measured),
        comparison=compare_with_paper(paper, table, measured) if table else None,
        groups=list(groups) if len(groups) > 1 else (),
        kinds=_count_kinds([_by_kind(counts) for counts in whys]),
        details=_count_kinds(whys),
        examples=choose_examples([(run.label, part) for _, run, part in measured]),
    )


def _by_kind(whys: Mapping[str, int]) -> dict[str, int]:
    """Counts without the detail behind the colon, but unreadable outputs stay apart by their kind."""
    counts: dict[str, int] = {}
    for why, count in whys.items():
        kind, _, detail = why.partition(":")
        name = f"unreadable: {detail}" if kind == "unreadable" and detail else kind
        counts[name] = counts.get(name, 0) + count
    return counts


def _count_kinds(runs: Sequence[Mapping[str, int]]) -> list[Kind]:
    """The most frequent of the last run first, then of all."""
    names = dict.fromkeys(name for whys in runs for name in whys)
    kinds = [Kind(name, [whys.get(name, 0) for whys in runs]) for name in names]
    return sorted(kinds, key=lambda kind: (-kind.counts[-1], -sum(kind.counts), kind.name))


def _bar(part: BenchmarkRun, run: int, label: str, group: str) -> dict[str, Any] | None:
    """The bar of one group in one run with the text beside it; None where the run has no such group."""
    share = next((share for share in part.shares if share.group == group), None)
    if share is None:
        return None
    value = share.figure.value or 0.0
    title = f"{label}, {group or 'all'}: {value:.1f} % right ({interval(share.figure)}), {share.items:,} items"
    return {"svg": bar(share.figure, run, title), "value": value, "items": share.items}


def _share_bar(count: int, total: int, run: int, label: str, maximum: float) -> Markup:
    """The bar of a kind of error: its share of all verdicts."""
    value = 100 * count / total if total else 0.0
    figure = Figure("share", "Share", value, None, None)
    return bar(figure, run, f"{label}: {count:,} of {total:,} ({value:.1f} %)", maximum)
