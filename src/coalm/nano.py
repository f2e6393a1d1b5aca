"""coalm-nano: a model of our own, from raw corpora to scores, by the shipped commands one after another.

    make nano CORPORA=DIR                (python -m coalm.nano --corpora DIR)

    RUN/data         the mixture, plain text included
    RUN/tokenizer    a byte-level BPE of all of it
    RUN/base         first stage, language: plain text, next token
    RUN/tuned        second stage, CoALM-IT
    RUN/weights      the model in bfloat16, as it goes into the package, and what that costs
    RUN/eval         scores of these weights
    RUN/report.html
    RUN/log.jsonl    a line for each stage: its command and seconds

What is done is skipped, what was stopped goes on where it was; training keeps the clock of `max_minutes`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from coalm import cli
from coalm.errors import CoalmError, DataError, ModelError, NotFound
from coalm.runs import Journal, log, read_json, write_json
from coalm.training.model_card import FACTS, write_model_card

BUILD = (
    *("--sources", "snips,xlam,sgd,sgd-dst,coalm.guests:SOURCE,snips-text,xlam-text,sgd-text"),
    *("--share", "snips=10", "--share", "sgd=0.34", "--share", "sgd-dst=0.36"),
    *("--share", "coalm.guests:SOURCE=0.75"),
    *("--vary-tools", "0.75", "--most-tools", "8", "--tracked", "3"),
    *("--mask-copies", "4", "--irrelevant", "0.15", "--repeat", "0.6"),
)
"""How the mixture is built. ToolACE is not in it: most of its sample calls functions that it does not list."""
LARGEST = 32 * 2**20
"""Bytes of weights that go into the package, at most."""
ABOUT = Path(__file__).parent / "assets" / "nano_card.md"
"""How its card opens."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is told. `build`, `base` and `tuned` are arguments of these stages beside the shipped ones;
    `benchmarks` is the folder of test sets, `limit` the items taken of each; `processes` train together.
    """

    corpora: Path
    out: Path
    benchmarks: Path
    build: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    tuned: tuple[str, ...] = ()
    limit: int | None = None
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the pipeline, done once `marker` is there. `command` are arguments of `coalm`, as a shell has
    them, or what is called in its stead; so many `processes` run it.
    """

    name: str
    marker: Path
    command: tuple[str, ...] | Callable[[], Any]
    processes: int = 1

    def take(self) -> int:
        """Its exit status."""
        if not isinstance(self.command, tuple):
            self.command()
            return 0
        return cli.main(self.command) if self.processes == 1 else _launch(self.command, self.processes)


def run(settings: Settings) -> int:
    """Take all stages that are not done; the exit status of the first that fails, or 0.

    Raises:
        DataError: the folder holds a run with other settings, or no corpora are there.
    """
    _claim(settings)
    for stage in stages(settings):
        if stage.marker.exists():
            continue
        told = f"coalm {shlex.join(stage.command)}" if isinstance(stage.command, tuple) else stage.name
        log(f"── {stage.name}: {told}")
        started = time.monotonic()
        status = stage.take()
        with Journal(settings.out / "log.jsonl") as journal:
            seconds = round(time.monotonic() - started, 1)
            journal.append({"stage": stage.name, "command": told, "status": status, "seconds": seconds})
        if status:
            return status
    print(settings.out / "report.html")
    return 0


