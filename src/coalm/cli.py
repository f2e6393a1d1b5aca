"""The `coalm` command: `data | train | merge | card | export | eval | score | report | serve | chat | demo`, a
few lines each.

Data goes to standard output, messages to standard error. A user's mistake prints one clear error and exits
with 2; `--debug` shows the traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coalm import __version__
from coalm.arguments import add_command, names, settings
from coalm.cli_data import add_data
from coalm.errors import CoalmError, DataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except CoalmError as error:
        if args.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `coalm … | head`
        sys.stderr.close()
        return 0
    return 0


# ── commands, but for `data` (cli_data.py) ────────────────────────────────────────────────────────


def train(args: argparse.Namespace) -> None:
    from coalm.training.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.set)
    if args.print:
        print(recipe.to_yaml(), end="")
        return
    if args.data is None or args.out is None:
        raise DataError("training needs a mixture and an output folder", hint="give --data DIR and --out RUN")
    from coalm.training.trainer import train as run_training

    model = run_training(recipe, args.data, args.out, resume=args.resume)
    if os.environ.get("RANK", "0") == "0":  # one of several processes speaks for all
        print(model)


def merge(args: argparse.Namespace) -> None:
    from coalm.training.merge import merge as merge_adapter

    print(merge_adapter(args.folder, args.out, base=args.base, dtype=args.dtype))


def card(args: argparse.Namespace) -> None:
    from coalm.training.model_card import write_model_card

    print(write_model_card(args.run_folder, args.evaluations))


def export(args: argparse.Namespace) -> None:
    from coalm.training.export import export as export_recipe
    from coalm.training.recipe import load_recipe

    for path in export_recipe(load_recipe(args.recipe, args.set), args.data, args.out, args.to):
        print(path)


def evaluate(args: argparse.Namespace) -> None:
    if (args.model is None) == (args.table is None):
        raise DataError("nothing to evaluate, or too much", hint="give a model, or --table for a run book")
    if args.table is None or not args.dry_run:
        _require(args, "data", "out")
    if args.table is not None:
        _evaluate_book(args)
        return
    from coalm.evaluate import Cast, print_scores
    from coalm.evaluate import evaluate as run_evaluation

    _refuse(args, "is for a run book: give --table with it", *BOOK_ARGUMENTS)
    cast = Cast(
        args.model,
        _model_options(args),
        user=args.user_model,
        judge=args.judge_model,
        ray=args.ray,
        workers=args.workers,
    )
    scores = run_evaluation(
        cast,
        args.bench or BENCHMARKS,
        args.data,
        args.out,
        family_name=args.family,
        limit=args.limit,
        max_tokens=args.max_tokens,
        shard=args.shard,
        mode=args.mode or "gold-history",
        prompts=args.prompts,
        label=args.label,
    )
    print(json.dumps(scores, ensure_ascii=False)) if args.json else print_scores(scores)


def _evaluate_book(args: argparse.Namespace) -> None:
    from coalm.runbooks import (
        Limits,
        load_book,
        plan_book,
        print_outcome,
        print_plan,
        read_substitutes,
        run_book,
        with_options,
    )

    _refuse(args, "cannot be given with --table", *MODEL_ARGUMENTS)
    book = load_book(args.table)
    if args.models_from:
        book = book.with_models(read_substitutes(args.models_from))
    book = with_options(book.only(args.only) if args.only else book, _model_options(args))
    if args.dry_run:
        plan = plan_book(book, args.mixture, args.set)
        print(json.dumps([one.to_json() for one in plan])) if args.json else print_plan(plan)
        return
    limits = Limits(args.limit, args.max_tokens, args.prompts)
    outcome = run_book(book, args.data, args.out, mixture=args.mixture, settings=args.set, limits=limits)
    print(json.dumps(outcome, ensure_ascii=False)) if args.json else print_outcome(outcome)


def _model_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of models that were given."""
    chosen = {name: getattr(args, name) for name in MODEL_OPTIONS}
    return {name: value for name, value in chosen.items() if value is not None}


def _require(args: argparse.Namespace, *names: str) -> None:
    for name in names:
        if getattr(args, name) is None:
            raise DataError(f"--{name} is missing", hint=f"give --{name} DIR")


def _refuse(args: argparse.Namespace, why: str, *names: str) -> None:
    for name in names:
        if getattr(args, name):
            raise DataError(f"--{name.replace('_', '-')} {why}")


def score(args: argparse.Namespace) -> None:
    from coalm.evaluate import print_scores, score_predictions

    content = score_predictions(
        args.bench, args.predictions, args.data, verdicts=args.verdicts, family_name=args.family
    )
    print(json.dumps(content, ensure_ascii=False)) if args.json else print_scores({args.bench: content})


