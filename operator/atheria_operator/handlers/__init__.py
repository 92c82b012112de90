"""The kopf side: which events wake which loop."""
