"""The command line: `atheria`, and `kubectl atheria` when it is on PATH as a kubectl plugin."""
