"""What dcgan-probe computes beside what others compute of the same input: the largest difference.

    pip install zennit faiss-cpu pytorch-fid torch-fidelity torchmetrics pytorch-msssim
    python benchmarks/peers/agreement.py

Writes `agreement.md` beside it: one line for each number, with the peer's version, and the peers
that are not installed. torch-fidelity, pytorch-fid and zennit import torchvision for parts that are
not called here; where it cannot be imported an empty stand-in takes its place, and the page says
so.
"""

from __future__ import annotations

import copy
import importlib
import importlib.machinery
import platform
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

import dcgan_probe as dp
from dcgan_probe import metrics
from dcgan_probe.attribution.guided import GuidedBackprop, NeuronGuidedBackprop
from dcgan_probe.metrics import svm
from dcgan_probe.metrics.nearest import Search
from dcgan_probe.recognition.inception import Inception
from dcgan_probe.recognition.regression import fit
from dcgan_probe.storage import files

HERE = Path(__file__).resolve().parent
Pair = tuple[Any, Any]  # ours, theirs


@dataclass(frozen=True)
class Comparison:
    """One number, and the distribution of the peer that it is compared with."""

    what: str
    peer: str
    how: str
    compute: Callable[[], Pair]


class _StandIn(types.ModuleType):
    """A module that has whatever is asked of it, as empty classes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value: Any = sys.modules.get(f"{self.__name__}.{name}")
        if value is None:
            value = type(name, (), {"__getattr__": lambda self, name: None})
        setattr(self, name, value)
        return value


def stand_in() -> bool:
    """Put an empty torchvision where none can be imported; whether that was so."""
    try:
        import torchvision  # type: ignore[import-not-found]  # noqa: F401
    except (ImportError, RuntimeError):
        models = (".models", ".models.vgg", ".models.resnet", ".models.inception")
        for name in ("", *models, ".transforms", ".transforms.functional", ".datasets"):
            _add(f"torchvision{name}")
        return True
    return False


def _add(name: str) -> None:
    module = _StandIn(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__path__ = []
    sys.modules[name] = module


def relu_network() -> tuple[nn.Module, Tensor]:
    """The authors' SVHN discriminator with ReLU, which peers cover, and images."""
    session = dp.Session.open("svhn", device="cpu")
    network = copy.deepcopy(session.discriminator)
    for block in network.children():
        for name, part in block.named_children():
            if isinstance(part, nn.LeakyReLU):
                setattr(block, name, nn.ReLU())
    return network.eval(), session.images(None, 8).read(range(8))


def guided_by_captum() -> Pair:
    from captum.attr import GuidedBackprop as Theirs

    network, images = relu_network()
    return GuidedBackprop(network).attribute(images), Theirs(network).attribute(images)


def neurons_by_captum() -> Pair:
    from captum.attr import NeuronGuidedBackprop as Theirs

    network, images = relu_network()
    layer, neuron = dp.hooks.layer(network, "8x8"), (3, 2, 5)
    return (
        NeuronGuidedBackprop(network, layer).attribute(images, neuron),
        Theirs(network, layer).attribute(images, neuron),
    )


def guided_by_zennit() -> Pair:
    from zennit.attribution import Gradient  # type: ignore[import-not-found]
    from zennit.composites import GuidedBackprop as Composite  # type: ignore[import-not-found]

    network, images = relu_network()
    flat = nn.Sequential(network, nn.Unflatten(0, (-1, 1)))
    ours = GuidedBackprop(network).attribute(images)
    with Gradient(model=flat, composite=Composite()) as attributor:
        _, theirs = attributor(images, torch.ones(len(images), 1))
    return ours, theirs


