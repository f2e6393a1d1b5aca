"""What evaluating costs: scoring, the runner, local decoding and requests to a server.

    python benchmarks/evaluation.py --data DIR       # folder with the benchmarks' data, or their zips
    python benchmarks/evaluation.py --quick --json   # the demo's practice sets, few items

- `runner`: 10,000 items of one turn with a script for a model; milliseconds an item, and the memory that the
  last nine tenths of them add.
- `hf`: API-Bank prompts on a random Llama of 0.8M parameters, our batches against `generate` one by one; the
  texts of both are compared.
- `openai`: a server on this machine that answers in 50 ms, 64 requests in flight against one.
- `bfcl`: the key's own calls through the checker, all categories that are judged by looking at calls.
- `multi_turn`: the key's own calls of the multi-turn categories, in one process and in two.
- `multiwoz`: states and responses of the whole test set through all rules.

What needs data that is not there is left out. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coalm.benchmarks import BENCHMARKS, draw
from coalm.benchmarks.bfcl import check_row, check_rows
from coalm.benchmarks.episode import Benchmark, Episode, Item, Metric, Verdict, ratio
from coalm.benchmarks.runner import predict
from coalm.benchmarks.scoring import score_results, score_verdicts
from coalm.demo import DATA
from coalm.dialogue import Prompt, Request, Sample, Turn
from coalm.errors import MissingExtra
from coalm.families import family
from coalm.models import Job, Model, open_model

DELAY = 0.05
IN_FLIGHT = 64
ANSWER = 48
"""Tokens of an answer in `hf`."""
CALLED = ("simple", "multiple", "parallel", "parallel_multiple")
AST = {*CALLED, "java", "javascript", *(f"live_{name}" for name in CALLED)} | {
    *("irrelevance", "live_irrelevance", "live_relevance")
}
"""BFCL's categories that are judged by looking at calls."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="the benchmarks' data; default: the demo's")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the items")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    less = 20 if args.quick else 1
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {
            "runner": measure_runner(Path(folder), 10_000 // less),
            "hf": measure_hf(Path(folder) / "llama", args.data, 500 // less),
            "openai": measure_openai(1920 // less),
            "bfcl": measure_bfcl(args.data),
            "multi_turn": measure_multi_turn(args.data, 800 // less),
            "multiwoz": measure_multiwoz(args.data),
        }
    print(json.dumps(figures) if args.json else describe(figures))


# ── the runner ────────────────────────────────────────────────────────────────────────────────────


def ask_once(item: Item) -> Episode:
    reply = yield Request("act", (Turn("user", f"Where is {item.id}?"),))
    return {"said": reply.response}


def judge(item: Item, result: Any) -> list[Verdict]:
    right = bool(result["said"])
    return [Verdict(item.id, "", item.group, right, {"n": 1, "right": right})]


RIGHT = Metric("right", "Right", ratio("right", "n"))
SINGLE_TURNS = Benchmark("single", 1, lambda root: [], ask_once, judge, lambda groups: [RIGHT])


def measure_runner(folder: Path, count: int) -> dict[str, float]:
    """Time without, memory with, tracing; each in a folder of its own."""
    items = [Item(f"item {number}", "all", None) for number in range(count)]
    script = folder / "script.jsonl"
    rows = ({"item": item.id, "step": 0, "text": "Here."} for item in items)
    script.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    model = open_model(f"replay:{script}")
    started = time.perf_counter()
    predict(SINGLE_TURNS, items, model, family("plain"), folder / "timed")
    seconds = time.perf_counter() - started
    held: list[int] = []
    tracemalloc.start()

    def watch(done: int, total: int) -> None:
        if done in (count // 10, count):
            held.append(tracemalloc.get_traced_memory()[0])

    predict(SINGLE_TURNS, items, model, family("plain"), folder / "traced", progress=watch)
    tracemalloc.stop()
    return {
        "items": count,
        "ms_per_item": 1000 * seconds / count,
        "grown_bytes_per_item": (held[1] - held[0]) / (count * 9 // 10),
    }


# ── local models ──────────────────────────────────────────────────────────────────────────────────


def measure_hf(folder: Path, data: Path, count: int) -> dict[str, Any]:
    """Answers a second of our batches and of `generate` called for one prompt after the other."""
    jobs = api_bank_jobs(data, count)
    save_llama(folder, jobs)
    model: Any = open_model(f"hf:{folder}", dtype="float32", device="cpu")
    started = time.perf_counter()
    ours = {index: completion.text for index, completion in model.complete(jobs)}
    batched = time.perf_counter() - started
    started = time.perf_counter()
    one_by_one = [generate_alone(model, job) for job in jobs]
    alone = time.perf_counter() - started
    return {
        "items": len(jobs),
        "batched_per_second": len(jobs) / batched,
        "one_by_one_per_second": len(jobs) / alone,
        "ratio": alone / batched,
        "identical": sum(ours[index] == text for index, text in enumerate(one_by_one)) / len(jobs),
    }


def api_bank_jobs(data: Path, count: int) -> list[Job]:
    """The first prompts of API-Bank, the same again where there are fewer items."""
    benchmark, system = BENCHMARKS["apibank"], family("coalm")
    items = draw(benchmark.load(data), count)
    prompts = [system.render(next(benchmark.episode(item))) for item in items]
    return [Job(str(n), 0, prompts[n % len(prompts)], ANSWER) for n in range(count)]


def save_llama(folder: Path, jobs: Sequence[Job]) -> None:
    from coalm.training.base import open_base, open_tokenizer
    from coalm.training.recipe import Recipe, Scratch

    shape = Scratch(
        hidden_size=128, intermediate_size=256, layers=3, heads=4, kv_heads=2, context=8192, vocabulary=2000
    )
    recipe = Recipe(scratch=shape, method="full", dtype="float32")
    base = open_base(recipe, open_tokenizer(recipe, lambda: map(as_sample, jobs)), "cpu")
    base.save(folder)


def as_sample(job: Job) -> Sample:
    instruction, input = job.prompt.alpaca or ("", "")
    return Sample(instruction, input, "[]", "apibank", "LA", "call", job.item, 0)


def generate_alone(model: Any, job: Job) -> str:
    """What somebody would write who calls `transformers` for each prompt."""
    import torch

    encoder, llama = model.encoder, model.model
    ids = torch.tensor([encoder.prompt(job.prompt)])
    output = llama.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=job.max_tokens,
        do_sample=False,
        eos_token_id=model.end_ids(),
        pad_token_id=encoder.end_id,
    )
    text: str = encoder.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
    return text


# ── servers ───────────────────────────────────────────────────────────────────────────────────────


def measure_openai(count: int) -> dict[str, float]:
    """Answers a second with many requests in flight and with one, from a server in a process of its own."""
    port: Any = multiprocessing.Value("i", 0)
    server = multiprocessing.get_context("fork").Process(target=serve, args=(port,), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.01)
    try:
        rates = {
            flying: answers_per_second(f"openai:m@http://127.0.0.1:{port.value}/v1", flying, requests)
            for flying, requests in ((1, max(count // 96, 10)), (IN_FLIGHT, count))
        }
    finally:
        server.terminate()
        server.join()
    return {
        "one_per_second": rates[1],
        "many_per_second": rates[IN_FLIGHT],
        "ratio": rates[IN_FLIGHT] / rates[1],
    }


def answers_per_second(spec: str, flying: int, count: int) -> float:
    model: Model = open_model(spec, concurrency=flying)
    jobs = [Job(str(n), 0, Prompt(messages=(("user", "hello"),)), 8) for n in range(count)]
    list(model.complete(jobs[:flying]))  # connections
    started = time.perf_counter()
    answered = sum(1 for _ in model.complete(jobs))
    return answered / (time.perf_counter() - started)


def serve(port: Any) -> None:
    body = json.dumps({"choices": [{"message": {"content": "hello"}}]}).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(length)
                await asyncio.sleep(DELAY)
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=256)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(run())


# ── scoring ───────────────────────────────────────────────────────────────────────────────────────


def measure_bfcl(data: Path) -> dict[str, float]:
    """The first right answer to every entry, checked and made into figures; loading apart."""
    benchmark = BENCHMARKS["bfcl"]
    started = time.perf_counter()
    items = [item for item in benchmark.load(data) if item.group in AST]
    loaded = time.perf_counter() - started
    known = {item.id: item for item in items}
    rows = [{"id": item.id, "category": item.group, "decoded_output": right_calls(item)} for item in items]
    started = time.perf_counter()
    verdicts = [check_row(row, known) for row in rows]
    checked = time.perf_counter() - started
    scores = score_verdicts(verdicts, benchmark.metrics(sorted({item.group for item in items})))
    seconds = time.perf_counter() - started
    right = sum(verdict.correct for verdict in scores.verdicts)
    times = {"load_seconds": loaded, "check_seconds": checked, "seconds": seconds}
    return {"rows": len(rows), "right": right, **times}


def right_calls(item: Item) -> Any:
    """Each parameter's first possible value; optional ones are left out."""
    return [
        {name: {key: first_value(values) for key, values in parameters.items() if "" not in values}}
        for call in item.data.answers
        for name, parameters in call.items()
    ]


def first_value(values: Sequence[Any]) -> Any:
    """The first alternative; inside an object, alternatives are listed again."""
    value = values[0] if values else None
    if isinstance(value, dict):
        return {key: first_value(inner) for key, inner in value.items() if isinstance(inner, list) and inner}
    return value


def measure_multi_turn(data: Path, count: int) -> dict[str, float] | None:
    """The key's own conversations, in one sandbox and in two; None without them or their environments."""
    items = [item for item in BENCHMARKS["bfcl"].load(data) if item.group.startswith("multi_turn")][:count]
    known = {item.id: item for item in items}
    rows = [
        {"id": item.id, "decoded_output": [[list(turn)] if turn else [] for turn in item.data.script.truth]}
        for item in items
    ]
    if not rows:
        return None
    seconds = {}
    for jobs in (1, 2):
        started = time.perf_counter()
        try:
            verdicts = check_rows(rows, known, jobs=jobs)
        except MissingExtra:
            return None
        seconds[jobs] = time.perf_counter() - started
    right = sum(verdict.correct for verdict in verdicts)
    return {"rows": len(rows), "right": right, "seconds_1": seconds[1], "seconds_2": seconds[2]} | {
        "ratio": seconds[1] / seconds[2]
    }


def measure_multiwoz(data: Path) -> dict[str, float]:
    """The corpus's own states and answers as predictions: JGA, Inform, Success and BLEU; loading apart."""
    benchmark = BENCHMARKS["multiwoz-end-to-end"]
    started = time.perf_counter()
    items = benchmark.load(data)
    loaded = time.perf_counter() - started
    results = {
        item.id: {"turns": [{"response": one.system, "state": one.state} for one in item.data.exchanges]}
        for item in items
    }
    started = time.perf_counter()
    scores = score_results(benchmark, items, results)
    seconds = time.perf_counter() - started
    return {"dialogues": scores.summary.items, "load_seconds": loaded, "seconds": seconds}


def describe(figures: dict[str, Any]) -> str:
    runner, hf, server, bfcl = (figures[name] for name in ("runner", "hf", "openai", "bfcl"))
    lines = [
        f"runner: {runner['ms_per_item']:.3f} ms an item; each adds {runner['grown_bytes_per_item']:.0f} bytes",
        f"hf: {hf['ratio']:.1f} x one by one ({hf['batched_per_second']:.1f} answers/s), "
        f"{hf['identical']:.1%} of the texts the same",
        f"openai: {server['ratio']:.1f} x one in flight ({server['many_per_second']:.0f} answers/s)",
        f"bfcl: {bfcl['rows']:,} rows in {bfcl['seconds']:.3f} s, {bfcl['right']:,} right; "
        f"loading {bfcl['load_seconds']:.3f} s",
    ]
    if one := figures["multi_turn"]:
        lines.append(
            f"multi-turn: {one['rows']:,} conversations in {one['seconds_1']:.1f} s, two at a time in "
            f"{one['seconds_2']:.1f} s ({one['ratio']:.2f} x), {one['right']:,} right"
        )
    one = figures["multiwoz"]
    loading = f"loading {one['load_seconds']:.1f} s"
    lines.append(f"multiwoz: {one['dialogues']:,} dialogues in {one['seconds']:.1f} s; {loading}")
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
