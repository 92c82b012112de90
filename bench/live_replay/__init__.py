"""Recorded arrivals on real processes beside the simulator, and the seconds of a wake: `python -m bench.live_replay`, `-m bench.live_replay.wake`."""