def features_of(n: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    mix = torch.randn(24, 64, generator=random)
    return torch.randn(n, 24, generator=random) @ mix + 0.2 * seed


def frechet_by_pytorch_fid() -> Pair:
    from pytorch_fid.fid_score import (  # type: ignore[import-not-found]
        calculate_frechet_distance,
    )

    a, b = (features_of(500, seed).double().numpy() for seed in (1, 2))
    means = [np.cov(x, rowvar=False) for x in (a, b)]
    theirs = calculate_frechet_distance(a.mean(0), means[0], b.mean(0), means[1])
    return metrics.frechet_distance(features_of(500, 1), features_of(500, 2)).distance, theirs


def frechet_by_scipy() -> Pair:
    from scipy import linalg  # type: ignore[import-untyped]

    a, b = (features_of(500, seed).double().numpy() for seed in (1, 2))
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    trace = np.trace(one + two - 2 * linalg.sqrtm(one @ two).real)
    theirs = np.square(a.mean(0) - b.mean(0)).sum() + trace
    return metrics.frechet_distance(features_of(500, 1), features_of(500, 2)).distance, theirs


def frechet_by_torch_fidelity() -> Pair:
    module = importlib.import_module("torch_fidelity.metric_fid")
    a, b = features_of(500, 1), features_of(500, 2)
    both = [module.fid_features_to_statistics(x.double()) for x in (a, b)]
    theirs = module.fid_statistics_to_metric(*both, verbose=False)
    return metrics.frechet_distance(a, b).distance, next(iter(theirs.values()))


def kernel_by_torch_fidelity() -> Pair:
    module = importlib.import_module("torch_fidelity.metric_kid")
    a, b = features_of(300, 1), features_of(300, 2)
    settings: dict[str, Any] = {
        "kid_kernel": "poly",
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1,
    }
    theirs = module.kernel_mmd(a.double().numpy(), b.double().numpy(), **settings)
    return metrics.kernel_distance(a, b), theirs


def kernel_by_torchmetrics() -> Pair:
    module = importlib.import_module("torchmetrics.image.kid")
    a, b = features_of(300, 1), features_of(300, 2)
    return metrics.kernel_distance(a, b), module.poly_mmd(a.double(), b.double()).item()


def precision_by_torch_fidelity() -> Pair:
    module = importlib.import_module("torch_fidelity.metric_prc")
    both = features_of(1300, 1)
    real, generated = both[:700], 0.9 * both[700:]
    theirs = module.calculate_precision_recall_full(generated.double(), real.double())
    return metrics.precision_recall(generated, real), theirs


def inception_by_torch_fidelity() -> Pair:
    module = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    torch.manual_seed(0)
    network = Inception().eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):  # or all of it would be near the identity
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.1)
            part.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pth"
        torch.save(network.state_dict(), path)
        extractor = module.FeatureExtractorInceptionV3(
            "random weights", ["2048"], feature_extractor_weights_path=str(path)
        )
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        return network(images.float() / 127.5 - 1), extractor(images)[0]


def similarity_by_pytorch_msssim() -> Pair:
    from pytorch_msssim import ms_ssim  # type: ignore[import-untyped]

    random = torch.Generator().manual_seed(0)
    a = nn.functional.interpolate(torch.rand(4, 3, 24, 24, generator=random), 192, mode="bicubic")
    a = a.clamp(0, 1)
    b = (a + 0.1 * torch.randn(a.shape, generator=random)).clamp(0, 1)
    ours = metrics.ms_ssim(2 * a - 1, 2 * b - 1)
    return ours, ms_ssim(255 * a, 255 * b, data_range=255, size_average=False)


def labelled() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.data[:400].astype(np.float32), digits.target[:400]


def machines_by_scikit_learn() -> Pair:
    from sklearn.svm import LinearSVC

    x, y = labelled()
    ours = svm.fit(x, y, 1e-4, solver="newton", tolerance=1e-12)
    theirs = LinearSVC(C=1e-4, tol=1e-10, max_iter=100_000, dual=False).fit(x, y)
    return ours.scores(x), theirs.decision_function(x)


def regression_by_scikit_learn() -> Pair:
    from sklearn.linear_model import LogisticRegression

    x, y = labelled()
    ours = fit(x, y < 5)
    # By another method, and to the end: its defaults stop short of the minimum.
    theirs = LogisticRegression(solver="newton-cg", tol=1e-12, max_iter=1000).fit(
        np.asarray(x, np.float64), y < 5
    )
    return ours.logit(x), theirs.decision_function(np.asarray(x, np.float64))


def neighbours_by_faiss() -> Pair:
    import faiss  # type: ignore[import-not-found]

    queries, others = features_of(200, 1), features_of(3000, 2)
    search = Search(queries, 5)
    for part in others.split(256):
        search.add(part)
    squares, indices = faiss.knn(queries.numpy(), others.numpy(), 5)
    wrong = int((search.indices != indices).sum())
    if wrong:
        raise RuntimeError(f"{wrong} of {indices.size} neighbours differ from those of faiss")
    return search.distances, np.sqrt(squares)


