"""Add and subtract concepts in latent space: smiling woman - neutral woman + neutral man."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
