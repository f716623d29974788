"""The names of the interpolations in `latents.between`."""

WAYS = ("linear", "spherical")
