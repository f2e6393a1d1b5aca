"""The model card: what a model is, what it learned from and what was measured, for the Hugging Face Hub.

RUN/model/coalm.json    the facts, those of run.json: a model folder explains itself wherever it is moved
RUN/model/README.md     the card, made from the facts when training ends, and anew by `coalm card`

coalm card RUN EVAL [EVAL ...]      with the scores of these evaluations

A model with a name has `name` and `about` among its facts: the title of its card, and what stands first in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from coalm.card import write_overlap
from coalm.errors import DataError
from coalm.runs import read_json, write_json, write_text

FACTS = "coalm.json"
CARD = "README.md"
PAPER = "2502.08820"

_HUB_DATA = re.compile(r"https://huggingface\.co/datasets/([\w.-]+/[\w.-]+)")

_SETTINGS = (
    *("method", "optimizer", "learning_rate", "schedule", "warmup_ratio", "beta2", "weight_decay", "clip"),
    *("epochs", "max_steps", "max_minutes", "batch", "sharing", "policy", "max_length", "too_long"),
    *("dtype", "seed"),
)


def write_model_card(folder: Path, evaluations: Sequence[Path] = ()) -> Path:
    """Write the card of the model in `folder` (a run, or a model folder) anew; the card's path.

    `evaluations` are folders that `coalm eval` wrote, for this model. What the card says of a licence stays.

    Raises:
        DataError: no model of ours there, or an evaluation without scores.
    """
    model = _find_model(folder)
    scores = [_read_scores(evaluation) for evaluation in evaluations]
    path = model / CARD
    license = _license_lines(path.read_text(encoding="utf-8")) if path.exists() else []
    write_text(path, describe_model(read_json(model / FACTS), scores, license))
    return path


def hand_on_card(model: Path, merged: Path) -> None:
    """Give a merged model the facts of its adapter, and a card; nothing where `model` has no facts.

    Scores are left behind: what was measured is the adapter on its base, and merging rounds.
    """
    if (model / FACTS).is_file():
        facts = {**read_json(model / FACTS), "merged": True}
        write_json(merged / FACTS, facts)
        write_text(merged / CARD, describe_model(facts))


def _find_model(folder: Path) -> Path:
    for place in (folder / "model", folder):
        if (place / FACTS).is_file():
            return place
    hint = "name the folder of a finished run of `coalm train`, or its model's"
    raise DataError(f"no model with a {FACTS} there", where=folder, hint=hint)


def _read_scores(folder: Path) -> dict[str, Any]:
    """An evaluation: the settings of its run, and the scores of its benchmarks that have any."""
    run = read_json(folder / "run.json")
    found = [read_json(path) for path in sorted(folder.glob("*/scores.json"))]
    benchmarks = [content for content in found if any(_is_measured(one) for one in content["metrics"])]
    if not benchmarks:
        raise DataError("no score in it", where=folder, hint="give a folder that `coalm eval` wrote")
    return {"run": run, "benchmarks": benchmarks}


def _is_measured(metric: Mapping[str, Any]) -> bool:
    return metric["value"] is not None


def _license_lines(card: str) -> list[str]:
    """What the front matter of an earlier card says of the licence; the user's words, as they are."""
    parts = card.split("---\n", 2)
    head = parts[1] if len(parts) == 3 and not parts[0] else ""
    return [line for line in head.splitlines() if line.startswith("license")]


# ── the card ──────────────────────────────────────────────────────────────────────────────────────


