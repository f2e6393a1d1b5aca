"""Train the tokenizer that ships with the package (`src/coalm/assets/tokenizer.json`).

    coalm data build --corpora CORPORA --sources snips,sgd --out runs/mixture --no-tokens
    python scripts/make_tokenizer.py runs/mixture --text seal_tools_as_xlam.json

A byte-level BPE of 16,384 entries over the distinct lines of a mixture and of further text files. It is for
tiny models, for counting tokens where no model is named, and for tests; models from the Hub bring their own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from coalm.mixture import read
from coalm.tokens import DEFAULT_TOKENIZER

SIZE = 16_384
SPECIAL = ["<|begin|>", "<|end|>", "<|pad|>"]

# How text is cut before merging: contractions, words with the character before them, numbers of up to three
# digits, punctuation with the line breaks behind it, white space. As Llama 3 does it.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"
    r"|\s+"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixture", type=Path, help="folder that `coalm data build` wrote")
    parser.add_argument("--text", type=Path, nargs="*", default=[], help="further text files")
    parser.add_argument("--out", type=Path, default=DEFAULT_TOKENIZER)
    args = parser.parse_args()
    lines = sorted(set(mixture_lines(args.mixture)) | set(text_lines(args.text)))
    write(train(lines), args.out)
    print(f"{args.out}: {len(lines):,} distinct lines, {args.out.stat().st_size:,} bytes")


def mixture_lines(folder: Path) -> Iterator[str]:
    for sample in read(folder):
        for text in (sample.instruction, sample.input, sample.output):
            yield from text.splitlines(keepends=True)


def text_lines(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        yield from file.read_text(encoding="utf-8").splitlines(keepends=True)


def train(lines: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, bytes_of])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", tokenizer.token_to_id("<|begin|>"))]
    )
    return tokenizer


def write(tokenizer: Tokenizer, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(tokenizer.to_str())
    path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
