"""Files: atomic writes, hashes, and JSON values that know their place in a file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
