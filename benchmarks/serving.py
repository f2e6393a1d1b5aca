"""What serving gives and costs: many conversations at once against one after the other, and the server itself.

    python benchmarks/serving.py [--quick] [--json]

*Throughput.* 32 conversations of two turns with the same tools, streamed over HTTP, against `generate` of
`transformers` on the same prompts one by one, in the same run: a Llama of about 7M parameters with random
weights, float32, answers of 64 tokens. `ratio` is tokens a second through the server over tokens a second one
by one; the answers are compared too (`same`). Server, clients and model share the machine's cores.

*Overhead.* A replayed model answers at once, so what a request takes is the server: the median over one kept
connection, and requests a second over 8 of them, for a minute (ten seconds with `--quick`), while the server's
memory is watched from the first second on. Clients run on the same cores.
Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from coalm.families import family
from coalm.serving.protocol import read_ask
from coalm.serving.stream import make_task
from coalm.tokens import DEFAULT_TOKENIZER, Encoder

CONVERSATIONS, TURNS, TOKENS = 32, 2, 64
CONNECTIONS = 8
CITIES = ("Graz", "Linz", "Wels", "Bern", "Chur", "Brig", "Genoa", "Turin")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten seconds of load instead of a minute")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        throughput = measure_throughput(Path(folder))
        overhead = measure_overhead(Path(folder), 10 if args.quick else 60)
    figures = {"throughput": throughput, "overhead": overhead, "cores": os.cpu_count()}
    print(json.dumps(figures) if args.json else describe(figures))


# ── throughput ────────────────────────────────────────────────────────────────────────────────────


class Answered(NamedTuple):
    """One streamed answer: its text and tokens, and seconds to the first of them."""

    text: str
    prompt_tokens: int
    tokens: int
    first: float


def measure_throughput(folder: Path) -> dict[str, Any]:
    """Figures of 32 conversations at once, and of the same prompts one by one."""
    model = save_model(folder / "model")
    with serving(folder, str(model), "--max-tokens", str(TOKENS)) as port:
        talk(port, 999)  # warm up
        started = time.perf_counter()
        with ThreadPoolExecutor(CONVERSATIONS) as pool:
            talks = list(pool.map(lambda number: talk(port, number), range(CONVERSATIONS)))
        seconds = time.perf_counter() - started
    answers = [answer for said in talks for answer in said]
    tokens = sum(answer.tokens for answer in answers)
    firsts = sorted(answer.first for answer in answers)
    alone_tokens, alone_seconds, texts = generate_alone(model, talks)
    ours, plain = tokens / seconds, alone_tokens / alone_seconds
    return {
        "conversations": CONVERSATIONS,
        "answers": len(answers),
        "prompt_tokens": statistics.mean(answer.prompt_tokens for answer in answers),
        "tokens_per_second": ours,
        "one_by_one_tokens_per_second": plain,
        "ratio": ours / plain,
        "first_token_p50_ms": 1000 * firsts[len(firsts) // 2],
        "first_token_p95_ms": 1000 * firsts[int(0.95 * len(firsts))],
        "same": sum(text == answer.text for text, answer in zip(texts, answers, strict=True)) / len(answers),
    }


def save_model(folder: Path) -> Path:
    """A Llama of about 7M parameters, by chance, with our tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(DEFAULT_TOKENIZER), eos_token="<|end|>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tools() -> list[dict[str, Any]]:
    """Twelve tools, as an assistant for travellers may have."""
    found = []
    for kind in ("Bus", "Train", "Hotel", "Room", "Flight", "Car"):
        for verb, names in (
            ("Find", ("city", "date", "people")),
            ("Reserve", ("city", "date", "name", "payment")),
        ):
            properties = {name: {"type": "string", "description": f"The {name}."} for name in names}
            parameters = {"type": "object", "properties": properties, "required": list(names[:2])}
            function = {"name": f"{verb}{kind}", "description": f"{verb} a {kind}.", "parameters": parameters}
            found.append({"type": "function", "function": function})
    return found


def messages_of(number: int, answers: list[str]) -> list[dict[str, str]]:
    """The conversation so far: what a user says in turn, and what was answered."""
    city = CITIES[number % len(CITIES)]
    said = [
        f"I travel to {city} on the {number % 28 + 1}th and need a hotel for {number % 5 + 1} people.",
        f"And a train there that arrives before {number % 12 + 8}, please.",
    ]
    messages = []
    for turn, text in enumerate(said[: len(answers) + 1]):
        messages.append({"role": "user", "content": text})
        if turn < len(answers):
            messages.append({"role": "assistant", "content": answers[turn]})
    return messages


