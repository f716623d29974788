"""Edits of feature maps: selections of filters, and tails that share the work of many edits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
