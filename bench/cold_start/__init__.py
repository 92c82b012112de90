"""What a call at zero waits for, by phase, on the local cluster: `python -m bench.cold_start`."""
