"""The probes that ship, found by entry point like those of any other package.

from dcgan_probe import probes

dir(probes)                     # their names
probes.sample.run(session, 4)   # imported when it is asked for
"""

import pkgutil

import lazy_loader  # type: ignore[import-untyped]

_names = [module.name for module in pkgutil.iter_modules(__path__)]
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=_names)
