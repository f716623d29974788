"""The names of the spaces in which images are compared."""

PIXELS, FEATURES = SPACES = ("pixels", "features")
