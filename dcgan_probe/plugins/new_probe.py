"""Create a package with a working probe, from the template."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from string import Template

from dcgan_probe.errors import InputError
from dcgan_probe.storage import files

_TEMPLATE = Path(__file__).parent / "probe_template"


def write(name: str, folder: Path | None = None, reserved: Iterable[str] = ()) -> Path:
    """Write a package of one probe and its test, which work as they are; returns its folder.

        >>> write("edge-energy", Path("/tmp/mine"))
        PosixPath('/tmp/mine')

    folder: of the package's name in the working folder if not given. reserved: names that are
    commands already. Raises InputError for such a name, one that is not words of small letters and
    digits joined by hyphens, and a folder that is there or cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise InputError(
            f"new-probe: found the name {name!r}, expected small letters, digits and single "
            "hyphens, such as edge-energy"
        )
    if name in reserved:
        raise InputError(f"new-probe: found {name!r}, which is a command already, expected another")
    module = f"dcgan_probe_{name.replace('-', '_')}"
    folder = folder or Path(f"dcgan-probe-{name}")
    if os.path.lexists(folder):
        raise InputError(f"{folder}: already exists, expected a new folder")
    with files.new_folder(folder) as work:
        for source in sorted(_TEMPLATE.glob("*.in")):
            text = Template(source.read_text(encoding="utf-8")).substitute(name=name, module=module)
            to = source.name.removesuffix(".in").replace("probe.py", f"{module}.py")
            files.write_text(work / to, text)
    return folder
