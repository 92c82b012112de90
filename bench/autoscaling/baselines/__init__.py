"""Other autoscalers, written anew from their published formulas; each file names its source, each has a table of cases."""
