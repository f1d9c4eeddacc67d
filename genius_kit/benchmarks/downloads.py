"""The published files: where each is downloaded, its SHA-256, and where it lies on this machine.

Nothing is downloaded on import or behind the user's back: `fetch` and `import_folder` are the only two ways in.
A file enters the data folder only under its published sum, whole or not at all, so an old file is never lost.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genius_kit.errors import DataCorrupt, DataMissing, UnknownName
from genius_kit.files import data_folder, make_folder, write_whole

if TYPE_CHECKING:
    import pandas as pd

BASE_ADDRESS = "https://raw.githubusercontent.com/mingkai-zheng/GENIUS/97361d30b2da337edd0c8e1ed71b7c88b4a85d38/"
"""The GENIUS repository at one commit; the path of each file is appended."""

GENIUS_LICENCE = "none stated in the GENIUS repository: use, do not redistribute"


@dataclass(frozen=True)
class DataFile:
    """One published file: `path` in the GENIUS repository, its `sha256` and size in `bytes`, and what it holds."""

    name: str
    path: str
    sha256: str
    bytes: int
    contents: str
    licence: str = GENIUS_LICENCE

    @property
    def url(self) -> str:
        """Address the file is downloaded from."""
        return BASE_ADDRESS + self.path


_PUBLISHED = (
    ("nas-bench-macro_cifar10.json", "benchmark", "686dee8363cc21cca8c1f321ad5749454f2d9b9ca5972682e137e539bc522297",
     1178821, "NAS-Bench-Macro (Su et al., CVPR 2021): test accuracy of three runs, parameters, MACs"),
    ("Results_ResNet.json", "benchmark", "bf13bcaea3f2076f2c1bfbf5c2fee044aafe0385fae6a0d64c433b1d7f5a7520",
     2821965, "Channel-Bench-Macro ResNet (Su et al., 2021): test accuracy of three runs, parameters, MACs"),
    ("Results_MobileNet.json", "benchmark", "f640474d8ff3ff2231d0c45986bb0f10af291545316342fb009952e7641908e0",
     2793867, "Channel-Bench-Macro MobileNet (Su et al., 2021): test accuracy of three runs, parameters, MACs"),
    ("nasbench201_cifar10.json", "benchmark", "7c5d7d890a285deb41556f95e904fab854f8fcfd65da7eb39410fdedd87215ec",
     2625770, "NAS-Bench-201 (Dong and Yang, ICLR 2020) on CIFAR-10: validation and test accuracy, rank by test"),
    ("nasbench201_cifar100.json", "benchmark", "6b21a0e98864e0aff288fc54bb5105907441bfd63bb063ad3d279edcbf926da5",
     2722508, "NAS-Bench-201 (Dong and Yang, ICLR 2020) on CIFAR-100: validation and test accuracy, rank by test"),
    ("nasbench201_imagenet.json", "benchmark", "a29f63ca37b72cfa9a8e4ce6bad5d678c6039c9929c8060b7d32187f537d560f",
     2738705, "NAS-Bench-201 (Dong and Yang, ICLR 2020) on ImageNet16-120: validation, test, rank by test"),
    ("chat_history/329M.json", "imagenet", "523318b55ac2dcf699c64f5e3023dcb9b5955c9ae957349f99e8660d21011f0a",
     167101, "the authors' conversation with GPT-4 that ends in GENIUS-329"),
    ("chat_history/401M.json", "imagenet", "379cc800d80c5b8187ed9416222e42d406095b50103f9c8be6ee4250bc3b5198",
     155269, "the authors' conversation with GPT-4 that ends in GENIUS-401"),
)  # fmt: skip
"""Name, folder in the GENIUS repository, SHA-256, bytes, what it holds."""

FILES: dict[str, DataFile] = {
    name: DataFile(name, f"{folder}/{name}", sha256, size, contents)
    for name, folder, sha256, size, contents in _PUBLISHED
}


def find(name: str) -> Path:
    """Return where the published file `name` lies.

    Raises UnknownName, DataMissing (which names both ways to get it) or, when its size is wrong, DataCorrupt.
    """
    file = _known(name)
    path = data_folder() / name
    if not path.is_file():
        raise DataMissing(f"{name} is not in {data_folder()}: {how_to_get()}")
    size = path.stat().st_size
    if size != file.bytes:
        raise DataCorrupt(f"{path} has {size} bytes, the published file has {file.bytes}: {how_to_get()}")
    return path


def how_to_get() -> str:
    """Return the sentence that names both ways to get the published files."""
    return "run `genius-kit data fetch` to download it, or `genius-kit data import DIR` if a folder has it"


def fetch(names: Iterable[str] | None = None) -> list[str]:
    """Download the files that are not here yet (all, or `names`) and return the names of those downloaded.

    Raises DataCorrupt when what came is cut or altered (the old file stays) and DataMissing when nothing came.
    """
    files = [_known(name) for name in (FILES if names is None else names)]
    wanted = [file for file in files if _sum_here(file) != file.sha256]
    for file in wanted:
        _download(file)
    return [file.name for file in wanted]


def import_folder(folder: str | Path) -> list[str]:
    """Copy the published files found anywhere under `folder` into the data folder; return their names.

    A file is recognised by its name and accepted by its sum. Raises DataMissing when there is none, and, after
    the good ones are in, DataCorrupt when one has another sum; the old file stays.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataMissing(f"{folder} is not a folder: give one that holds files such as {next(iter(FILES))}")
    found = _candidates(folder)
    if not found:
        raise DataMissing(f"no published file lies under {folder}: expected names such as {', '.join(FILES)}")
    wrong = []
    for name, paths in found.items():
        sums = {sha256_of(path): path for path in paths}
        if FILES[name].sha256 in sums:
            _copy(sums[FILES[name].sha256], FILES[name])
        else:
            wrong.append(_wrong_sum(str(paths[0]), next(iter(sums)), FILES[name]))
    if wrong:
        raise DataCorrupt("\n".join(wrong))
    return list(found)


