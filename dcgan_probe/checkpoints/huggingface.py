"""Read and write the folder layout of the Hugging Face hub, and download from the hub.

    rooms/model.safetensors     a dcgan-probe checkpoint, complete: its SHA-256 is its name
    rooms/config.json           what the file says of itself, where the hub's tools look for it
    rooms/README.md             the model card

``hub:org/name`` is such a folder on the hub. ``@revision`` after it is a branch, a tag or a commit,
``@sha256:`` and 64 digits what model.safetensors must have.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dcgan_probe import terminal
from dcgan_probe.checkpoints import model_card, native, weights
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.errors import InputError, brief
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.networks.config import Config
from dcgan_probe.storage import files, json_values

PREFIX = "hub:"
WRITTEN = MODEL, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

# Folders


def is_layout(path: Path) -> bool:
    """Whether a path is a folder with a file that the layout has."""
    if os.path.exists(path / MODEL):
        return True
    # Beside weights of another kind, config.json is that of another library.
    return os.path.exists(path / CONFIG) and not os.path.exists(path / "pytorch_model.bin")


def read(folder: str | os.PathLike[str], name: str | None = None) -> Checkpoint:
    """Open a folder in the layout of the hub.

        >>> read("rooms").sha256 == files.sha256("rooms/model.safetensors")
        True

    name: the checkpoint's, the folder's if not given. Raises InputError where one of the two files
    is missing or of another library, does not fit itself (see `checkpoints.load`), or does not say
    the same as the other: then the SHA-256 of one would not name the network.
    """
    folder = Path(folder)
    config, info = _config(folder / CONFIG)
    checkpoint = _model(folder / MODEL, name or folder.resolve().name)
    _same(folder / CONFIG, "config", config.to_dict(), checkpoint.config.to_dict())
    _same(folder / CONFIG, "info", info, checkpoint.info)
    return checkpoint


def save(
    checkpoint: Checkpoint | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    force: bool = False,
) -> str:
    """Write a folder in the layout of the hub, whole or not at all; return the model's SHA-256.

        >>> sha = save("mine.safetensors", "mine")

    checkpoint: networks; or a dcgan-probe file, which is copied unchanged, so that it keeps its
    SHA-256 so boxes and edits still fit. force: write over what was written before.
    Raises InputError as `checkpoints.save` does, and for a folder that holds anything else.
    """
    folder = Path(folder)
    name = folder.resolve().name
    with files.new_folder(folder, force, WRITTEN) as work:
        if isinstance(checkpoint, Checkpoint):
            native.save(checkpoint, work / MODEL)
            written = _model(work / MODEL, name)
        else:
            written = _model(Path(checkpoint), name)  # refused under its own path
            files.write_bytes(work / MODEL, Path(checkpoint).read_bytes())
        files.write_text(work / CONFIG, _said(written, folder))
        files.write_text(work / CARD, model_card.text(written))
    return written.sha256


def _model(path: Path, name: str) -> Checkpoint:
    if not native.is_own(weights.look_at(path)):
        raise InputError(
            f"{path}: found weights of another library, expected a file of dcgan-probe"
        )
    return native.read_own(path, name)


def _said(checkpoint: Checkpoint, where: Path) -> str:
    """The content of config.json."""
    config, info = checkpoint.config.to_dict(), checkpoint.info
    kind = native.format_of(native.writable(checkpoint))
    about = {"format": kind, "config": config, "info": info}
    try:
        return json.dumps(about, indent=1, allow_nan=False) + "\n"
    except ValueError as error:
        raise InputError(
            f"{where}: {CONFIG}: info: found NaN or infinity, which JSON has not, expected none"
        ) from error


def _config(path: Path) -> tuple[Config | ChainConfig, dict[str, Any]]:
    """What config.json says; InputError for other libraries."""
    said = json_values.load(path, "a network's config").found
    format = said.get("format") if isinstance(said, dict) else None
    if not str(format).startswith("dcgan-probe/"):
        raise InputError(
            f"{path}: found the config of another library ({json_values.shown(said)}), "
            f"expected one of dcgan-probe, with format {native.FORMAT}"
        )
    return native.checked(str(path), said)


def _same(path: Path, part: str, values: dict[str, Any], expected: dict[str, Any]) -> None:
    for member in sorted({*values, *expected}):
        if values.get(member) != expected.get(member):
            here, there = (json_values.shown(each.get(member)) for each in (values, expected))
            raise InputError(
                f"{path}: {part}.{member}: found {here}, expected {there}, as {MODEL} says"
            )


# The hub


class Address(NamedTuple):
    """What ``hub:org/name@revision@sha256:digits`` names; sha256 is "" where it is not pinned."""

    repository: str
    revision: str
    sha256: str


def address(name: str) -> Address:
    """Take a name of the hub apart; InputError if it is malformed.

    >>> address("hub:org/rooms@v1.0")
    Address(repository='org/rooms', revision='v1.0', sha256='')
    """
    part, digits = r"[A-Za-z0-9_.-]+", r"[0-9a-fA-F]{64}"
    form = rf"{PREFIX}({part}/{part})(?:@([^@:\s]+))?(?:@sha256:({digits}))?"
    match = re.fullmatch(form, name)
    if match is None:
        raise InputError(
            f"{name}: found another form, expected hub:org/name, with @revision or with @sha256: "
            "and 64 digits after it, or both"
        )
    return Address(match[1], match[2] or "main", (match[3] or "").lower())


def load(name: str) -> Checkpoint:
    """Open ``hub:org/name``, fetched unless the cache of huggingface_hub has it.

        >>> load("hub:org/rooms@sha256:3dbf...").config.size
        64

    Both files are of one commit. Under ``HF_HUB_OFFLINE=1``, and for a commit that is in the cache,
    nothing is asked of the network; where it fails, what the cache has is taken, and stderr says
    so. Nothing but these two files is fetched, and no code is run.

    Raises InputError where the package huggingface_hub is missing, where nothing is there or may be
    read, for a model.safetensors of another SHA-256 than the name has, and as `read` does.
    """
    wanted = address(name)
    folder = _fetch(name, wanted)
    if wanted.sha256:
        sha = files.sha256(folder / MODEL)
        if sha != wanted.sha256:
            raise InputError(f"{name}: {MODEL}: found SHA-256 {sha}, expected {wanted.sha256}")
    checkpoint = read(folder, wanted.repository)
    terminal.log(f"{name}: commit {folder.name}, SHA-256 {checkpoint.sha256}")
    return checkpoint


def _fetch(name: str, wanted: Address) -> Path:
    """The folder of the cache that holds both files, of one commit."""
    try:
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise InputError(
            f"{name}: found no package huggingface_hub, expected it, to fetch this with: "
            "pip install huggingface_hub"
        ) from error
    if terminal.current().quiet:
        disable_progress_bars()
    offline = constants.HF_HUB_OFFLINE
    with _told(name, wanted):
        silence = "" if offline or _cached(wanted) else _silence(wanted)
        local = offline or silence != ""

        def get(file: str, revision: str) -> Path:
            repository = wanted.repository
            return Path(
                hf_hub_download(repository, file, revision=revision, local_files_only=local)
            )

        try:
            config = get(CONFIG, wanted.revision)
            _config(config)  # before anything large is fetched
            # A folder of the cache is a commit; a branch may have moved on since.
            folder = get(MODEL, config.parent.name).parent
        except LocalEntryNotFoundError as error:
            why = "HF_HUB_OFFLINE is set" if offline else silence or brief(error)
            raise InputError(
                f"{name}: found no {CONFIG} and {MODEL} in the cache, expected them there or a hub "
                f"that answers ({why})"
            ) from error
    if silence:
        terminal.note(f"{name}: taken from the cache, the hub does not answer: {silence}")
    return folder


def _cached(wanted: Address) -> bool:
    """Whether the cache has what cannot have changed: both files of a commit."""
    from huggingface_hub import try_to_load_from_cache

    repository, revision, _ = wanted
    return re.fullmatch("[0-9a-f]{40}", revision) is not None and all(
        isinstance(try_to_load_from_cache(repository, file, revision=revision), str)
        for file in (CONFIG, MODEL)
    )


def _silence(wanted: Address) -> str:
    """Why the hub does not answer, "" if it does; hf_hub_download would not say."""
    from huggingface_hub import errors, get_hf_file_metadata, hf_hub_url

    try:
        get_hf_file_metadata(hf_hub_url(wanted.repository, CONFIG, revision=wanted.revision))
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
        errors.HFValidationError,
    ):
        raise
    except Exception as error:  # of its HTTP library, which is another one in every release
        return brief(error)
    return ""


@contextmanager
def _told(name: str, wanted: Address) -> Iterator[None]:
    """Say in one line what huggingface_hub says in many."""
    from huggingface_hub import errors

    repository, revision, _ = wanted
    # The first that fits: to huggingface_hub a gated repository is also one that is not found.
    reasons = {
        errors.GatedRepoError: f"a gated {repository}, expected one whose terms you have accepted "
        "on the hub (then: hf auth login)",
        errors.RepositoryNotFoundError: f"no {repository} that you may read, expected a repository "
        "(if it is private: hf auth login)",
        errors.RevisionNotFoundError: f"no revision {revision} of {repository}, expected a branch, "
        "a tag or a commit",
        errors.EntryNotFoundError: f"no {CONFIG} and {MODEL} in {repository}, expected both, as "
        "dcgan-probe convert --to FOLDER writes them",
    }
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # besides these: the network in the middle of a file, a full disk
        for kind, reason in reasons.items():
            if isinstance(error, kind):
                raise InputError(f"{name}: found {reason}") from error
        raise InputError(f"{name}: cannot be fetched: {brief(error)}") from error