def stages(settings: Settings) -> Iterator[Stage]:
    """All stages, in order. What benchmarks there are is looked up when their stage is reached."""
    out = settings.out
    data, tokenizer, weights = out / "data", out / "tokenizer", out / "weights"
    corpora = ("--corpora", str(settings.corpora))
    yield Stage(
        "data",
        data / "run.json",
        ("data", "build", *corpora, "--out", str(data), *BUILD, *settings.build),
    )
    yield Stage(
        "tokenizer", tokenizer / "tokenizer.json", lambda: write_tokenizer(data, tokenizer, settings.base)
    )
    own = ("--set", f"scratch.tokenizer={tokenizer}")
    train = _train("nano-base", data, out / "base", own, settings.base)
    yield Stage("base", out / "base" / "run.json", train, settings.processes)
    base = ("--set", f"model={out / 'base' / 'model'}")
    train = _train("nano", data, out / "tuned", base, settings.tuned)
    yield Stage("tuned", out / "tuned" / "run.json", train, settings.processes)
    yield Stage("weights", weights / "packed.json", lambda: pack(out / "tuned" / "model", weights, data))
    limit = ("--limit", str(settings.limit)) if settings.limit else ()
    names = ",".join(_benchmarks_in(settings.benchmarks))
    if names:
        tests = ("--bench", names, "--data", str(settings.benchmarks), *limit)
        evaluation = ("eval", str(weights), *tests, "--label", "coalm-nano")
        yield Stage("eval", out / "eval" / "run.json", (*evaluation, "--out", str(out / "eval")))
    runs = [str(out / name) for name in ("eval", "base", "tuned", "data") if name != "eval" or names]
    yield Stage("report", out / "report.html", ("report", *runs, "--out", str(out / "report.html")))


