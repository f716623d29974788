"""Directions in latent space that nobody named: found, and named by what they move."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
