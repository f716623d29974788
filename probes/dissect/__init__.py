"""Dissect a layer: which filters look like an object, and which of them cause it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
