"""Pure decisions of the gateway: no I/O, no clock, no Envoy. Time comes in as an argument."""
