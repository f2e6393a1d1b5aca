"""Make the demo's corpora and benchmark sets: `python scripts/make_demo.py`.

Everything in them is written for this repository, in the layouts of the corpora's owners; no sentence, venue or
row comes from any of these. The same script makes the same bytes.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from demo import apibank, bfcl, multiwoz, sgd, snips, toolace, xlam

DEMO = Path(__file__).resolve().parents[1] / "src" / "coalm" / "demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEMO, help="folder for corpora/ and benchmarks/")
    make(parser.parse_args().out)


def make(out: Path) -> None:
    """Write `corpora/` and `benchmarks/` under `out` anew."""
    corpora, benchmarks = out / "corpora", out / "benchmarks"
    for folder in (corpora, benchmarks):
        shutil.rmtree(folder, ignore_errors=True)
    snips.write_corpus(corpora / "snips")
    sgd.write_corpus(corpora / "sgd")
    xlam.write_corpus(corpora / "function_calling" / "xlam_format")
    toolace.write_corpus(corpora / "function_calling" / "toolace_format")
    multiwoz.write_benchmark(benchmarks / "multiwoz_2.4")
    apibank.write_benchmark(benchmarks / "api_bank" / "hammer_format")
    bfcl.write_benchmark(benchmarks / "bfcl_v3" / "data")


if __name__ == "__main__":
    main()
