"""Pure decisions of the control plane: no clients, no clock, no environment."""
