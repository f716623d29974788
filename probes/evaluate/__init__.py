"""Measure how far samples are from held-out images, and held-out images from each other."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
