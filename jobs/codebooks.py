"""Look at the codebooks of a codec over audio: python jobs/codebooks.py CODEC AUDIO..."""

import sys
from pathlib import Path

# This folder comes first on sys.path, and its tokenize.py would hide the standard module.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from tokenize_pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main(["codebooks", *sys.argv[1:]]))
