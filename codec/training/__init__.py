"""Training: an EnCodec from a folder of audio, on whatever machine is at hand."""
