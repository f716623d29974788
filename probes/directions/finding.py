"""Three methods: principal components of a layer, SeFa on the first weights, regression."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_probe import hooks
from dcgan_probe.errors import InputError
from dcgan_probe.latents import axes
from dcgan_probe.recognition import keeping
from dcgan_probe.recognition.classifiers import Classifier
from dcgan_probe.session import BATCH, Session

# Of the activations and of their Gram matrix: 512 MiB and 1 GiB.
MAX_NUMBERS = 1 << 27
# Below this share of the largest, a component is rounding: the layer's output has fewer.
RANK = 1e-7
# A layer is linear if the sum of two inputs gives the sum of their outputs, up to rounding.
ROUNDING = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """Directions as they were found, k x z_size float32, and what is known of each.

    shares: of the variance, or of the squared weights, k numbers; of a regression the R^2 of its
    label. known: remarks on all of them.
    """

    z: Tensor
    shares: tuple[float, ...]
    known: dict[str, Any] = field(default_factory=dict)


def principal(session: Session, layer: str, n: int, components: int) -> Found:
    """Principal components of a layer's output, and the change of z for each.

    One direction is as long as one standard deviation of its component, by linear regression of z
    on the components. Raises InputError for too few latents, or more than there is memory for.
    Source: GANSpace (Härkönen et al. 2020, section 2.2).
    """
    if components > n - 2:
        raise InputError(
            f"directions: found {n} latents for {components} components, expected at least "
            f"{components + 2}"
        )
    generator = session.generator
    one = hooks.activations(generator, layer, session.latents(1).to(session.device))
    most = min(MAX_NUMBERS // one.numel(), int(MAX_NUMBERS**0.5))
    if n > most:
        raise InputError(f"layer {layer!r}: found n = {n}, expected at most {most}")
    z = session.latents(n)
    with torch.no_grad():
        maps = [
            hooks.activations(generator, layer, batch.to(session.device)).flatten(1).cpu()
            for batch in session.progress(z.split(BATCH), "activations", -(-n // BATCH))
        ]
    y = torch.cat(maps)
    y -= y.mean(0)
    # n is smaller than the layer: its n x n Gram matrix has the same spectrum as the covariance.
    spectrum, vectors = torch.linalg.eigh((y @ y.T).double())
    rank = int((spectrum > RANK * spectrum.max()).sum())
    if components > rank:
        raise InputError(
            f"directions: found {components} components of layer {layer!r}, expected at most "
            f"{rank}: its output varies along no more"
        )
    coordinates = vectors.flip(1)[:, :components] * (n - 1) ** 0.5  # each of deviation 1
    centred = (z - z.mean(0)).double()
    towards = coordinates.T @ centred / (n - 1)  # least squares: they are orthogonal
    told = float((n - 1) * towards.square().sum() / centred.square().sum())
    shares = (spectrum.flip(0)[:components] / spectrum.sum()).tolist()
    return Found(
        z=towards.float(),
        shares=tuple(shares),
        known={"layer": layer, "latents": n, "share_of_z": told},
    )


def closed_form(session: Session, components: int) -> Found:
    """The directions that change most the output of the first layer, from its weights alone.

    Eigenvectors of A'A for the weights A of the layer that takes z, the largest eigenvalue
    first; each as long as a standard deviation of z. Raises InputError if the layer that takes z is
    not linear, and for more directions than z has numbers. Source: SeFa (Shen and Zhou 2021).
    """
    name, weights = _first_weights(session)
    if components > len(weights):
        raise InputError(
            f"directions: found {components} components of a z of {len(weights)} numbers, expected "
            f"at most {len(weights)}"
        )
    spectrum, vectors = torch.linalg.eigh(weights @ weights.T)
    found = vectors.flip(1)[:, :components].T * _deviation(session)
    shares = (spectrum.flip(0)[:components] / spectrum.sum()).tolist()
    return Found(z=found.float(), shares=tuple(shares), known={"layer": name})


def of_labels(session: Session, classifier: Classifier, n: int | None, components: int) -> Found:
    """For each label the direction that moves it and no other, by a regression of its logit on z.

    The best explained first; each as long as a standard deviation of z. Labels with a low R^2 have
    none; those that correlate with a label, or hardly ever appear with it, may move along.
    Raises InputError as `keeping.regress` does, and where no label is explained.
    """
    regression = keeping.regress(session, classifier, n)
    good = [
        label for label in regression.labels if keeping.hindrance(regression, label, ()) is None
    ]
    if not good:
        raise InputError(
            f"directions: {classifier.name}: found no label with an R^2 of {keeping.BOUND} or "
            "more, expected at least one"
        )
    good.sort(key=regression.r2_of, reverse=True)
    found = []
    for label in good[:components]:
        others = [o for o in good if keeping.hindrance(regression, o, [label]) is None]
        own = regression.rows([label])
        held = axes.hold(own[0], own, regression.rows(others), rest=True)
        found.append(held / held.norm())
    return Found(
        z=(torch.stack(found) * _deviation(session)).float(),
        shares=tuple(regression.r2_of(label) for label in good[:components]),
        known={
            "labels": good[:components],
            "explained_labels": len(good),
            "of_labels": len(regression.labels),
            "latents": regression.samples,
            "r2": dict(zip(regression.labels, regression.r2, strict=True)),
        },
    )


def _deviation(session: Session) -> float:
    """The standard deviation of one number of z, of some thousand latents."""
    return float(session.latents(keeping.SAMPLES, session.seed + keeping.SEED).std())


@contextmanager
def _first_call(generator: nn.Module) -> Iterator[list[tuple[str, nn.Module, Tensor]]]:
    """Record which layer with weights of its own is called first, and on what."""
    calls: list[tuple[str, nn.Module, Tensor]] = []
    handles = []
    for name, module in generator.named_modules():
        if next(module.parameters(recurse=False), None) is not None:

            def record(
                called: nn.Module, inputs: tuple[Any, ...], _: Any, name: str = name
            ) -> None:
                if not calls and inputs and isinstance(inputs[0], Tensor):
                    calls.append((name, called, inputs[0]))

            handles.append(module.register_forward_hook(record))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _first_weights(session: Session) -> tuple[str, Tensor]:
    """The layer that takes z, and its weights, z_size x outputs float64."""
    z = session.latents(2)
    with _first_call(session.generator) as calls:
        session.generate(z)
    if not calls:
        raise InputError("sefa: found no layer that z goes into, expected a linear one")
    name, layer, received = calls[0]
    kind = type(layer).__name__
    if received.numel() != z.numel() or not torch.equal(received.cpu().view_as(z), z):
        raise InputError(
            f"sefa: found first layer {name} ({kind}), which does not take z as it is, expected a "
            "linear layer that does"
        )

    def put_out(inputs: Tensor) -> Tensor:
        shaped = inputs.to(received).view(-1, *received.shape[1:])
        with torch.no_grad():
            return layer(shaped).flatten(1).double().cpu()

    start = put_out(torch.zeros_like(z[:1]))
    apart = put_out(z).sum(0) - start[0]
    if (put_out(z.sum(0, keepdim=True))[0] - apart).abs().max() > ROUNDING * apart.abs().max():
        raise InputError(
            f"sefa: found first layer {name} ({kind}), which is not linear, expected one that is "
            "(pca and regression need none)"
        )
    return name, put_out(torch.eye(z.shape[1])) - start
