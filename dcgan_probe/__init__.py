"""dcgan-probe: open a trained DCGAN, see what its filters learned, prove what they cause, edit it.

    import dcgan_probe as dp
    from dcgan_probe.probes import forget

    session = dp.Session.open("rooms", seed=3)
    result = forget.run(session, dp.Boxes.read("windows.json"), label="window")
    result.save("out/forget")

Modules and the names below are imported when they are first used: ``import dcgan_probe`` costs no
torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcgan_probe import (
        attribution,
        boxes,
        cache,
        chain,
        checkpoints,
        classifiers,
        concepts,
        config,
        detectors,
        differences,
        edits,
        errors,
        exported,
        expressions,
        features,
        figures,
        files,
        foreign,
        hooks,
        hub,
        labelled,
        latents,
        metrics,
        model_card,
        modules,
        nearest,
        networks,
        plugins,
        results,
        saved,
        scan,
        session,
        sources,
        svm,
        tails,
        terminal,
        tracing,
        video,
        weights,
    )
    from dcgan_probe.attribution import GuidedBackprop
    from dcgan_probe.boxes import Box, Boxes
    from dcgan_probe.checkpoints import Checkpoint
    from dcgan_probe.concepts import Concepts
    from dcgan_probe.config import Config
    from dcgan_probe.edits import Selection
    from dcgan_probe.errors import InputError
    from dcgan_probe.networks import Discriminator, Generator
    from dcgan_probe.results import Result
    from dcgan_probe.saved import load_result
    from dcgan_probe.session import Session

    __version__: str

# OpenCV reads these once, when it is loaded: a larger picture is refused by its header, before
# memory is taken, and what does not decode is told by us and not on stderr.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

_NAMES = {
    "Box": "boxes",
    "Boxes": "boxes",
    "Checkpoint": "checkpoints",
    "Concepts": "concepts",
    "Config": "config",
    "Discriminator": "networks",
    "Generator": "networks",
    "GuidedBackprop": "attribution",
    "InputError": "errors",
    "Result": "results",
    "Selection": "edits",
    "Session": "session",
    "load_result": "saved",
}
_MODULES = (
    "attribution",
    "boxes",
    "cache",
    "chain",
    "checkpoints",
    "classifiers",
    "concepts",
    "config",
    "detectors",
    "differences",
    "edits",
    "errors",
    "exported",
    "expressions",
    "features",
    "figures",
    "files",
    "foreign",
    "hooks",
    "hub",
    "labelled",
    "latents",
    "metrics",
    "model_card",
    "modules",
    "nearest",
    "networks",
    "plugins",
    "results",
    "saved",
    "scan",
    "session",
    "sources",
    "svm",
    "tails",
    "terminal",
    "tracing",
    "video",
    "weights",
)

__all__ = [
    "Box",
    "Boxes",
    "Checkpoint",
    "Concepts",
    "Config",
    "Discriminator",
    "Generator",
    "GuidedBackprop",
    "InputError",
    "Result",
    "Selection",
    "Session",
    "attribution",
    "boxes",
    "cache",
    "chain",
    "checkpoints",
    "classifiers",
    "concepts",
    "config",
    "detectors",
    "differences",
    "edits",
    "errors",
    "exported",
    "expressions",
    "features",
    "figures",
    "files",
    "foreign",
    "hooks",
    "hub",
    "labelled",
    "latents",
    "load_result",
    "metrics",
    "model_card",
    "modules",
    "nearest",
    "networks",
    "plugins",
    "results",
    "saved",
    "scan",
    "session",
    "sources",
    "svm",
    "tails",
    "terminal",
    "tracing",
    "video",
    "weights",
]


if not TYPE_CHECKING:  # to a type checker, a name that is not there must not be Any

    def __getattr__(name: str) -> Any:
        if name in _NAMES:
            return getattr(importlib.import_module(f"dcgan_probe.{_NAMES[name]}"), name)
        if name in _MODULES:
            return importlib.import_module(f"dcgan_probe.{name}")
        if name == "__version__":
            from importlib import metadata

            return metadata.version("dcgan-probe")
        raise AttributeError(f"module 'dcgan_probe' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
