"""Turn audio into a dataset of tokens: python jobs/tokenize.py SOURCE... --output URL."""

import sys
from pathlib import Path

# This folder comes first on sys.path, and this file would hide the standard module `tokenize`.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from tokenize_pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main(["tokenize", *sys.argv[1:]]))