def describe_model(
    facts: Mapping[str, Any], scores: Sequence[Mapping[str, Any]] = (), license: Sequence[str] = ()
) -> str:
    """The card as Markdown. `facts` are those of coalm.json, `license` lines go into the front matter as is."""
    parts = [
        _front_matter(facts, scores, license),
        _summary(facts),
        *_measured(scores),
        _training(facts),
        _recipe(facts),
        _data(facts),
        _origin(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: Mapping[str, Any], scores: Sequence[Mapping[str, Any]], license: Sequence[str]) -> str:
    recipe, sources = facts["arguments"]["recipe"], facts["mixture"]["sources"]
    method = _method(facts)
    data = {name for source in sources for name in _HUB_DATA.findall(source.get("origin", ""))}
    head: dict[str, Any] = {"language": ["en"]}
    if facts["base"]["on_hub"]:
        head["base_model"] = facts["base"]["name"]
        head["base_model_relation"] = "finetune" if method == "full" else "adapter"
    head["library_name"] = "transformers" if method == "full" else "peft"
    head["pipeline_tag"] = "text-generation"
    if data:
        head["datasets"] = sorted(data)
    head["tags"] = ["coalm", "function-calling", "dialogue", "react", f"arxiv:{PAPER}"]
    head["tags"] += [] if recipe["method"] == "full" else ["lora"]
    if scores:
        head["model-index"] = [{"name": _title(facts), "results": list(_results(scores))}]
    lines = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)
    mine = "\n".join(license) or "# license: yours to choose; those of base and data bind it, see below"
    return f"---\n{mine}\n{lines}---"


def _method(facts: Mapping[str, Any]) -> str:
    """full, lora or qlora, as the folder is now: merged adapters are a full model."""
    return "full" if facts.get("merged") else str(facts["arguments"]["recipe"]["method"])


def _title(facts: Mapping[str, Any]) -> str:
    if "name" in facts:
        return str(facts["name"])
    name = (facts["base"]["name"] or "A small Llama").rpartition("/")[2]
    return f"{name}, trained on {facts['arguments']['data']}"


def _summary(facts: Mapping[str, Any]) -> str:
    if "about" in facts:
        return f"# {_title(facts)}\n\n{facts['about']}"
    base, recipe = facts["base"]["name"], facts["arguments"]["recipe"]
    start = f"`{base}`" if base else "random weights, in the shape of a small Llama"
    how = {
        "full": "all weights",
        "lora": "low-rank adapters",
        "qlora": "low-rank adapters on a base in four bits",
    }
    learned, whole = (f"{facts['parameters'][key]:,}" for key in ("learned", "all"))
    form = {"full": "A plain model", "lora": "An adapter", "qlora": "An adapter"}[_method(facts)]
    form += ", adapter and base merged" if facts.get("merged") else ""
    return (
        f"# {_title(facts)}\n\n"
        "One model that holds multi-turn conversations and calls functions, after *CoALM: A Unified "
        f"Conversational Agentic Language Model* (arXiv {PAPER}), trained by `coalm train`.\n\n"
        f"- From {start}; {how[recipe['method']]} learned: {learned} of {whole} weights.\n"
        f"- {form}; `coalm eval hf:FOLDER` asks it as it was trained."
    )


