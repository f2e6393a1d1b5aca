"""Corpora, one file each: `load(root, split)` yields dialogues and does nothing else.

`root` is the folder that holds all corpora, or the corpus' own folder or zip.
"""
