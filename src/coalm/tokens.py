"""The text that a model sees, as tokens: the same for training and for generation.

A model with a chat template gets one user message and the generation prompt; one without gets Alpaca blocks.
What carries loss is the output and the end token that the template closes a message with, nothing else. Plain
text, a sample without a prompt, stands behind the token that begins a text; where there is none, that ends one.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from coalm.dialogue import Prompt, Sample
from coalm.errors import MissingExtra, ModelError
from coalm.templates import write_conversation

ASSETS = Path(__file__).parent / "assets"
DEFAULT_TOKENIZER = ASSETS / "tokenizer.json"
NANO = ASSETS / "nano"
"""The model that comes with the package: `nano`, wherever a model is named."""

# A place where every tokenizer in use starts anew: behind a line break, before something visible.
_PIECE = re.compile(r"(?:[^\n]*\n)+?(?=\S)|.+\Z", re.DOTALL)
_PROBE = (
    "Hello [END]\n\nUser: it's 5 o'clock,\n  isn't it?\n1. f(a='b')\nSystem: {\"a\": [1]}\n\n\n```\n[]\n```"
)
_MARK = "\u2063mark\u2063"
_SPACE = "\n \t\n"


class Tokens(NamedTuple):
    """A training sample as ids; only `output` (its end token included) carries loss."""

    prompt: list[int]
    output: list[int]


class Frame(NamedTuple):
    """What a template puts around one user message and around the answer.

    `lead`: white space before the answer that is not part of the prompt, so that the model writes it (Mistral).
    `trims_user`, `trims_answer`: whether white space around them is cut off (Llama 3.1 does both).
    """

    head: str
    tail: str
    lead: str
    end: str
    trims_user: bool
    trims_answer: bool

    def prompt(self, text: str) -> str:
        return f"{self.head}{text.strip() if self.trims_user else text}{self.tail}"

    def answer(self, text: str) -> str:
        """What the model writes before the end token."""
        return self.lead + (text.strip() if self.trims_answer else text)


class Size(NamedTuple):
    """Tokens of a sample: `all` of them, and those that it shares with the sample before it, from its beginning
    (to the end of a line).
    """

    all: int
    shared: int


class Encoder:
    """Encodes prompts and samples with one tokenizer; lines that come again are looked up, not encoded again.

    `tokenizer` is a `transformers` tokenizer, or the `PlainTokenizer` of a `tokenizer.json`.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.name = str(getattr(tokenizer, "name_or_path", "")) or "tokenizer"
        self._frame = _chat_frame(tokenizer) if getattr(tokenizer, "chat_template", None) else None
        self._begin: list[int] = [] if self._frame else _begin_ids(tokenizer)
        self._piece = lru_cache(maxsize=1 << 17)(self._encode_whole)
        self._by_line = self._lines_are_independent()
        self._length = lru_cache(maxsize=1 << 17)(lambda piece: len(self._encode_whole(piece)))
        self._count_prompt = _PrefixCount(self._length)
        self._last: list[int] = []

    @classmethod
    def load(cls, name: str | Path | None = None) -> Encoder:
        """The tokenizer of a model (Hub id or folder), of a `tokenizer.json`, or our own where none is named.

        Raises:
            ModelError: there is no such tokenizer.
        """
        return cls(load_tokenizer(name))

    @property
    def end_id(self) -> int:
        """The token that ends an answer."""
        return self._encode_whole(self._end)[-1]

    @property
    def _end(self) -> str:
        return self._frame.end if self._frame else str(self.tokenizer.eos_token)

    def _answer(self, sample: Sample) -> str:
        return self._frame.answer(sample.output) if self._frame else sample.output

    def prompt(self, prompt: Prompt | str) -> list[int]:
        """Token ids of all that stands before the answer."""
        return self._begin + self.encode(self.prompt_text(prompt))

    def sample(self, sample: Sample) -> Tokens:
        """Token ids of a training sample. Prompt and output are encoded apart, as they are when generating."""
        if not sample.prompt:
            return Tokens(self._begin or [self.end_id], [*self.encode(sample.output), self.end_id])
        return Tokens(self.prompt(sample.as_prompt()), [*self.encode(self._answer(sample)), self.end_id])

    def count(self, sample: Sample) -> int:
        """Number of tokens of a training sample, prompt, output and end token together."""
        return self.measure(sample).all

    def measure(self, sample: Sample) -> Size:
        """Tokens of a training sample, and those of them that begin the sample measured before as well.

        What a prompt shares with the one before it is not counted again.
        """
        if self._by_line and sample.prompt:
            prompt, shared = self._count_prompt(self.prompt_text(sample.as_prompt()))
            output = sum(map(self._length, _PIECE.findall(self._answer(sample))))
            return Size(len(self._begin) + prompt + output + 1, shared and len(self._begin) + shared)
        ids, output_ids = self.sample(sample)
        shared = _shared_length(self._last, ids)
        self._last = ids
        return Size(len(ids) + len(output_ids), shared)

    def forget(self) -> None:
        """Let the next sample be measured as the first one."""
        self._count_prompt = _PrefixCount(self._length)
        self._last = []

    def __reduce__(self) -> tuple[type[Encoder], tuple[Any]]:
        return Encoder, (self.tokenizer,)

    def prompt_text(self, prompt: Prompt | str) -> str:
        """The prompt as text, special tokens included (but for the one that begins an Alpaca prompt)."""
        if isinstance(prompt, str):
            prompt = Prompt(messages=(("user", prompt),), alpaca=(prompt, ""))
        if prompt.text is not None:
            return prompt.text
        if self._frame is None:
            if prompt.tools:
                raise ModelError(f"{self.name} has no chat template for tools", hint="use --family chat-text")
            return alpaca_text(*(prompt.alpaca or ("\n\n".join(text for _, text in prompt.messages), "")))
        if len(prompt.messages) == 1 and prompt.messages[0][0] == "user" and not prompt.tools:
            return self._frame.prompt(prompt.messages[0][1])
        return write_conversation(
            prompt, lambda messages, tools: _apply_template(self.tokenizer, messages, True, tools), self.name
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, line by line where that is known to give the same."""
        if not self._by_line:
            return list(self._encode_whole(text))
        ids: list[int] = []
        for piece in _PIECE.findall(text):
            ids += self._piece(piece)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens included."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _encode_whole(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _lines_are_independent(self) -> bool:
        """Whether encoding line by line gives what encoding the whole gives, on a text with all the traps."""
        pieces = [token for piece in _PIECE.findall(_PROBE) for token in self._encode_whole(piece)]
        return pieces == list(self._encode_whole(_PROBE))


class _PrefixCount:
    """Counts texts piece by piece; remembers how far the last one had come at the end of each piece."""

    def __init__(self, length: Callable[[str], int]) -> None:
        self._length = length
        self._text = ""
        self._ends = [0]
        self._counts = [0]

    def __call__(self, text: str) -> tuple[int, int]:
        """Tokens of the text, and of what it shares with the last one."""
        # Where a piece ends depends on the characters before and behind that place, so both must be shared.
        shared = bisect_left(self._ends, _shared_length(self._text, text), lo=1)
        del self._ends[shared:], self._counts[shared:]
        known = self._counts[-1]
        for piece in _PIECE.finditer(text, self._ends[-1]):
            self._counts.append(self._counts[-1] + self._length(piece.group()))
            self._ends.append(piece.end())
        self._text = text
        return self._counts[-1], known


def _shared_length(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Length of the longest common prefix, by halving: slices compare far faster than items."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def alpaca_text(instruction: str, input: str) -> str:
    """The prompt for a model without a chat template: `### Instruction:`, `### Input:`, `### Output:`."""
    blocks = [("Instruction", instruction), ("Input", input)] if input else [("Instruction", instruction)]
    return "\n\n".join(f"### {name}:\n{text}" for name, text in blocks) + "\n\n### Output:\n"


class PlainTokenizer:
    """A `tokenizer.json` without `transformers`: no template; its end token is `<|end|>`."""

    eos_token = "<|end|>"

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        if not path.is_file():
            raise ModelError("no such tokenizer", where=path)
        self.name_or_path = path.name
        self._tokenizer = Tokenizer.from_file(str(path))
        self.eos_token_id: int | None = self._tokenizer.token_to_id(self.eos_token)

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        # One text at a time, but without offsets, which costs a quarter less than `encode`.
        return list(self._tokenizer.encode_batch_fast([text], add_special_tokens=add_special_tokens)[0].ids)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False, **_: Any) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))


def locate(name: str) -> str:
    """The folder or Hub id that a model's name stands for: itself, but for `nano`."""
    return str(NANO) if name == "nano" else name


def load_tokenizer(name: str | Path | None = None) -> Any:
    """The tokenizer of a model (Hub id or folder); a plain one for a `tokenizer.json`, or ours for None.

    Raises:
        ModelError: there is no such tokenizer.
        MissingExtra: `transformers` is not installed.
    """
    if name is None or Path(name).suffix == ".json":
        return PlainTokenizer(DEFAULT_TOKENIZER if name is None else Path(name))
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError:
        raise MissingExtra("transformers", extra="train") from None
    try:
        return AutoTokenizer.from_pretrained(locate(str(name)))
    except (OSError, ValueError) as error:
        hint = "give a model folder, a Hub id, or a tokenizer.json"
        raise ModelError(f"no tokenizer at `{name}`: {str(error).splitlines()[0]}", hint=hint) from None


def _chat_frame(tokenizer: Any) -> Frame:
    """What the tokenizer's chat template puts around contents, found with marked ones.

    Raises:
        ModelError: the template changes what it is given, so that loss would fall on the wrong tokens.
    """
    user, answer = f"{_MARK}user", f"{_MARK}answer"
    before, whole = _exchange(tokenizer, user, answer)
    head, found, tail = before.partition(user)
    lead, answered, rest = whole.removeprefix(before).partition(answer)
    special = [token for token in _special_tokens(tokenizer) if rest.startswith(token)]
    end = max(special, key=len, default=str(tokenizer.eos_token))
    # The same again with white space around both, which some templates cut off.
    wide_user, wide_answer = f"{_SPACE}{user}{_SPACE}", f"{_SPACE}{answer}{_SPACE}"
    wide_before, wide_whole = _exchange(tokenizer, wide_user, wide_answer)
    frame = Frame(head, tail, lead, end, wide_user not in wide_before, wide_answer not in wide_whole)
    known = found and answered and not lead.strip() and whole.startswith(before)
    as_found = frame.prompt(wide_user) == wide_before
    if not (known and as_found and wide_whole.startswith(wide_before + frame.answer(wide_answer))):
        raise ModelError(
            f"the chat template of {getattr(tokenizer, 'name_or_path', 'this model')} rewrites messages",
            hint="mend its handling of the last assistant message, or remove it: Alpaca blocks are used then",
        )
    return frame


def _exchange(tokenizer: Any, user: str, answer: str) -> tuple[str, str]:
    """A user message with the generation prompt, and with its answer."""
    messages = [{"role": "user", "content": user}]
    before = _apply_template(tokenizer, messages, generation=True)
    messages.append({"role": "assistant", "content": answer})
    return before, _apply_template(tokenizer, messages, generation=False)


def _special_tokens(tokenizer: Any) -> set[str]:
    """All of them: those with a role, and those that are only marked as special (Llama 3's `<|eot_id|>`)."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)}


def _apply_template(
    tokenizer: Any, messages: list[dict[str, Any]], generation: bool, tools: list[dict[str, Any]] | None = None
) -> str:
    text = tokenizer.apply_chat_template(
        messages,
        tools=tools,
        tokenize=False,
        add_generation_prompt=generation,
        date_string="26 Jul 2024",  # Llama 3's own default; without it some templates put today's date in
    )
    return str(text)


def _begin_ids(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before every text (Llama's begin token), if anything."""
    ids = list(tokenizer.encode("", add_special_tokens=True))
    return [token for token in ids if token != tokenizer.eos_token_id]
