"""The spaces in which images can be compared, by name."""

PIXELS, FEATURES = SPACES = ("pixels", "features")
