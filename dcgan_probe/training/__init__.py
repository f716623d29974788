"""Training a DCGAN as the paper does."""
