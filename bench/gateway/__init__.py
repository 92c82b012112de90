"""What the gateway costs a warm call: a pod called directly, through a bare Envoy, and through the gateway, in turns.

`python -m bench.gateway`, `make bench-gateway`.
"""
