"""Move samples along the axis between two concepts: the paper's turning faces (figure 8)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