COMPARISONS = (
    Comparison(
        "guided backpropagation of the output",
        "captum",
        "GuidedBackprop, ReLU twin of svhn",
        guided_by_captum,
    ),
    Comparison(
        "guided backpropagation of a neuron",
        "captum",
        "NeuronGuidedBackprop, layer 8x8",
        neurons_by_captum,
    ),
    Comparison(
        "guided backpropagation of the output",
        "zennit",
        "composite GuidedBackprop",
        guided_by_zennit,
    ),
    Comparison(
        "Fréchet distance",
        "pytorch-fid",
        "calculate_frechet_distance, 500 x 64",
        frechet_by_pytorch_fid,
    ),
    Comparison(
        "Fréchet distance",
        "torch-fidelity",
        "fid_statistics_to_metric, 500 x 64",
        frechet_by_torch_fidelity,
    ),
    Comparison("Fréchet distance", "scipy", "linalg.sqrtm, 500 x 64", frechet_by_scipy),
    Comparison(
        "kernel distance",
        "torch-fidelity",
        "kernel_mmd of all at once, 300 x 64",
        kernel_by_torch_fidelity,
    ),
    Comparison(
        "kernel distance",
        "torchmetrics",
        "poly_mmd of all at once, 300 x 64",
        kernel_by_torchmetrics,
    ),
    Comparison(
        "precision and recall", "torch-fidelity", "600 and 700 x 64", precision_by_torch_fidelity
    ),
    Comparison(
        "Inception of FID, random weights",
        "torch-fidelity",
        "FeatureExtractorInceptionV3, 2048",
        inception_by_torch_fidelity,
    ),
    Comparison(
        "MS-SSIM", "pytorch-msssim", "192 x 192, pixels 0 to 255", similarity_by_pytorch_msssim
    ),
    Comparison(
        "scores of the linear SVM",
        "scikit-learn",
        "LinearSVC, 400 digits, C 1e-4",
        machines_by_scikit_learn,
    ),
    Comparison(
        "logit of the regression of forget",
        "scikit-learn",
        "LogisticRegression by newton-cg, 400 digits",
        regression_by_scikit_learn,
    ),
    Comparison(
        "distance of the 5 nearest",
        "faiss-cpu",
        "knn, 3,000 x 64; the same five",
        neighbours_by_faiss,
    ),
)


def difference(pair: Pair) -> tuple[float, float]:
    """The largest difference, and the largest of the peer's numbers."""
    ours, theirs = (np.asarray(_detached(each), np.float64) for each in pair)
    return float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())


def _detached(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value


def row(comparison: Comparison) -> tuple[str, ...]:
    """A line of the table; of a peer that is not installed it says so."""
    try:
        version = metadata.version(comparison.peer)
    except metadata.PackageNotFoundError:
        return (comparison.what, comparison.peer, comparison.how, "not installed", "", "")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of peers, about their own insides
        worst, largest = difference(comparison.compute())
    share = worst / largest if largest else 0.0
    named = f"{comparison.peer} {version}"
    return (
        comparison.what,
        named,
        comparison.how,
        f"{worst:.1e}",
        f"{largest:.3g}",
        f"{share:.1e}",
    )


def page(rows: list[tuple[str, ...]], stands_in: bool) -> str:
    """The table as Markdown."""
    columns = ("what", "peer", "how", "largest difference", "largest number", "share")
    lines = ["| " + " | ".join(each) + " |" for each in (columns, ("---",) * 6, *rows)]
    note = (
        "\ntorchvision could not be imported; an empty stand-in took its place for the parts of "
        "torch-fidelity, pytorch-fid and zennit that import it and are not called here.\n"
        if stands_in
        else ""
    )
    return f"""# What others compute of the same input

Made by `python benchmarks/peers/agreement.py` on {date.today()}: dcgan-probe {dp.__version__}, \
Python {platform.python_version()},
torch {torch.__version__}, numpy {np.__version__}, CPU.
{note}
{chr(10).join(lines)}

Differences are absolute, over all numbers of a comparison; the share is of the largest of the
peer's. Seeds are fixed.
What no package has (the authors' features and order of updates, Progressive GAN's sliced
Wasserstein distance) is compared with loops written out in `tests/`.
"""


@click.command()
@click.option("--to", default=HERE / "agreement.md", type=click.Path(path_type=Path))
def main(to: Path) -> None:
    """Compare, print the table, and write it."""
    torch.set_num_threads(1)
    stands_in = stand_in()
    rows = []
    for comparison in COMPARISONS:
        rows.append(row(comparison))
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    text = page(rows, stands_in)
    print(text)
    files.write_text(to, text)


if __name__ == "__main__":
    main()
