"""Bounding boxes on samples: read, check, write, and rasterise on the grid of a layer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
