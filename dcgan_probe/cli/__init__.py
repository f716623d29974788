"""The command line: a lazy, chained click group, and the built-in commands."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
