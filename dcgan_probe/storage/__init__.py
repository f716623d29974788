"""Files: written whole or not at all, hashed, and JSON whose values know their place."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
