"""How calls move from one revision to the next: strategies, gates, analysis, return. The plan and the status ask it."""
