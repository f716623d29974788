"""Find the latent whose image is nearest to a photograph."""

from __future__ import annotations

import os

from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.latents.concepts import check_name
from dcgan_probe.probes.invert import photograph, search
from dcgan_probe.probes.invert.result import Inversion
from dcgan_probe.session import Session


def run(
    session: Session,
    photo: str | os.PathLike[str] | Tensor,
    starts: int = 8,
    steps: int = 200,
    resize: bool = False,
    name: str | None = None,
) -> Inversion:
    """Find the latents whose images are nearest to a photograph.

        >>> result = run(Session.open("rooms"), "my_room.png", resize=True)
        >>> result.z.shape, result.found.near.psnr.shape
        (torch.Size([8, 100]), torch.Size([8]))

    photo: a file, or C x H x W float32 in [-1, 1]. resize: crop a file of another size to its
    centre square and resize it. starts, steps: see `search.search`. name: name of the nearest
    latent in the session; by default that of the file. Active edits apply. A sample that is not
    among the candidates is searched for in the same way: its error is the error of the search.

    Raises InputError for a file that is not an image or of another size, and for a name that is not
    a word.
    """
    if not 1 <= starts <= search.CANDIDATES:
        raise InputError(
            f"invert: found {starts} starts, expected 1 to {search.CANDIDATES}, the candidates"
        )
    if steps < 1:
        raise InputError(f"invert: found {steps} steps, expected at least 1")
    from_file = isinstance(photo, str | os.PathLike)
    if isinstance(photo, Tensor):
        source, target = "photo", photograph.check(photo, session.config)
    else:
        source, target = str(photo), photograph.read(photo, session.config, resize)
    name = photograph.name_of(source) if name is None else check_name(name, "--name")
    matches = search.search(session, target, starts, steps, "the photograph")
    own = session.generate(session.latents(1, start=search.CANDIDATES))
    again = search.search(session, own, starts, steps, "a sample, to compare")
    session.keep(name, matches.z[:1])
    return Inversion(
        made_with=session.made_with(
            photo=source if from_file else None,
            starts=starts,
            steps=steps,
            resize=resize,
            name=name,
        ),
        photo=source,
        name=name,
        found=matches,
        sample=f"{session.seed}:{search.CANDIDATES}",
        again=again,
        caption=session.caption(),
    )
