"""One held call as a picture: its trace through real Envoy, activator and model server. `python -m bench.traces`."""
