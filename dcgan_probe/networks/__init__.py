"""The DCGAN: its configuration, the networks, and tracing of networks of any other kind."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
