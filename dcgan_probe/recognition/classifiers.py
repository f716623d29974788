"""Image classifiers: their protocol, and how they are discovered.

A classifier is any callable from images to probabilities, with a name, the labels that it knows and
what is known of it. A package offers one by a factory under the entry point group
``dcgan_probe.classifiers``; the faces' ships. Or it is a network of the user's, in a file of
torch.export, or learnt from a folder of images with one sub-folder for each label.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from dcgan_probe import plugins, terminal
from dcgan_probe.errors import InputError, guarded, unknown
from dcgan_probe.images.datasets import PARTS
from dcgan_probe.images.sources import ImageSource, batches
from dcgan_probe.metrics import features
from dcgan_probe.recognition import detectors, exported
from dcgan_probe.recognition.exported import Network
from dcgan_probe.session import BATCH

if TYPE_CHECKING:
    from dcgan_probe.session import Session

GROUP = "dcgan_probe.classifiers"
_NEEDS: dict[str, type] = {"name": str, "about": dict, "labels": Sequence}
_SHIPPED = {"faces": "faces"}
_NOT = "not "


class Classifier(Protocol):
    """What a probe needs of a classifier.

        >>> class Bright:
        ...     name = "bright"
        ...     labels = ("bright",)
        ...     about = {"held_out_accuracy": 0.9}
        ...
        ...     def __call__(self, images):
        ...         return (images.mean((1, 2, 3)) > 0).float()[:, None]

    name: in results and figures. labels: what it can see, L names. about: what is known of it, as
    JSON values. A call takes N x C x H x W float32 in [-1, 1] and returns N x L probabilities, a
    tensor or an array.
    """

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def about(self) -> dict[str, Any]: ...

    def __call__(self, images: Tensor, /) -> Any: ...


def classify(classifier: Classifier, images: Tensor) -> Tensor:
    """What a classifier sees in images: N x L float32 from 0 to 1, on the CPU.

    images: N x C x H x W float32 in [-1, 1]; the classifier sees at most 64 at a time. Raises
    InputError, with its name, for an output of a wrong shape and for values outside of 0 to 1.
    """
    parts = []
    with torch.no_grad():
        for batch in images.split(BATCH):
            with guarded(f"classifier {classifier.name}", InputError):
                output = detectors.tensor(classifier(batch))
            wanted = (len(batch), len(classifier.labels))
            if not isinstance(output, Tensor) or output.shape != wanted:
                raise InputError(
                    f"classifier {classifier.name}: found {exported.shape(output)}, expected "
                    f"{wanted[0]} x {wanted[1]} probabilities"
                )
            parts.append(output.float().cpu())
    probabilities = torch.cat(parts)
    low, high = probabilities.aminmax()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise InputError(
            f"classifier {classifier.name}: found values from {low:.3g} to {high:.3g}, expected "
            "probabilities from 0 to 1 (apply sigmoid or softmax inside of the network)"
        )
    return probabilities


def resolve(classifier: Classifier | str, session: Session) -> Classifier:
    """A classifier that a script passes, itself or by what `find` takes.

        >>> resolve("faces", Session.open("faces")).name
        'faces'

    Raises InputError if it lacks a name, labels, what is known of it, or a call, and as `find`
    does.
    """
    if isinstance(classifier, str):
        return find(classifier, session)
    plugins.check_given("classifier", classifier, _NEEDS)
    return classifier


def wanted(classifier: Classifier, shows: Iterable[str]) -> list[tuple[int, bool]]:
    """Conditions such as "smile" and "not hat", as columns of `classify` and whether they must be.

    >>> wanted(faces, ["smile", "not hat"])
    [(0, True), (3, False)]

    Raises InputError for a label that the classifier does not know.
    """
    columns = []
    for condition in shows:
        label = condition.removeprefix(_NOT)
        if label not in classifier.labels:
            raise unknown("label", label, classifier.labels, where=f"classifier {classifier.name}")
        columns.append((list(classifier.labels).index(label), not condition.startswith(_NOT)))
    return columns


def agreement(probabilities: Tensor, conditions: Sequence[tuple[int, bool]]) -> Tensor:
    """How well images meet all conditions of `wanted`, N float32: the worst of them, 0 to 1."""
    met = [probabilities[:, i] if yes else 1 - probabilities[:, i] for i, yes in conditions]
    return torch.stack(met).amin(0)


def find(name: str, session: Session) -> Classifier:
    """The classifier of an installed package, by name, or of a file or folder, by path.

        >>> find("faces", Session.open("faces")).labels[0]
        'smile'

    A file is a network of torch.export.save that outputs N x L probabilities; its labels are its
    name and a number. A folder holds images with one sub-folder for each label: see `Learnt`. An
    installed name goes before a path. Raises InputError for an unknown name, a package
    that cannot be imported, and as `exported.read` and `Learnt.of` do.
    """
    points = plugins.find(GROUP, terminal.current().only_ours)
    if name in points:
        return plugins.instantiate(plugins.entry_point(points[name]), _NEEDS)
    if not os.path.exists(name):
        known = [*sorted(points), "the path of a file of torch.export.save or of a folder"]
        raise unknown("classifier", name, known)
    path = Path(name)
    if path.is_dir():
        return Learnt.of(path, session)
    network = exported.read(path).to(session.device)
    image = torch.zeros(1, session.config.channels, session.config.size, session.config.size)
    outputs = network(image)
    if outputs.ndim != 2:
        raise InputError(f"{path}: found {exported.shape(outputs)}, expected 1 x L probabilities")
    labels = tuple(f"{path.stem}{i}" for i in range(outputs.shape[1]))
    return Module(network, labels if len(labels) > 1 else (path.stem,))


def shipped(checkpoint: str) -> str | None:
    """The name of the classifier that ships for a shipped checkpoint, or None."""
    return _SHIPPED.get(checkpoint)


@dataclass(frozen=True, eq=False)
class Module:
    """An exported network with names for its outputs."""

    network: Network
    labels: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.network.name

    @property
    def about(self) -> dict[str, Any]:
        return self.network.about

    def __call__(self, images: Tensor) -> Tensor:
        return self.network(images)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A logistic regression on the features of a discriminator, learnt from labelled images.

    Source: section 5.1's features; scikit-learn's LogisticRegression.
    """

    session: Session
    path: Path
    labels: tuple[str, ...]
    model: Any
    about: dict[str, Any]

    @property
    def name(self) -> str:
        return f"learnt from {self.path.name}"

    @classmethod
    def of(cls, path: Path, session: Session) -> Learnt:
        """Learn from images in one sub-folder for each label, with the session's D.

        Folders train and test at the top may hold such sub-folders.

        The strength of the regularisation is chosen on folds of the images, and `about` has the
        accuracy on other folds. Raises InputError for less than two labels, and for one of fewer
        than 10 images.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV, cross_val_score
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        source = ImageSource(path, session.config.size, session.config.channels)
        labels = [_label(name) for name in source.names]
        counts = Counter(labels)
        if len(counts) < 2 or "" in counts:
            raise InputError(
                f"{path}: found {', '.join(sorted(counts)) or 'images'} as labels, expected at "
                "least two sub-folders of images, each named by its label"
            )
        label, fewest = min(counts.items(), key=lambda pair: pair[1])
        if fewest < _FEWEST:
            raise InputError(f"{path}: {label}: found {fewest} images, expected {_FEWEST} or more")
        parts = [
            _features(session, batch)
            for batch in session.progress(
                batches(source, BATCH), "labelled images", -(-len(source) // BATCH)
            )
        ]
        rows = torch.cat(parts).numpy()
        search = GridSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
            {"logisticregression__C": [1e-5, 1e-4, 1e-3, 1e-2]},
            cv=_FOLDS,
        )
        accuracy = cross_val_score(search, rows, labels, cv=_FOLDS)
        search.fit(rows, labels)
        about = {
            "images": dict(sorted(counts.items())),
            "held_out_accuracy": float(accuracy.mean()),
            "c": search.best_params_["logisticregression__C"],
        }
        return cls(session, path, tuple(map(str, search.classes_)), search, about)

    def __call__(self, images: Tensor) -> Tensor:
        rows = _features(self.session, images).numpy()
        return torch.from_numpy(self.model.predict_proba(rows))


_FEWEST = 10


def _label(name: str) -> str:
    """The folder that names an image's label, "" for none."""
    folders = Path(name).parts[:-1]
    if folders and folders[0] in PARTS:
        folders = folders[1:]
    return folders[0] if folders else ""


_FOLDS = 3
# Of the grid of the features: a regression on few images does better without the finest places.
_GRID = 2


def _features(session: Session, images: Tensor) -> Tensor:
    d = session.discriminator
    with torch.no_grad():
        return features.extract(
            d, images.to(session.device), features.layers(d, grid=_GRID), _GRID
        ).cpu()
