"""The command line `ensemble-1d`: from a table to a model, its answers, its C header and its report."""
