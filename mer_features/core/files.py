"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

#: Errors of the destination, not of anything read in the meantime.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
#: Age at which another machine's temporary file, whose writer cannot be checked, counts as abandoned.
_STALE_S = 24 * 3600


@contextmanager
def atomic_path(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """A temporary name beside ``path``, renamed to it if the block succeeds, removed if it does not.

    ``durable`` files are on the disk before they have their name; others need not outlive a power cut.

    After a kill the temporary file keeps its own name (``.<name>.<host>.<process>.<random>.tmp``) until the next
    writer of the same path or :func:`sweep` removes it, so no partial file ever has a final name or is left for
    good.

    Raises
    ------
    OSError
        Naming ``path``, if there is no room for it or its folder may not be written to.
    """
    path = Path(path)
    with _named(path, _NO_ROOM | {errno.EACCES}):
        path.parent.mkdir(parents=True, exist_ok=True)
        for stale in path.parent.glob(f".{path.name}.*.tmp"):
            stale.unlink(missing_ok=True)
        prefix = f".{path.name}.{_host()}.{os.getpid()}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with _named(path, _NO_ROOM):
            yield temporary
            temporary.chmod(0o644)
            if durable:
                with temporary.open("rb") as written:
                    os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _named(path: Path, codes: set[int]) -> Iterator[None]:
    """Make an error at the destination name the intended file, not its temporary."""
    try:
        yield
    except OSError as error:
        ours = error.filename is None or str(error.filename).startswith(str(path.parent))
        if error.errno not in codes or not ours:
            raise
        hint = f"{os.strerror(error.errno)}; nothing half-written is left: make room or mend it and run again"
        raise OSError(error.errno, hint, str(path)) from error


class HeldFile(io.FileIO):
    """A binary file for HDF5 that never fails while it is written; :meth:`check` raises what went wrong.

    HDF5 loses some errors of a full disk and crashes on others when it closes the file (1.14, 2.0). What is written
    after the first error is dropped: the file will be thrown away.
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of ``data``, or pretend to."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += super().write(view[done:])
        except OSError as error:
            self.error = error
        if done < len(view):
            self.seek(len(view) - done, os.SEEK_CUR)
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size, or pretend to."""
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return self.tell() if size is None else size

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer, with zeros where nothing was written."""
        view = memoryview(buffer).cast("B")
        done = super().readinto(view) or 0
        view[done:] = bytes(len(view) - done)
        return len(view)

    def check(self) -> None:
        """Raise the first error of writing, if there was one."""
        if self.error is not None:
            raise self.error


@contextmanager
def atomic_file(path: Path | str, *, durable: bool = True) -> Iterator[HeldFile]:
    """As :func:`atomic_path`, an open file for HDF5 to write into; close HDF5's file before the block ends."""
    with atomic_path(path, durable=durable) as temporary, HeldFile(temporary, "r+") as file:
        yield file
        file.check()


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sweep(folder: Path | str, *, skip: tuple[str, ...] = ()) -> list[Path]:
    """Remove temporaries of :func:`atomic_path` whose writer is gone, anywhere below ``folder``.

    A writer on this machine is gone if its process is; one on another machine (jobs of a cluster) counts as gone
    when its temporary was not touched for a day. A running writer loses nothing.

    Parameters
    ----------
    folder
        Where to look; need not exist.
    skip
        Names of folders directly in ``folder`` that are not looked into.
    """
    removed = []
    for root, folders, names in os.walk(folder):
        if Path(root) == Path(folder):
            folders[:] = [name for name in folders if name not in skip]
        for name in names:
            path = Path(root, name)
            if name.startswith(".") and name.endswith(".tmp") and _is_left(path):
                path.unlink(missing_ok=True)
                removed.append(path)
    return removed


def _is_left(temporary: Path) -> bool:
    *_, host, process, _, _ = ["", "", *temporary.name.split(".")]
    if host == _host() and process.isdigit():
        return not Path("/proc", process).exists()
    try:
        return time.time() - temporary.stat().st_mtime > _STALE_S
    except OSError:
        return False  # renamed meanwhile


def _host() -> str:
    return os.uname().nodename.replace(".", "-")


# Pictures as files.


def write_png(path: Path, image: np.ndarray) -> Path:
    """Write an image (H, W), (H, W, 1) or (H, W, 3) RGB, uint8, as PNG, atomically; returns the path."""
    colour = image.ndim == 3 and image.shape[-1] == 3
    _, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if colour else image)
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return path
