"""dcgan-probe: open a trained DCGAN, see what its filters learned, prove what they cause, edit it.

    import dcgan_probe as dp
    from dcgan_probe.probes import forget

    session = dp.Session.open("rooms", seed=3)
    result = forget.run(session, dp.Boxes.read("windows.json"), label="window")
    result.save("out/forget")

Packages and the names in ``__init__.pyi`` are imported on first use: ``import dcgan_probe`` does
not import torch.
"""

import os
from typing import Any

import lazy_loader

# OpenCV reads these once, when it is loaded: a larger picture is refused by its header, before
# memory is taken, and what does not decode is reported by this package and not on stderr.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

_lazy, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Where modules are that notebooks of 0.1 found here; until the next release.
_MOVED = {
    "classifiers": "recognition.classifiers",
    "concepts": "latents.concepts",
    "decoding": "images.decoding",
    "features": "metrics.features",
    "sources": "images.sources",
    "svm": "metrics.svm",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("dcgan-probe")
    if name in _MOVED:
        import importlib
        import warnings

        place = f"{__name__}.{_MOVED[name]}"
        warnings.warn(f"dcgan_probe.{name} is now {place}", DeprecationWarning, stacklevel=2)
        return importlib.import_module(place)
    return _lazy(name)
