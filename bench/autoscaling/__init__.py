"""The autoscaler on recorded traffic, beside everybody else: `python -m bench.autoscaling`."""
