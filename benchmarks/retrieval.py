"""How many of the tools that a request needs are among the few that are found for it, and how fast.

    python benchmarks/retrieval.py --corpora DIR            # Seal-Tools' 4,076 APIs; API-Bank level 2
    python benchmarks/retrieval.py --quick --json

DIR holds function_calling (seal_tools_*.jsonl) and api_bank, as folders or zips. Each measure is a share of
requests: those for which all tools that are needed stand among the first 5, 10 or 20. Beside our retriever runs
stock BM25 (bm25s as it comes) over name and description, on the same requests. The constants of the retriever
were chosen on the development requests; neither test set, nor API-Bank, was looked at for that.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bm25s

from coalm.dialogue import Tool
from coalm.files import Tree, open_tree
from coalm.retrieval import Retriever

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "data"
DEPTHS = (5, 10, 20)
SETS = {"development": "dev", "test, fields seen": "test_in_domain", "test, fields new": "test_out_domain"}

Search = Callable[[str, int], Sequence[str]]
Query = tuple[str, frozenset[str]]
"""A request, and the names of the tools that it needs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--corpora", type=Path, default=CORPORA, help="folder with function_calling and api_bank"
    )
    parser.add_argument("--quick", action="store_true", help="every tenth request only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    figures = [
        row for tools, sets in read_all(args.corpora) for row in measure(tools, sets, 10 if args.quick else 1)
    ]
    print(json.dumps(figures) if args.json else describe(figures))


def read_all(corpora: Path) -> Iterator[tuple[list[Tool], dict[str, list[Query]]]]:
    """Each corpus: its tools, and its requests by set and kind."""
    tree = open_tree(corpora, ["function_calling"], holding="seal_tools_tool.jsonl")
    tools = [
        Tool(row["api_name"], row["api_description"], {"type": "object", "properties": row["parameters"]})
        for row in read_lines(tree, "seal_tools_tool.jsonl")
    ]
    sets: dict[str, list[Query]] = {}
    for title, name in SETS.items():
        for row in read_lines(tree, f"seal_tools_{name}.jsonl"):
            needed = frozenset(call["api"] for call in row["calling"])
            kind = "one call" if len(needed) == 1 else "several calls"
            sets.setdefault(f"Seal-Tools {title}, {kind}", []).append((row["query"], needed))
    yield tools, sets
    yield read_apibank(open_tree(corpora, ["api_bank"], holding="apibank_l2.json"))


def read_lines(tree: Tree, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tree.read_bytes(tree.find(name)).decode("utf-8").splitlines() if line]


def read_apibank(tree: Tree) -> tuple[list[Tool], dict[str, list[Query]]]:
    """API-Bank's APIs, and the distinct requests of level 2: keywords of its tool searches, what users said."""
    items = {level: tree.read_json(tree.find(f"apibank_{level}.json")) for level in ("l1", "l2")}
    rows = {tool["name"]: tool for level in items.values() for item in level for tool in item["tools"]}
    tools = [
        Tool(name, row["description"], {"type": "object", "properties": row["parameters"] or {}})
        for name, row in sorted(rows.items())
        if name != "ToolSearcher"
    ]
    by_keywords, by_words = set(), set()
    for item in items["l2"]:
        answer = item["answers"][0]["name"]
        # The token's API is wanted for its result, and asked for in nobody's words.
        if answer in ("ToolSearcher", "GetUserToken"):
            continue
        said = [message["content"] for message in item["query"] if message["role"] == "user"]
        by_words.add(("\n".join(said), frozenset([answer])))
        searched = [message["content"] for message in item["query"] if '"ToolSearcher"' in message["content"]]
        if searched:
            keywords = json.loads(searched[-1].strip("`"))[0]["arguments"]["keywords"]
            by_keywords.add((keywords, frozenset([answer])))
    sets = {"API-Bank L-2, keywords": by_keywords, "API-Bank L-2, user turns so far": by_words}
    return tools, {
        title: sorted(found, key=lambda one: (one[0], sorted(one[1]))) for title, found in sets.items()
    }


def measure(tools: list[Tool], sets: dict[str, list[Query]], step: int) -> Iterator[dict[str, Any]]:
    """Shares of requests by searcher, set and depth, and milliseconds a request."""
    retriever = Retriever(tools)
    searches: dict[str, Search] = {
        "stock BM25": stock_search(tools),
        "coalm": lambda text, count: [tool.name for tool in retriever.search(text, count)],
    }
    for title, queries in sets.items():
        for name, search in searches.items():
            yield {"set": title, "tools": len(tools), "search": name, **score(search, queries[::step])}


def score(search: Search, queries: Sequence[Query]) -> dict[str, Any]:
    search(queries[0][0], DEPTHS[-1])  # the first one pays for imports
    started = time.perf_counter()
    found = [search(text, DEPTHS[-1]) for text, _ in queries]
    seconds = time.perf_counter() - started
    shares = {
        f"all_at_{depth}": sum(
            needed <= set(names[:depth]) for names, (_, needed) in zip(found, queries, strict=True)
        )
        / len(queries)
        for depth in DEPTHS
    }
    return {"requests": len(queries), **shares, "milliseconds": 1000 * seconds / len(queries)}


def stock_search(tools: Sequence[Tool]) -> Search:
    """bm25s with its own tokenizer, stop words and constants, over name and description."""
    index = bm25s.BM25()
    texts = [f"{tool.name} {tool.description}" for tool in tools]
    index.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)

    def search(text: str, count: int) -> list[str]:
        words = bm25s.tokenize([text], return_ids=False, show_progress=False)
        places, _ = index.retrieve(words, k=min(count, len(tools)), show_progress=False)
        return [tools[place].name for place in places[0]]

    return search


def describe(figures: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"{'all needed tools among the first':<46} requests  search          5     10     20  ms a request"
    ]
    for one in figures:
        shares = "".join(f"{one[f'all_at_{depth}']:7.3f}" for depth in DEPTHS)
        lines.append(
            f"{one['set']:<46}{one['requests']:>9}  {one['search']:<11}{shares}{one['milliseconds']:>14.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
