"""Train a codec, or fit its codebooks: python jobs/train_codec.py AUDIO... --output FOLDER.

python jobs/train_codec.py speech music --shares 0.8 0.2 --output tiny --checkpoint tiny.ckpt
torchrun --nproc-per-node 8 jobs/train_codec.py audio --output big --checkpoint big.ckpt ...
"""

import sys
from pathlib import Path

# This folder comes first on sys.path, and its tokenize.py would hide the standard module.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from tokenize_pipeline.codec_training.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
