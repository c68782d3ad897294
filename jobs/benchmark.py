"""Times our EnCodec against the one of transformers: python jobs/benchmark.py [AUDIO...]."""

import sys
from pathlib import Path

# This folder comes first on sys.path, and its tokenize.py would hide the standard module.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from tokenize_pipeline.benchmark.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
