"""How far samples are from held-out images, beside how far held-out images are from each other."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
