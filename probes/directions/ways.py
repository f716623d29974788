"""The names of the ways to find directions: apart, for the command line needs no torch."""

WAYS = ("pca", "sefa", "regression")
