"""How far each precision of the shipped law is from its fp32 baseline, beside published figures: `python -m bench.quality`."""