def report(args: argparse.Namespace) -> None:
    from coalm.report import TABLES, merge_runs, report_data, report_tables, write_report

    if not args.runs and not args.table:
        raise DataError(
            "a report needs runs", hint="give folders of runs, or --table N for the paper's figures"
        )
    runs = [merge_runs(args.runs, args.merge)] if args.merge else args.runs
    if args.table or args.format:
        text = report_tables(runs, [args.table] if args.table else TABLES, args.format or "md")
        if args.out is None:
            print(text, end="")
        else:
            args.out.write_text(text, encoding="utf-8")
            print(args.out)
    elif args.json:
        print(json.dumps(report_data(runs), ensure_ascii=False))
    else:
        print(write_report(runs, args.out or Path("report.html")))


def serve(args: argparse.Namespace) -> None:
    from coalm.serving.command import run

    run(args)


def chat(args: argparse.Namespace) -> None:
    from coalm.chat.command import run

    run(args)


def demo(args: argparse.Namespace) -> None:
    from coalm.demo import run_demo

    run_demo(args.out, steps=args.steps, fresh=args.fresh)


# ── arguments ─────────────────────────────────────────────────────────────────────────────────────


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coalm", description="One language model for multi-turn conversations and tool calls."
    )
    parser.add_argument("--version", action="version", version=f"coalm {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_data(commands)
    _add_train(commands)
    _add_merge(commands)
    _add_card(commands)
    _add_export(commands)
    _add_eval(commands)
    _add_score(commands)
    _add_report(commands)
    _add_serve(commands)
    _add_chat(commands)
    _add_demo(commands)
    return parser


def _add_train(commands: Any) -> None:
    parser = add_command(commands, "train", train, "Fine-tune a model, or train a tiny one, by a recipe.")
    parser.add_argument("recipe", help="name of a shipped recipe (tiny, coalm-8b …) or a YAML file")
    parser.add_argument("--data", type=Path, help="mixture folder, as `coalm data build` writes it")
    parser.add_argument("--out", type=Path, help="folder for checkpoints, metrics and the model")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a recipe's setting"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in --out")
    parser.add_argument("--print", action="store_true", help="print the resolved recipe and stop")


def _add_merge(commands: Any) -> None:
    parser = add_command(commands, "merge", merge, "Merge an adapter into its base: a plain model folder.")
    parser.add_argument("folder", type=Path, help="training run, or adapter folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--base", help="base model, where it is no longer where the adapter says")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: the base's own")


def _add_card(commands: Any) -> None:
    parser = add_command(commands, "card", card, "Write a model's card anew, with the scores of evaluations.")
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="training run, or model folder")
    parser.add_argument("evaluations", type=Path, nargs="*", metavar="EVAL", help="folders of its evaluations")


def _add_export(commands: Any) -> None:
    help = "Write data and an equivalent configuration for another trainer."
    parser = add_command(commands, "export", export, help)
    parser.add_argument("recipe", help="name of a shipped recipe or a YAML file")
    parser.add_argument("--data", type=Path, required=True, help="mixture folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", choices=("trl", "oumi", "llamafactory"), required=True)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a recipe's setting"
    )


def _add_eval(commands: Any) -> None:
    parser = add_command(
        commands, "eval", evaluate, "Run a model on benchmarks and score it; resumes by itself."
    )
    parser.add_argument(
        "model",
        nargs="?",
        help="hf:FOLDER_OR_HUB_ID, vllm:FOLDER_OR_HUB_ID, openai:MODEL[@URL], replay:FILE, nano, "
        "baseline:empty, baseline:copy, baseline:majority@MIXTURE, or a folder",
    )
    parser.add_argument("--bench", type=names, help=f"comma-separated; default: {','.join(BENCHMARKS)}")
    parser.add_argument("--data", type=Path, help="folder with the benchmarks' data, or their zips")
    parser.add_argument("--out", type=Path, help="folder for predictions, verdicts and scores")
    parser.add_argument("--family", help="prompt format and parser; default: by the model's name")
    parser.add_argument("--prompts", type=Path, help="folder with prompt texts to be used instead of ours")
    parser.add_argument(
        "--mode",
        choices=("gold-history", "end-to-end", "interactive"),
        help="how MultiWOZ is run; default: gold-history",
    )
    parser.add_argument("--limit", type=int, help="only this many items of each benchmark")
    parser.add_argument("--shard", metavar="I/N", help="only the I-th of N parts of the items")
    parser.add_argument("--max-tokens", type=int, help="longest reply; default: the benchmark's own")
    parser.add_argument("--label", help="what a report calls this run; default: the model's name")
    parser.add_argument(
        "--user-model", metavar="SPEC", help="the model that plays the user, where one is asked"
    )
    parser.add_argument("--judge-model", metavar="SPEC", help="the model that judges, where one is asked")
    parser.add_argument("--ray", metavar="ADDRESS", help="run the model on the workers of a Ray cluster")
    parser.add_argument("--workers", type=int, help="how many of them; default: one for each GPU")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    _add_book_options(parser)
    _add_model_options(parser)


