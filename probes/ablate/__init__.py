"""Drop, scale, replace or insert filters of the generator, everywhere or in a region."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
