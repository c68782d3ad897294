"""Our EnCodec timed against the one of transformers: same weights, audio, threads and process.

    settings -> recordings, weights -> contestants -> rounds -> rows -> tables, JSON

`command.py` is where it starts; `run.py` says what is done in which order. What makes it fair:

- Contestants take turns, round after round, and each ratio is taken within a round.
- Transformers runs at the best of several batch sizes, on recordings sorted by length and padded
  before the clock starts. Ours takes the recordings in the order they come.
- Recordings come from the memory of the CPU, and codes and audio end there.
- Nothing differs but the program: transformers, one recording at a time, gives our codes.
"""