BENCHMARKS = ("multiwoz", "apibank", "bfcl")
BOOK_ARGUMENTS = ("only", "models_from", "mixture", "set", "dry_run")
MODEL_ARGUMENTS = ("bench", "family", "mode", "shard", "label", "user_model", "judge_model", "ray", "workers")


def _add_book_options(parser: argparse.ArgumentParser) -> None:
    help = (
        "instead of a model, all those of a table of the paper, one after the other; --out is for all of them"
    )
    group = parser.add_argument_group("run books", help)
    group.add_argument("--table", metavar="N", help="2, 3, 4 or 5, or a run book of your own (YAML)")
    group.add_argument("--only", metavar="PATTERN", help="only models whose label or name holds this")
    group.add_argument(
        "--models-from", type=Path, metavar="FILE", help="YAML: your models instead of the book's"
    )
    group.add_argument("--mixture", type=Path, help="what the models of table 5 are trained on")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of their recipes"
    )
    group.add_argument(
        "--dry-run", action="store_true", help="only say what would be run, and what not and why"
    )


MODEL_OPTIONS = (
    *("generate", "concurrency", "timeout", "dtype", "device", "batch_tokens", "constrained"),
    *("tensor_parallel", "pipeline_parallel", "quantization", "max_model_len"),
)


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how the model is run", "what a kind of model does not have is refused")
    group.add_argument(
        "--generate", type=settings, metavar="K=V,…", help="decoding: temperature=0.7,top_p=0.9 …"
    )
    group.add_argument("--concurrency", type=int, help="openai: requests in flight")
    group.add_argument("--timeout", type=float, help="openai: seconds for an answer")
    group.add_argument("--dtype", help="hf, vllm: float32, bfloat16 …")
    group.add_argument("--device", help="hf: cpu, cuda:0 …")
    group.add_argument("--batch-tokens", type=int, help="hf: rows times tokens of a batch")
    group.add_argument(
        "--constrained",
        action="store_true",
        default=None,
        help="hf: answers name only functions, parameters, domains and slots that are listed",
    )
    group.add_argument("--tensor-parallel", type=int, metavar="N", help="vllm: GPUs that share each layer")
    group.add_argument("--pipeline-parallel", type=int, metavar="N", help="vllm: groups that share the layers")
    group.add_argument("--quantization", help="vllm: fp8, awq, bitsandbytes …")
    group.add_argument("--max-model-len", type=int, help="vllm: longest prompt and reply together, in tokens")


def _add_score(commands: Any) -> None:
    parser = add_command(commands, "score", score, "Score a file of predictions, ours or not, without a model.")
    parser.add_argument("bench", help="multiwoz, apibank, bfcl, snips or sgd")
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with the benchmark's data, or its zip")
    parser.add_argument("--verdicts", type=Path, help="also write one verdict a line to this file")
    parser.add_argument("--family", help="who reads rows of `text`; default: the board's own rules")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")


def _add_report(commands: Any) -> None:
    parser = add_command(commands, "report", report, "Write one self-contained HTML page about runs.")
    parser.add_argument("runs", type=Path, nargs="*", help="folders of training and evaluation runs")
    parser.add_argument("--merge", type=Path, metavar="RUN", help="join shards of a run into this folder first")
    parser.add_argument("--out", type=Path, help="default: report.html; tables are printed")
    parser.add_argument("--table", type=int, choices=(2, 3, 4, 5), help="this table of the paper, with ours")
    parser.add_argument("--format", choices=("md", "latex", "csv"), help="tables as text instead of a page")
    parser.add_argument("--json", action="store_true", help="print the report's data as JSON instead")


def _add_serve(commands: Any) -> None:
    from coalm.serving.command import add_arguments

    add_arguments(add_command(commands, "serve", serve, "Serve a model under OpenAI's chat completions API."))


def _add_chat(commands: Any) -> None:
    from coalm.chat.command import add_arguments

    add_arguments(add_command(commands, "chat", chat, "Talk to a model that calls tools."))


def _add_demo(commands: Any) -> None:
    parser = add_command(
        commands, "demo", demo, "Data, training, evaluation and report at small size, in minutes."
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"))
    parser.add_argument("--steps", type=int, help="optimiser steps; default: as the recipe nano-lora has it")
    parser.add_argument("--fresh", action="store_true", help="start anew instead of resuming")
