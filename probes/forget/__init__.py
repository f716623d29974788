"""Make a generator forget an object: find the filters that draw it from boxes, and drop them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