def status() -> pd.DataFrame:
    """Return one row a published file: name, state ("present", "missing", "damaged"), megabytes, address, ...

    Only sizes are compared; `verify` reads every byte.
    """
    import pandas as pd

    rows = []
    for file in FILES.values():
        rows.append(
            {
                "name": file.name,
                "state": _state(file),
                "megabytes": round(file.bytes / 1e6, 2),
                "contents": file.contents,
                "licence": file.licence,
                "address": file.url,
                "path": str(data_folder() / file.name),
            }
        )
    return pd.DataFrame(rows)


def verify() -> pd.DataFrame:
    """Check the SHA-256 of every file that is here; return name, state ("verified", "missing") and the sum.

    Raises DataCorrupt, naming each file that differs with both sums.
    """
    import pandas as pd

    sums = {name: _sum_here(file) for name, file in FILES.items()}
    wrong = [
        _wrong_sum(name, found, FILES[name]) for name, found in sums.items() if found not in (None, FILES[name].sha256)
    ]
    if wrong:
        raise DataCorrupt("\n".join([*wrong, "run `genius-kit data fetch` to replace what differs"]))
    states = ["missing" if found is None else "verified" for found in sums.values()]
    return pd.DataFrame({"name": list(sums), "state": states, "sha256": [file.sha256 for file in FILES.values()]})


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _known(name: str) -> DataFile:
    if name not in FILES:
        raise UnknownName.of("published file", name, FILES)
    return FILES[name]


def _state(file: DataFile) -> str:
    try:
        find(file.name)
    except DataMissing:
        return "missing"
    except DataCorrupt:
        return "damaged"
    return "present"


def _sum_here(file: DataFile) -> str | None:
    path = data_folder() / file.name
    return sha256_of(path) if path.is_file() else None


def _wrong_sum(where: str, found: str | None, file: DataFile) -> str:
    return f"{where} is not the published file: its SHA-256 is {found}, expected {file.sha256}"


def _candidates(folder: Path) -> dict[str, list[Path]]:
    """Return, per published name, the files under `folder` that carry its last part, in sorted order."""
    by_basename = {Path(name).name: name for name in FILES}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.json")):
        if path.name in by_basename and path.is_file():
            found.setdefault(by_basename[path.name], []).append(path)
    return found


def _copy(source: Path, file: DataFile) -> None:
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DataCorrupt(f"{source} cannot be read ({error.strerror or error}); the old file stays") from error
    _install(content, file, str(source))


def _download(file: DataFile) -> None:
    import pooch
    import requests

    received = _Received(file)
    try:
        pooch.HTTPDownloader()(file.url, received, None)
    except requests.exceptions.ChunkedEncodingError as error:
        raise DataCorrupt(f"the download of {file.name} from {file.url} was cut: {error}; try again") from error
    except requests.exceptions.RequestException as error:
        raise DataMissing(
            f"{file.name} could not be downloaded from {file.url}: {error}; try again, or run "
            "`genius-kit data import DIR` if a folder has it"
        ) from error
    _install(received.getvalue(), file, file.url)


class _Received(io.BytesIO):
    """The content of a download, in memory; the published files are small, and what is larger is not one of them."""

    def __init__(self, file: DataFile) -> None:
        super().__init__()
        self._file = file

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > self._file.bytes:
            raise DataCorrupt(
                f"the download of {self._file.name} from {self._file.url} is altered: it has more than the published "
                f"{self._file.bytes} bytes; the old file stays"
            )
        return super().write(content)


def _install(content: bytes, file: DataFile, source: str) -> None:
    """Put a file in its place under its published sum only."""
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataCorrupt(f"{_wrong_sum(source, found, file)}; the old file stays")
    target = data_folder() / file.name
    make_folder(target.parent)
    write_whole(target, content)
