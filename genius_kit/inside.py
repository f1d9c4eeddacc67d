"""Names that came from outside: whether they stay in the folder they belong to, and archives that must."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath, PureWindowsPath

from genius_kit.errors import DataCorrupt


def is_inside(folder: Path, name: object) -> bool:
    """Return whether `name` is a plain relative path that stays in `folder`, whatever links lie on its way.

    Absolute names of any system, "..", names with signs that no file name has, and what is no text are not.
    """
    if not isinstance(name, str) or not name or any(ord(sign) < 32 or ord(sign) == 127 for sign in name):
        return False
    forms = (PurePosixPath(name), PureWindowsPath(name))
    if any(form.anchor or ".." in form.parts for form in forms):
        return False
    root = os.path.realpath(folder)
    return os.path.realpath(os.path.join(root, name)).startswith(os.path.join(root, ""))


def unpack_tar(archive: Path, folder: Path) -> None:
    """Unpack a tar archive into `folder`; raises DataCorrupt, and writes nothing, where a member would leave it.

    Refused are absolute names, "..", links out of the folder, and members that are neither file, folder nor link.
    """
    try:
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                _check(member, folder)
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataCorrupt(f"{archive} cannot be unpacked into {folder}: {error}; fetch it again") from error


def _check(member: tarfile.TarInfo, folder: Path) -> None:
    if not is_inside(folder, member.name):
        raise tarfile.TarError(f"its member {member.name!r:.120} leads out of the folder")
    tarfile.data_filter(member, os.fspath(folder))
