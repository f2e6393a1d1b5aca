"""Fine-tuning on a mixture: samples become rows, rows become tries, tries become steps.

recipe.py       what to do: one frozen dataclass, one YAML
base.py         the model to start from, and the parameters that learn
scratch.py      a small Llama and its own tokenizer
data.py         a mixture as rows of token ids on disk, and the order in which they are seen
trie.py         rows laid out so that shared prefixes are computed once (lists only)
collate.py      a trie as tensors, its loss
attention.py    attention over a trie
forward.py      a model asked about a trie: logits, loss, and which attention it can take
trainer.py      the loop, its metrics and evaluation
checkpoints.py  what a run needs to go on as if it had never stopped
display.py      the progress line
"""
