"""Distances between image sets, nearest neighbours, discriminator features, linear SVMs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
