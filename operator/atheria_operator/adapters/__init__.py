"""Input and output behind the ports of `runtime.ports`."""
