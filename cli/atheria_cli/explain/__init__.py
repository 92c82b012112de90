"""Why a model is as it is: its number of pods, whether it answers calls, what its weights are kept as."""
