"""Latent vectors: reproducible sampling by seed and index, interpolation, concepts, file I/O."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
