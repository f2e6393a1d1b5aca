"""How fast a model on this machine answers one person, beside `transformers` as it comes.

    python benchmarks/decoding.py                     # nano at the travel desk
    python benchmarks/decoding.py --model hf:FOLDER --json

The prompts are those of an agent at the travel desk: instruction, ten tools, the first words of a guest.
`stream` is asked as `coalm chat` and `coalm serve` ask it: what prompts begin with was computed for the guest
before. The peer is `generate` of the same model, with its own cache, on the same prompts. Both write to the end
of the answer, the same tokens.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from coalm.agent.desk import Desk
from coalm.dialogue import Prompt, Request, Turn
from coalm.families import family, pick
from coalm.models import Job, open_model
from coalm.models.hf import HuggingFaceModel

GUESTS = (
    "I am looking for an Italian restaurant in the centre.",
    "Is there a cheap hotel in the north with parking?",
    "I need a train from Aldermere to Castlemoor tomorrow.",
    "Please book a table at Il Cortile for four people on Friday at 19:00.",
    "What museums are there in the west of the city?",
    "I would like a taxi from the Guildhall Arms to the station at 18:45.",
)
MAX_TOKENS = 96


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano", help="nano, hf:FOLDER_OR_HUB_ID or a folder")
    parser.add_argument("--rounds", type=int, default=5, help="how often each guest asks")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    figures = measure(args.model, args.rounds)
    print(json.dumps(figures) if args.json else describe(figures))


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Tokens a second and seconds to the first token: those of `stream`, and of `generate`."""
    model = open_model(name)
    assert isinstance(model, HuggingFaceModel)
    jobs = [Job(guest, 0, prompt, MAX_TOKENS) for guest, prompt in zip(GUESTS, prompts(name), strict=True)]
    first: list[float] = []
    ours = [[ask(model, job, first) for job in jobs] for _ in range(rounds + 1)][1:]  # the first warms up
    theirs = [[generate(model, job) for job in jobs] for _ in range(rounds + 1)][1:]
    tokens = [len(text) for text, _ in theirs[0]]
    pairs = zip(ours[0], theirs[0], strict=True)
    same = sum(text == model.decode(ids) for (text, _), (ids, _) in pairs)
    speeds = {
        who: statistics.median(sum(tokens) / sum(seconds for _, seconds in round) for round in answers)
        for who, answers in (("stream", ours), ("generate", theirs))
    }
    return {
        "model": model.name,
        "parameters": sum(weight.numel() for weight in model.model.parameters()),
        "threads": torch.get_num_threads(),
        "prompt_tokens": statistics.median(len(model.encoder.prompt(job.prompt)) for job in jobs),
        "tokens_per_second": {who: round(speed, 1) for who, speed in speeds.items()},
        "ratio": round(speeds["stream"] / speeds["generate"], 2),
        "first_token_ms": {
            "median": round(1000 * statistics.median(first[len(jobs) :]), 1),
            "worst": round(1000 * max(first[len(jobs) :]), 1),
        },
        "same_answers": f"{same} of {len(jobs)}",
    }


def prompts(name: str) -> list[Prompt]:
    """What an agent at the desk asks its model for, behind each guest's first words."""
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder) / "desk.db")
        tools = tuple(tool.tool for tool in desk.tools())
        context = Turn("system", desk.context())
    render = family(pick(name)).render
    return [render(Request("act", (context, Turn("user", guest)), tools)) for guest in GUESTS]


def ask(model: HuggingFaceModel, job: Job, first: list[float]) -> tuple[str, float]:
    """An answer as it streams, and its seconds; those to its first piece go into `first`."""
    started = time.perf_counter()
    pieces: list[str] = []
    for piece in model.stream(job):
        if not pieces:
            first.append(time.perf_counter() - started)
        pieces.append(piece)
    return "".join(pieces), time.perf_counter() - started


def generate(model: HuggingFaceModel, job: Job) -> tuple[list[int], float]:
    """The tokens that `transformers` writes, without the end, and its seconds."""
    started = time.perf_counter()
    ids = torch.tensor([model.encoder.prompt(job.prompt)])
    with torch.inference_mode():
        output = model.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=job.max_tokens,
            do_sample=False,
            eos_token_id=model.end_ids(),
            pad_token_id=model.encoder.end_id,
        )
    written: list[int] = output[0, ids.shape[1] :].tolist()
    ends = set(model.end_ids())
    return [token for token in written if token not in ends], time.perf_counter() - started


def describe(figures: dict[str, Any]) -> str:
    speed, first = figures["tokens_per_second"], figures["first_token_ms"]
    return "\n".join(
        (
            f"{figures['model']}: {figures['parameters']:,} parameters, {figures['threads']} threads",
            f"prompt tokens      {figures['prompt_tokens']}",
            f"tokens a second    {speed['stream']} against {speed['generate']}: {figures['ratio']} x",
            f"first token        {first['median']} ms, {first['worst']} ms at worst",
            f"same answers       {figures['same_answers']}",
        )
    )


if __name__ == "__main__":
    main()
