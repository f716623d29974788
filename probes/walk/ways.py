"""The ways from one latent to the next, as `latents.between` names them."""

WAYS = ("linear", "spherical")