def _measured(scores: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not scores:
        return
    lines = ["## Measured\n", "| benchmark | metric | % | 95 % interval | items |", "|---|---|--:|--:|--:|"]
    for evaluation in scores:
        for content in evaluation["benchmarks"]:
            name = _benchmark_name(evaluation, content)
            for metric in filter(_is_measured, content["metrics"]):
                interval = f"{metric['low']:.1f} to {metric['high']:.1f}"
                cells = [name, metric["label"], f"{metric['value']:.1f}", interval, f"{content['items']:,}"]
                lines.append(f"| {' | '.join(cells)} |")
    runs = [evaluation["run"] for evaluation in scores]
    remark = "By `coalm eval`, each benchmark in the version of its scorer that stands behind its name."
    if any(run.get("arguments", {}).get("limit") for run in runs):
        remark += " Of some benchmarks only a part of the items was drawn."
    if any(run.get("demo") for run in runs):
        remark += " The demo sets are small ones, written for coalm's demo: not the benchmarks themselves."
    yield "\n".join([*lines, "", remark])


def _benchmark_name(evaluation: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    demo = ", demo set" if evaluation["run"].get("demo") else ""
    return f"{content['benchmark']} (v{content['version']}{demo})"


def _results(scores: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The scores as the Hub's model index has them."""
    for evaluation in scores:
        for content in evaluation["benchmarks"]:
            metrics = filter(_is_measured, content["metrics"])
            yield {
                "task": {"type": "text-generation"},
                "dataset": {"name": _benchmark_name(evaluation, content), "type": content["benchmark"]},
                "metrics": [
                    {"type": metric["name"], "name": metric["label"], "value": round(metric["value"], 2)}
                    for metric in metrics
                ],
            }


def _training(facts: Mapping[str, Any]) -> str:
    totals = facts["totals"]
    plain, computed = totals["plain_tokens"], totals["computed_tokens"]
    rows = [
        ("steps", f"{facts['steps']:,}"),
        ("samples seen", f"{totals['samples']:,}"),
        ("target tokens", f"{totals['targets']:,}"),
        ("tokens, plain", f"{plain:,}"),
        ("tokens computed", f"{computed:,}" + (f" ({plain / computed:.1f} × fewer)" if computed else "")),
        ("seconds", f"{facts['training_seconds']:,.0f}"),
        ("processes", f"{facts['processes']:,}"),
    ]
    lines = ["## Training\n", "| | |", "|---|--:|", *(f"| {name} | {value} |" for name, value in rows)]
    losses = [("validation samples", facts["eval_loss"]), ("plain dialogue", facts["plain_loss"])]
    if any(loss for _, loss in losses):
        lines += ["", "| mean loss per token on | before | after |", "|---|--:|--:|"]
        lines += [f"| {name} | {loss['before']:.3f} | {loss['after']:.3f} |" for name, loss in losses if loss]
        lines += [
            "",
            "Plain dialogue is without tools: where its loss rises, something was forgotten.",
        ]
    return "\n".join(lines)


def _recipe(facts: Mapping[str, Any]) -> str:
    recipe = facts["arguments"]["recipe"]
    rows = [(key, recipe[key]) for key in _SETTINGS if recipe[key] is not None]
    nested = {"full": "scratch", "lora": "lora", "qlora": "lora"}[recipe["method"]]
    rows += [(f"{nested}.{key}", value) for key, value in (recipe[nested] or {}).items() if value is not None]
    lines = ["## Recipe\n", "| setting | value |", "|---|---|"]
    return "\n".join([*lines, *(f"| {key} | {_value(value)} |" for key, value in rows)])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _data(facts: Mapping[str, Any]) -> str:
    recipe, sources = facts["arguments"]["recipe"], facts["mixture"]["sources"]
    lines = [
        "## Data\n",
        "| source | domain | corpus | training samples | validation | licence |",
        "|---|---|---|--:|--:|---|",
    ]
    for source in sources:
        corpus, license = (source.get(key, "–") for key in ("corpus", "license"))
        cells = [source["source"], source["domain"], corpus, *_counts([source]), license]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| **all** | | | {' | '.join(_counts(sources))} | |")
    parts = [f"{key} {', '.join(recipe[key])}" for key in ("only", "without") if recipe[key]]
    if parts:
        lines += ["", f"Of the mixture, the recipe takes a part: {'; '.join(parts)}."]
    if dropped := facts["store"]["dropped"]:
        lines += ["", f"{dropped:,} training samples were longer than the model can see, and left out."]
    if overlap := facts["mixture"].get("overlap"):
        lines += ["", "Overlap of the whole mixture with test sets:", "", write_overlap(overlap)]
    return "\n".join(lines)


def _counts(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Their training and their validation samples."""
    return [
        f"{sum(source['samples'].get(split, 0) for source in sources):,}" for split in ("train", "validation")
    ]


def _origin(facts: Mapping[str, Any]) -> str:
    hashes = {f"{split}.parquet": digest for split, digest in facts["data_sha256"].items()}
    hashes |= facts["mixture"]["sha256"]
    lines = ["## Made with\n", _code(facts)]
    lines += [f"\nAfter step {other['after_step']:,}: {_code(other)}" for other in facts["resumed"]]
    lines += ["", "| file of the mixture | sha256 |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | `{digest}` |" for name, digest in hashes.items())])


def _code(facts: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    revision = f", revision {facts['revision']}" if facts["revision"] else ""
    return f"coalm {facts['coalm']}{revision}; Python {facts['python']}, {packages}."