def talk(port: int, number: int) -> list[Answered]:
    """One conversation over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    answers: list[Answered] = []
    for _ in range(TURNS):
        body = {
            "messages": messages_of(number, [answer.text for answer in answers]),
            "tools": tools(),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        answers.append(ask_streamed(connection, body))
    connection.close()
    return answers


def ask_streamed(connection: http.client.HTTPConnection, body: dict[str, Any]) -> Answered:
    started = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"{response.status}: {response.read()!r}")
    text, first, usage = "", 0.0, {}
    while line := response.readline():
        if not line.startswith(b"data: {"):
            continue
        first = first or time.perf_counter() - started  # an answer's head is sent with its first token
        row = json.loads(line[6:])
        for choice in row["choices"]:
            text += choice["delta"].get("content") or ""
        usage = row["usage"] or usage
    return Answered(text, usage["prompt_tokens"], usage["completion_tokens"], first)


def generate_alone(folder: Path, talks: list[list[Answered]]) -> tuple[int, float, list[str]]:
    """Tokens, seconds and texts of `generate` on the same prompts, one by one."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    encoder = Encoder.load(folder)
    prompts = []
    for number, said in enumerate(talks):
        for turn in range(TURNS):
            body = {"messages": messages_of(number, [a.text for a in said[:turn]]), "tools": tools()}
            prompts.append(encoder.prompt(make_task(read_ask(body), family("coalm")).prompt))
    tokens, texts = 0, []
    started = time.perf_counter()
    with torch.inference_mode():
        for prompt in prompts:
            ids = torch.tensor([prompt])
            settings = {"max_new_tokens": TOKENS, "do_sample": False, "pad_token_id": encoder.end_id}
            written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **settings)[
                0, len(prompt) :
            ]
            tokens += len(written)
            texts.append(encoder.tokenizer.decode(written, skip_special_tokens=True))
    return tokens, time.perf_counter() - started, texts


# ── overhead ──────────────────────────────────────────────────────────────────────────────────────


def measure_overhead(folder: Path, seconds: float) -> dict[str, Any]:
    """What a request takes beside the model, how many a second there can be, and what they leave in memory."""
    script = folder / "script.jsonl"
    text = "Thought: The user wants a hotel.\nAction: FindHotel(city='Graz', date='1st', people='2')"
    script.write_text(json.dumps({"item": "chat", "step": 0, "text": text}) + "\n")
    body = json.dumps({"messages": messages_of(1, []), "tools": tools()}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with serving(folder, f"replay:{script}") as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            took = [ask_once(connection, request) for _ in range(500)][100:]
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            stop = threading.Event()
            counts = [0] * CONNECTIONS
            workers = [pool.submit(hammer, port, request, counts, place, stop) for place in range(CONNECTIONS)]
            time.sleep(1.0)
            before, memory, started = sum(counts), resident(port), time.perf_counter()
            time.sleep(seconds)
            done, passed = sum(counts) - before, time.perf_counter() - started
            after = resident(port)
            stop.set()
            for worker in workers:
                worker.result()
    return {
        "median_ms": 1000 * statistics.median(took),
        "p95_ms": 1000 * sorted(took)[int(0.95 * len(took))],
        "requests_per_second": done / passed,
        "seconds": passed,
        "memory_start_mb": memory / 1e6,
        "memory_growth_mb": (after - memory) / 1e6,
    }


def ask_once(connection: socket.socket, request: bytes) -> float:
    """Seconds from sending a request to having its whole answer."""
    started = time.perf_counter()
    connection.sendall(request)
    found = connection.recv(1 << 16)
    while b"\r\n\r\n" not in found:
        found += connection.recv(1 << 16)
    head, _, rest = found.partition(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0]:
        raise SystemExit(found.decode())
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(1 << 16)
    return time.perf_counter() - started


def hammer(port: int, request: bytes, counts: list[int], place: int, stop: threading.Event) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while not stop.is_set():
            ask_once(connection, request)
            counts[place] += 1


# ── the server ────────────────────────────────────────────────────────────────────────────────────

_processes: dict[int, int] = {}


@contextmanager
def serving(folder: Path, model: str, *arguments: str) -> Iterator[int]:
    """`coalm serve MODEL` as a process; its port."""
    log = folder / "serve.log"
    command = [
        sys.executable,
        "-m",
        "coalm",
        "serve",
        model,
        "--port",
        "0",
        "--family",
        "coalm",
        *arguments,
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream)
    try:
        port = wait_for_port(process, log)
        _processes[port] = process.pid
        yield port
    finally:
        process.terminate()
        process.wait(60)


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                return urlsplit(json.loads(line)["url"]).port or 0
        time.sleep(0.05)
    raise SystemExit(log.read_text())


def resident(port: int) -> float:
    """Bytes of memory that the server on this port holds."""
    import psutil

    return float(psutil.Process(_processes[port]).memory_info().rss)


def describe(figures: dict[str, Any]) -> str:
    gain, cost = figures["throughput"], figures["overhead"]
    speeds = f"{gain['tokens_per_second']:.0f} tokens/s; one by one {gain['one_by_one_tokens_per_second']:.0f}"
    firsts = f"median {gain['first_token_p50_ms']:.0f} ms, 95 % {gain['first_token_p95_ms']:.0f} ms"
    memory = f"memory {cost['memory_start_mb']:.0f} MB {cost['memory_growth_mb']:+.1f} MB"
    return "\n".join(
        [
            f"{gain['conversations']} conversations at once, {figures['cores']} cores",
            f"  {speeds}: {gain['ratio']:.1f} x",
            f"  first token: {firsts}",
            f"  {100 * gain['same']:.0f} % of the answers are the same",
            "the server alone",
            f"  {cost['median_ms']:.2f} ms a request (median), 95 % {cost['p95_ms']:.2f} ms",
            f"  {cost['requests_per_second']:.0f} requests/s for {cost['seconds']:.0f} s, {memory}",
        ]
    )


if __name__ == "__main__":
    main()
