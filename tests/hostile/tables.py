"""Clip tables of own data that are broken or mean harm; the first line is always a sound clip of subject `good`."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

from tests.hostile.cases import Case
from tests.hostile.images import encoded

NAME = "clips.tsv"
HEADER = "subject\tpath\tonset\tapex\toffset\tfps\temotion\n"
GOOD = "good\tgood\t1\t2\t4\t100\tfear\n"


def tree(folder: Path) -> Path:
    """A root with clip folders, and a place beside it that nothing may open."""
    for name in ("root/good", "root/other", "outside/clip"):
        (folder / name).mkdir(parents=True)
        for number in range(1, 5):
            (folder / name / f"img{number}.png").write_bytes(encoded("PNG"))
    return folder / "root"


def table(text: str | bytes, before: Callable[[Path], object] = str) -> Callable[[Path], Path]:
    """A maker of the root with a table of this text."""

    def make(folder: Path) -> Path:
        root = tree(folder)
        before(root)
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        (root / NAME).write_bytes(data.replace(b"{outside}", str(folder / "outside/clip").encode()))
        return root

    return make


def line(path: str = "other", subject: str = "s", rest: str = "\t1\t2\t4\t100\tfear") -> str:
    """A table whose second line has these cells."""
    return f"{HEADER}{GOOD}{subject}\t{path}{rest}\n"


def _link(target: str) -> Callable[[Path], None]:
    return lambda root: (root / "link").symlink_to(target)


def _other(name: str) -> Callable[[Path], None]:
    return lambda root: (root / "other").rename(root / name)  # type: ignore[func-returns-value]


def _pipe(folder: Path) -> Path:
    root = tree(folder)
    os.mkfifo(root / NAME)
    return root


def _huge(folder: Path) -> Path:
    root = tree(folder)
    with (root / NAME).open("wb") as handle:
        handle.write((HEADER + GOOD).encode())
        handle.truncate(1 << 40)
    return root


E_ACUTE = unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")

CASES: list[Case] = [
    # How a table may be saved: read like the plain one.
    Case("table", "BOM", table("\ufeff" + line()), "ok"),
    Case("table", "CRLF", table(line().replace("\n", "\r\n")), "ok"),
    Case("table", "CR alone", table(line().replace("\n", "\r")), "ok"),
    Case("table", "UTF-16", table(line().encode("utf-16")), "ok"),
    Case("table", "semicolons", table(line().replace("\t", ";")), "ok"),
    Case("table", "quoted cells", table(line('"other"', '"s"')), "ok"),
    Case("table", "line break in a quoted cell", table(line(rest='\t1\t2\t4\t100\t"fear\nand awe"')), "ok"),
    Case("table", "empty lines and no end of line", table(f"\n{line()}\n\n".rstrip("\n")), "ok"),
    Case("table", "header in capitals with blanks", table(line().replace("subject\tpath", " SUBJECT \t Path ")), "ok"),
    Case("table", "composed name, decomposed on disk", table(line(E_ACUTE[0]), _other(E_ACUTE[1])), "ok"),
    Case("table", "decomposed name, composed on disk", table(line(E_ACUTE[1]), _other(E_ACUTE[0])), "ok"),
    # No table at all: one sentence before any work.
    Case("table", "empty", table(""), "error", "empty"),
    Case("table", "only blanks", table(" \n\t\n"), "error", "empty"),
    Case("table", "header only", table(HEADER), "error", "no clip is listed"),
    Case("table", "latin-1", table(line(subject="M\xfcller").encode("latin-1")), "error", "UTF-8"),
    Case("table", "a workbook", table(b"PK\x03\x04" + b"\0\xff" * 50), "error", "UTF-8"),
    Case("table", "NUL bytes only", table(b"\0" * 100), "error", "missing subject, path"),
    Case("table", "html", table("<html><body>log in</body></html>"), "error", "missing subject, path"),
    Case("table", "no path column", table("subject\tclip\ns\tx\n"), "error", "missing path"),
    Case("table", "unknown column", table("subject\tpath\tapexx\n"), "error", "unknown columns apexx"),
    Case("table", "duplicate column", table("subject\tpath\tpath\ns\tgood\tother\n"), "error", "path is in the header"),
    Case("table", "more cells than columns", table(line(rest="\t1\t2\t4\t100\tfear\tx\ty")), "warned", "bad_cell"),
    Case("table", "a cell of a megabyte", table(line(rest="\t1\t2\t4\t100\t" + "x" * (1 << 20))), "error", "field larger"),
    Case("table", "quote never closed", table(line('"other') + ("x" * 70 + "\n") * 3000), "error", "field larger"),
    Case("table", "quote never closed in a small table", table(line('"other') + GOOD), "error", "clips.tsv:4"),
    Case("table", "letters after a quote", table(line('"other"s')), "error", "quotation mark"),
    Case("table", "a pipe", _pipe, "error", "not a file"),
    Case("table", "a terabyte", _huge, "error", "bytes"),
    Case("table", "a folder", lambda folder: (tree(folder), (folder / "root" / NAME).mkdir())[0], "error", "not a file"),
    # Paths that lead out, or nowhere.
    Case("table", "path upwards", table(line("../outside/clip")), "rejected", "unsafe_path"),
    Case("table", "path up and down", table(line("good/../../outside/clip")), "rejected", "unsafe_path"),
    Case("table", "absolute path", table(line("{outside}")), "rejected", "unsafe_path"),
    Case("table", "absolute path of the system", table(line("/etc/passwd")), "rejected", "unsafe_path"),
    Case("table", "link out", table(line("link"), _link("../outside/clip")), "rejected", "unsafe_path"),
    Case("table", "link to the root of the disk", table(line("link/etc"), _link("/")), "rejected", "unsafe_path"),
    Case("table", "link in a circle", table(line("link"), _link("link")), "rejected", "unsafe_path"),
    Case("table", "backslashes", table(line("..\\outside\\clip")), "rejected", "source_missing"),
    Case("table", "home folder", table(line("~/clip")), "rejected", "source_missing"),
    Case("table", "a variable", table(line("$HOME/clip")), "rejected", "source_missing"),
    Case("table", "a URL", table(line("http://localhost/clip.mp4")), "rejected", "source_missing"),
    Case("table", "a protocol of FFmpeg", table(line("concat:good/img1.png|other/img1.png")), "rejected", "source_missing"),
    Case("table", "a command", table(line("$(touch pwned)")), "rejected", "source_missing"),
    Case("table", "a pattern", table(line("*")), "rejected", "source_missing"),
    Case("table", "path of 5000 letters", table(line("x" * 5000)), "rejected", "source_missing"),
    Case("table", "path of 3000 levels", table(line("a/" * 3000)), "rejected", "source_missing"),
    Case("table", "NUL in the path", table(line("oth\0er")), "rejected", "source_missing"),
    Case("table", "the root itself", table(line(".")), "rejected", "no_frames"),
    Case("table", "empty path", table(line("")), "rejected", "empty_cell"),
    Case("table", "a letter that looks like another", table(line("оther")), "rejected", "source_missing"),
    # Cells.
    Case("table", "the same clip twice", table(line("good", "good")), "rejected", "duplicate_clip"),
    Case("table", "empty subject", table(line(subject="")), "warned", "empty_cell"),
    Case("table", "subject of dots", table(line(subject="../..")), "ok"),
    Case("table", "subject is a formula", table(line(subject='=HYPERLINK("http://x")')), "ok"),
    Case("table", "subject with control characters", table(line(subject="a\x1b[31mb")), "ok"),
    Case("table", "subject written right to left", table(line(subject="\u202egpj.s")), "ok"),
    Case("table", "subject of 400 letters", table(line(subject="x" * 400)), "ok"),
    Case("table", "emotion with NUL", table(line(rest="\t1\t2\t4\t100\tfe\0ar")), "ok"),
    Case("table", "onset is a formula", table(line(rest="\t=1+1\t2\t4\t100\tfear")), "warned", "bad_cell"),
    Case("table", "onset below zero", table(line(rest="\t-5\t2\t4\t100\tfear")), "warned", "bad_cell"),
    Case("table", "onset of 1e300", table(line(rest="\t1e300\t2\t4\t100\tfear")), "warned", "bad_cell"),
    Case("table", "apex nan", table(line(rest="\t1\tnan\t4\t100\tfear")), "warned", "bad_cell"),
    Case("table", "apex with a comma", table(line(rest="\t1\t2,5\t4\t100\tfear")), "warned", "bad_cell"),
    Case("table", "onset is text", table(line(rest="\tfirst\t2\t4\t100\tfear")), "warned", "bad_cell"),
    Case("table", "rate infinite", table(line(rest="\t1\t2\t4\tinf\tfear")), "warned", "bad_cell"),
    Case("table", "rate zero", table(line(rest="\t1\t2\t4\t0\tfear")), "warned", "bad_cell"),
    Case("table", "rate of 1e-300", table(line(rest="\t1\t2\t4\t1e-300\tfear")), "warned", "bad_cell"),
    Case("table", "offset before onset", table(line(rest="\t4\t\t1\t100\tfear")), "warned", "range_reversed"),
    Case("table", "apex outside", table(line(rest="\t1\t9\t4\t100\tfear")), "warned", "apex_outside"),
    Case("table", "onset not on disk", table(line(rest="\t0\t2\t4\t100\tfear")), "warned", "frame_not_on_disk"),
    Case("table", "no marks", table(line(rest="")), "warned", "onset_missing"),
]  # fmt: skip
