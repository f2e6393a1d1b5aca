"""The commands of `coalm data`: build a mixture, look at it, check it, review it, publish it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from coalm.arguments import add_command, names
from coalm.errors import DataError

# ── commands ──────────────────────────────────────────────────────────────────────────────────────


def build(args: argparse.Namespace) -> None:
    from coalm.corpora import Plan
    from coalm.mixture import build as build_mixture
    from coalm.progress import bar
    from coalm.tokens import Encoder

    plan = Plan(
        layout=args.layout,
        seed=args.seed,
        validation=args.validation,
        sgd_splits=tuple(args.sgd_splits),
        services=tuple(args.services),
        mask_copies=args.mask_copies,
        mask_share=args.mask_share,
        shares=dict(args.share),
        vary_tools=args.vary_tools,
        most_tools=args.most_tools,
        irrelevant=args.irrelevant,
        repeat=args.repeat,
        tracked=args.tracked,
    )
    with bar("building") as progress:
        card = build_mixture(
            args.corpora,
            args.out,
            plan,
            sources=args.sources,
            mixture=args.mixture,
            dialogues=args.dialogues,
            tools=args.tools,
            released=args.released,
            encoder=None if args.no_tokens else Encoder.load(args.tokenizer),
            jobs=args.jobs or _cores(),
            progress=progress,
        )
    print(json.dumps(card, ensure_ascii=False) if args.json else args.out / "card.md")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show(args: argparse.Namespace) -> None:
    from coalm.show import show as show_samples
    from coalm.tokens import Encoder

    encoder = Encoder.load(args.tokens or None) if args.tokens is not None else None
    show_samples(args.folder, count=args.n, source=args.source, encoder=encoder)


def fetch(args: argparse.Namespace) -> None:
    from coalm.progress import bar
    from coalm.sources.hub import fetch as fetch_corpus

    for name in args.corpora:
        with bar(name) as progress:
            print(fetch_corpus(name, args.out, id=args.id, progress=progress))


def cra(args: argparse.Namespace) -> None:
    from coalm.cra.llm import rewrite_cra
    from coalm.cra.spending import Price
    from coalm.progress import bar

    with bar("rewriting") as progress:
        totals = rewrite_cra(
            args.corpora,
            args.out,
            args.model,
            splits=args.sgd_splits,
            limit=args.limit,
            concurrency=args.concurrency,
            price=Price(*args.price) if args.price else None,
            max_cost=args.max_cost,
            max_tokens=args.max_tokens,
            answer_tokens=args.answer_tokens,
            retry_rejected=args.retry_rejected,
            progress=progress,
        )
    if args.json:
        print(json.dumps(totals))
        return
    rejected = sum(totals["rejected"].values())
    print(
        f"{totals['accepted']:,} dialogues accepted, {rejected:,} rejected, {totals['unasked']:,} not asked for"
    )
    for kind, count in sorted(totals["rejected"].items()):
        print(f"  {kind}: {count:,}")
    about = "about " if totals["estimated"] else ""
    cost = f", {totals['cost']:.2f} in cost" if totals["cost"] is not None else ""
    used = f"{about}{totals['prompt_tokens']:,} prompt and {totals['completion_tokens']:,} completion tokens"
    print(f"{totals['requests']:,} requests, {used}{cost}")
    if totals["stopped"]:
        print(f"stopped by {totals['stopped']}; a higher one goes on where this run ended")


def check(args: argparse.Namespace) -> None:
    if (args.against is None) != (args.benchmarks is None):
        raise DataError("--against and --benchmarks belong together", hint="--against bfcl --benchmarks DIR")
    if args.against is not None:
        _check_overlap(args)
        return
    from coalm import archive
    from coalm.cra.checks import check_corpus, write_checks
    from coalm.progress import bar

    out = args.out or args.folder / "checks"
    with bar("checking") as progress:
        summary = check_corpus(archive.read(args.folder), out, progress)
    print(json.dumps(summary, ensure_ascii=False) if args.json else write_checks(summary))
    print(f"each finding: {out / 'findings.jsonl'}", file=sys.stderr)


def _check_overlap(args: argparse.Namespace) -> None:
    from coalm.card import write_overlap
    from coalm.overlap import NAME, check_overlap
    from coalm.progress import bar

    with bar("comparing") as progress:
        found = check_overlap(args.folder, args.against, args.benchmarks, progress)
    print(json.dumps(found, ensure_ascii=False) if args.json else write_overlap(found))
    print(f"with examples: {args.folder / NAME}", file=sys.stderr)


def review(args: argparse.Namespace) -> None:
    from coalm.cra.answers import summarize_review, write_review
    from coalm.cra.review import draw, serve_review

    out = args.out or args.folder / "review"
    if not args.summary:
        serve_review(draw(args.folder, args.n, args.seed), out, args.port)
        return
    summary = summarize_review(out)
    print(json.dumps(summary, ensure_ascii=False) if args.json else write_review(summary))


def push(args: argparse.Namespace) -> None:
    from coalm.push import push as push_mixture

    done = push_mixture(args.folder, args.repo, private=args.private, dry_run=args.dry_run)
    if args.json:
        print(json.dumps(done, ensure_ascii=False))
        return
    for file in done["files"]:
        print(f"{file['bytes']:>14,}  {file['path']}")
    print(f"{'would go' if args.dry_run else 'went'} to https://huggingface.co/datasets/{args.repo}")


# ── arguments ─────────────────────────────────────────────────────────────────────────────────────


def add_data(commands: Any) -> None:
    """Add `data` and its actions to the commands of `coalm`."""
    parser = commands.add_parser("data", help="build the training mixture; look at, check and publish it")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_build(actions)
    _add_show(actions)
    _add_fetch(actions)
    _add_cra(actions)
    _add_check(actions)
    _add_review(actions)
    _add_push(actions)


def _add_build(actions: Any) -> None:
    parser = add_command(actions, "build", build, "Build the CoALM-IT mixture from raw corpora.")
    given = parser.add_argument_group("what it is made of, one or more")
    given.add_argument("--corpora", type=Path, help="folder with snips, sgd … as folders or zips")
    given.add_argument("--dialogues", type=Path, help="your own conversations, a chat-API object a line")
    given.add_argument("--tools", type=Path, help="their tools, where a line has none of its own")
    given.add_argument(
        "--released", metavar="FILE_OR_HUB_ID", help="the authors' mixture: uiuc-convai/CoALM-IT or its Parquet"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet files and the card")
    chosen = parser.add_argument_group("what is taken of it")
    chosen.add_argument(
        "--mixture", choices=("paper", "extended", "scratch"), default="paper",
        help="extended: and sgd-dst; scratch: and plain text",
    )  # fmt: skip
    chosen.add_argument(
        "--sources", type=names, help="comma-separated, instead of a mixture; they must be there"
    )
    chosen.add_argument("--sgd-splits", type=names, default=["train"], help="of train, dev, test")
    chosen.add_argument(
        "--services", type=names, default=[], help="only SGD dialogues about these alone: Hotels,Restaurants_1"
    )
    chosen.add_argument(
        "--share", type=_share, action="append", default=[], metavar="SOURCE=X",
        help="take only this share of a source's dialogues, as sgd=0.25; above 1: some or all more than once",
    )  # fmt: skip
    chosen.add_argument("--mask-copies", type=int, default=3, help="masked copies of each xLAM row")
    chosen.add_argument("--mask-share", type=float, default=0.67, help="share of rows masked in each copy")
    _add_variation(parser)
    made = parser.add_argument_group("how")
    made.add_argument(
        "--layout", choices=("react", "paper"), default="react", help="where CRA's thought stands"
    )
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--validation", type=float, default=0.01, help="share of dialogues held out")
    made.add_argument("--tokenizer", help="model or tokenizer.json to count tokens with; default: our own")
    made.add_argument("--no-tokens", action="store_true", help="do not count tokens")
    made.add_argument("--jobs", type=int, help="processes; default: one a core. The bytes are the same")
    made.add_argument("--json", action="store_true", help="print the card as JSON")


def _add_variation(parser: argparse.ArgumentParser) -> None:
    varied = parser.add_argument_group("how much it varies, beyond the paper")
    varied.add_argument(
        "--vary-tools", type=float, default=0.0, metavar="SHARE",
        help="share of CRA dialogues and masked copies with a short tool list, in CRA under other names too, "
        "and of tracked SGD dialogues with other domains and slots",
    )  # fmt: skip
    varied.add_argument(
        "--most-tools", type=int, default=10, help="tools of such a list, unless more are needed"
    )
    varied.add_argument(
        "--irrelevant", type=float, default=0.0, metavar="SHARE",
        help="share of masked copies without the tools that they call",
    )  # fmt: skip
    varied.add_argument(
        "--repeat", type=float, default=0.0, metavar="SHARE",
        help="share of plain texts that stand there twice, to be learned by looking back",
    )  # fmt: skip
    varied.add_argument("--tracked", type=int, default=5, help="services that a prompt of sgd-dst lists")


def _share(text: str) -> tuple[str, float]:
    """`sgd=0.25` as a name and a number."""
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected SOURCE=X, as sgd=0.25, not {text!r}") from None


def _add_show(actions: Any) -> None:
    parser = add_command(actions, "show", show, "Print samples of a mixture.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("-n", type=int, default=3, help="how many")
    parser.add_argument("--source", help="only samples of this source")
    parser.add_argument(
        "--tokens", nargs="?", const="", metavar="MODEL", help="exactly what MODEL sees, coloured by loss"
    )


def _add_fetch(actions: Any) -> None:
    parser = add_command(actions, "fetch", fetch, "Fetch corpora from the Hugging Face Hub into a folder.")
    parser.add_argument("corpora", nargs="+", help="xlam, irrelevance, toolace")
    parser.add_argument("--out", type=Path, required=True, help="corpora folder, for `data build`")
    parser.add_argument("--id", help="another data set of the same form")


def _add_cra(actions: Any) -> None:
    help = "Have a language model rewrite SGD as CRA (paper, Table 6); resumes by itself."
    parser = add_command(actions, "cra", cra, help)
    parser.add_argument("--corpora", type=Path, required=True, help="folder with sgd")
    parser.add_argument("--model", required=True, help="openai:NAME or hf:NAME, as for `coalm eval`")
    parser.add_argument(
        "--out", type=Path, required=True, help="e.g. CORPORA/sgd-llm, where `data build` finds it"
    )
    parser.add_argument("--sgd-splits", type=names, default=["train"], help="of train, dev, test")
    parser.add_argument("--limit", type=int, help="only this many dialogues")
    parser.add_argument("--concurrency", type=int, help="requests in flight at a server")
    parser.add_argument(
        "--price", type=float, nargs=2, metavar=("PROMPT", "COMPLETION"), help="of a million tokens"
    )
    parser.add_argument("--max-cost", type=float, help="never spend more, in the currency of --price")
    parser.add_argument("--max-tokens", type=int, help="never use more tokens, prompts and answers together")
    parser.add_argument("--answer-tokens", type=int, default=4096, help="longest answer")
    parser.add_argument("--retry-rejected", action="store_true", help="ask again where an answer was rejected")
    parser.add_argument("--json", action="store_true", help="print the totals as JSON")


def _add_check(actions: Any) -> None:
    help = (
        "Check thoughts, calls and arguments of a mixture's dialogues (paper, Appendix D); or, with --against, "
        "what its training samples have in common with test sets."
    )
    parser = add_command(actions, "check", check, help)
    parser.add_argument("folder", type=Path, help="mixture, or what `data cra` has written")
    parser.add_argument("--out", type=Path, help="folder for findings; default: checks/ in it")
    parser.add_argument("--json", action="store_true", help="print the rates, or the overlap, as JSON")
    group = parser.add_argument_group("overlap with test sets, for the claim that they are zero-shot")
    group.add_argument("--against", type=names, help="comma-separated, of multiwoz,apibank,bfcl,snips,sgd")
    group.add_argument("--benchmarks", type=Path, metavar="DIR", help="folder with their data, or their zips")


def _add_review(actions: Any) -> None:
    parser = add_command(actions, "review", review, "Judge a random sample of dialogues on a local page.")
    parser.add_argument("folder", type=Path, help="mixture, or what `data cra` has written")
    parser.add_argument("-n", type=int, default=100, help="dialogues in the sample")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--out", type=Path, help="folder for the answers; default: review/ in it")
    parser.add_argument(
        "--summary", action="store_true", help="print the table of the answers so far, and stop"
    )
    parser.add_argument("--json", action="store_true", help="with --summary: as JSON")


def _add_push(actions: Any) -> None:
    parser = add_command(actions, "push", push, "Upload a mixture to the Hugging Face Hub as a dataset.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repo", required=True, help="owner/name")
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be uploaded")
    parser.add_argument("--json", action="store_true", help="print what went as JSON")
