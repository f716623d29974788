"""Checkpoints: the native format, readers of other formats, and what ships."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