def _train(recipe: str, data: Path, out: Path, start: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    return ("train", recipe, "--data", str(data), "--out", str(out), "--resume", *start, *more)


def _launch(command: Sequence[str], processes: int) -> int:
    """Run `coalm` in several processes that train one model, and share the cores."""
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    threads = max(1, (os.cpu_count() or 1) // processes)
    environment = {"OMP_NUM_THREADS": str(threads)} | os.environ
    return subprocess.run(
        [sys.executable, "-m", *torchrun, "-m", "coalm", *command], env=environment, check=False
    ).returncode


def _benchmarks_in(folder: Path) -> list[str]:
    """Names of the benchmarks whose data are there."""
    from coalm.benchmarks import BENCHMARKS

    found = []
    for name, one in BENCHMARKS.items():
        try:
            one.load(folder)
        except NotFound:
            log(f"{name} is left out: its data are not in {folder}")
        else:
            found.append(name)
    return found


def _claim(settings: Settings) -> None:
    """Note what the run is told, or check that it is told the same again."""
    told = {name: list(getattr(settings, name)) for name in ("build", "base", "tuned")}
    path = settings.out / "settings.json"
    if not path.exists():
        if not settings.corpora.is_dir():
            raise NotFound("no such folder of corpora", where=settings.corpora, hint="make nano CORPORA=DIR")
        write_json(path, told)
    elif read_json(path) != told:
        raise DataError("holds a run with other settings", where=settings.out, hint=f"compare {path}")


# ── what has no command of its own ────────────────────────────────────────────────────────────────


def write_tokenizer(data: Path, folder: Path, arguments: Sequence[str] = ()) -> Path:
    """A tokenizer of both stages' text, of the size that `nano-base` with `arguments` (`--set …`) has."""
    from coalm.mixture import read
    from coalm.training.recipe import load_recipe
    from coalm.training.scratch import train_tokenizer

    recipe = load_recipe("nano-base", [text for text in arguments if text != "--set"])
    if recipe.scratch is None:
        raise DataError("nano-base starts from a model: it has no tokenizer to train", where="nano-base")
    unfinished = folder.with_name(f".{folder.name}.tmp")
    train_tokenizer(read(data), recipe.scratch.vocabulary).save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    return unfinished.rename(folder)


def pack(folder: Path, out: Path, data: Path | None = None, samples: int = 64) -> dict[str, Any]:
    """Write the model in `folder` as it goes into the package: bfloat16, with tokenizer, card and facts.

    `data` is a mixture, on whose held-out samples it is measured what the rounding costs: `loss` (nats a target
    token) before and after, and `agreement`, the share of target tokens for which the first choice is the same.
    Returns the content of `out/packed.json`.

    Raises:
        ModelError: no model is in `folder`, or its weights are too large for the package.
    """
    import torch

    model, tokenizer = _open(folder)
    size = sum(weight.numel() for weight in model.parameters()) * 2
    if size > LARGEST:
        raise ModelError(f"{size:,} bytes in bfloat16, and the package takes {LARGEST:,}", where=folder)
    unfinished = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    before = _choices(model.float(), tokenizer, data, samples) if data else None
    model.to(torch.bfloat16).save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    if (folder / FACTS).exists():
        write_card(unfinished, read_json(folder / FACTS))
    written = unfinished / "model.safetensors"
    written.chmod(0o644)  # safetensors writes for its owner alone, and a package is for all
    facts: dict[str, Any] = {"dtype": "bfloat16", "bytes": written.stat().st_size}
    if data and before:
        after = _choices(_open(unfinished)[0].float(), tokenizer, data, samples)
        same = sum(one == other for one, other in zip(before.first, after.first, strict=True))
        facts["loss"] = {"before": round(before.loss, 5), "after": round(after.loss, 5)}
        facts |= {"agreement": round(same / len(after.first), 5), "target_tokens": len(after.first)}
    write_json(unfinished / "packed.json", facts)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)
    return facts


def write_card(folder: Path, facts: Mapping[str, Any]) -> None:
    """Give the packed model in `folder` the facts of its training, and a card that says what nano is."""
    shape = read_json(folder / "config.json")
    about = ABOUT.read_text(encoding="utf-8").format(parameters=facts["parameters"]["all"], **shape).rstrip()
    write_json(folder / FACTS, {**facts, "name": "coalm-nano", "about": about})
    write_model_card(folder)


@dataclass(frozen=True, slots=True)
class _Choices:
    """Mean loss of all target tokens, and the model's first choice for each."""

    loss: float
    first: list[int]


def _choices(model: Any, tokenizer: Any, data: Path, samples: int) -> _Choices:
    """What a model makes of held-out samples of conversations and calls."""
    import torch

    from coalm.mixture import read
    from coalm.tokens import Encoder

    encoder, losses, first = Encoder(tokenizer), 0.0, []
    held_out = (sample for sample in read(data, "validation") if sample.prompt)
    for sample in islice(held_out, samples):
        tokens = encoder.sample(sample)
        ids = torch.tensor([[*tokens.prompt, *tokens.output]])
        with torch.no_grad():
            logits = model(ids).logits[0, len(tokens.prompt) - 1 : -1]
        targets = ids[0, len(tokens.prompt) :]
        losses += float(torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum"))
        first += logits.argmax(-1).tolist()
    return _Choices(losses / max(1, len(first)), first)


def _open(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
        return model, AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"no model: {str(error).splitlines()[0]}", where=folder) from None


# ── the command ───────────────────────────────────────────────────────────────────────────────────


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    args = _parser().parse_args(arguments)
    settings = Settings(
        args.corpora,
        args.out,
        args.benchmarks or args.corpora,
        tuple(shlex.split(args.build)),
        _changes(args.base_set),
        _changes(args.set),
        args.limit,
        args.processes,
    )
    try:
        return run(settings)
    except CoalmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on where it was", file=sys.stderr)
        return 130


def _changes(pairs: Sequence[str]) -> tuple[str, ...]:
    return tuple(text for pair in pairs for text in ("--set", pair))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m coalm.nano",
        description="Train coalm-nano from raw corpora and score it; goes on where it was.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--corpora", type=Path, required=True, help="folder with snips, sgd … as folders or zips"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/nano"))
    parser.add_argument("--benchmarks", type=Path, help="folder with the test sets; default: the corpora's")
    parser.add_argument("--build", default="", metavar="ARGUMENTS", help="more arguments of `coalm data build`")
    parser.add_argument(
        "--base-set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of nano-base"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of nano"
    )
    parser.add_argument("--limit", type=int, help="items of each benchmark")
    parser.add_argument("--processes", type=int, default=1, help="that train together, on CPUs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
