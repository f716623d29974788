"""The names of the methods; separate, because the command line must not import torch."""

WAYS = ("pca", "sefa", "regression")
