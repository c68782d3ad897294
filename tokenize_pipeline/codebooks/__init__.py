"""Looking at the codebooks of a codec: how audio uses them, and how their entries lie."""
