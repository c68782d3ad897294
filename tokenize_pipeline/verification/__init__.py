"""The parts of verification: what it checks, what it measures, what it finds and shows."""
