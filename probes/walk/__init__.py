"""Interpolate in latent space: do images change smoothly, or jump (section 6.1)?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
