"""Files of the package's own formats that are cut, of another version, or carry a payload: each is one sentence."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np

from tests.hostile.cases import Case, written
from tests.hostile.images import HTML

SAMPLE = Path(__file__).parents[1] / "data" / "cache-v1.h5"
Spoil = Callable[[h5py.File], None]


class Payload:
    """Unpickled, it leaves a file: the proof that something was executed."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def mark(folder: Path) -> Path:
    """What a payload leaves."""
    return folder / "executed"


# HDF5


def _cache(spoil: Spoil) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = Path(shutil.copy(SAMPLE, folder / "c.h5"))
        with h5py.File(path, "r+") as file:
            spoil(file)
        return path

    return make


def _stage(spoil: Spoil | None = None, share: float = 1.0) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from mer_features.core.quality import Issue
        from mer_features.stages.store import ClipRecord, ShardWriter

        path = folder / "s000.h5"
        with ShardWriter(path, "faces", {"size": 32}) as writer:
            crops = np.zeros((4, 8, 8, 1), np.uint8)
            writer.add(ClipRecord("s/c", {"crops": crops}, {"onset": 0}, (Issue("onset_missing"),)))
        if spoil is not None:
            with h5py.File(path, "r+") as file:
                spoil(file)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return make


def _cut(share: float) -> Callable[[Path], Path]:
    data = SAMPLE.read_bytes()
    return written("c.h5", data[: int(len(data) * share)])


def _set(name: str, value: object, where: str = "/") -> Spoil:
    return lambda file: file[where].attrs.__setitem__(name, value)


def _replace(name: str, value: object) -> Spoil:
    def spoil(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return spoil


def _stage_elsewhere(file: h5py.File) -> None:
    file["clips/s/c/elsewhere"] = h5py.ExternalLink("/etc/passwd", "/x")


def _stage_virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (3,))
    file.create_virtual_dataset("clips/s/c/virtual", layout)


def _link(name: str, link: object) -> Spoil:
    return _replace(name, link)


def _loop(file: h5py.File) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        file[f"flow/{one}"] = h5py.SoftLink(f"/flow/{other}")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "i1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", (4,))
    file["flow"].create_virtual_dataset("raw", layout)


def _claims_terabytes(file: h5py.File) -> None:
    del file["clip_id"]
    text = h5py.string_dtype()
    file.create_dataset("clip_id", (1 << 40,), text, chunks=(1 << 10,)).attrs.update(
        long_name="x", units="1", source="x"
    )


def _stage_terabytes(file: h5py.File) -> None:
    del file["clip_id"]
    file.create_dataset("clip_id", (1 << 40,), h5py.string_dtype(), chunks=(1 << 10,))


HDF5: list[Case] = [
    Case("cache", "zero bytes", written("c.h5", b""), "error", "not an HDF5 file"),
    Case("cache", "text", written("c.h5", b"clips\n"), "error", "not an HDF5 file"),
    Case("cache", "html", written("c.h5", HTML), "error", "not an HDF5 file"),
    Case("cache", "cut by half", _cut(0.5), "error", "damaged"),
    Case("cache", "cut by one byte in a thousand", _cut(0.999), "error", "damaged"),
    Case("cache", "signature only", _cut(0.0001), "error", "damaged"),
    Case("cache", "another schema", _cache(_set("schema", "holiday photos")), "error", "'holiday photos'"),
    Case("cache", "future version", _cache(_set("schema_version", 99)), "error", "99 is newer"),
    Case("cache", "version is text", _cache(_set("schema_version", "one")), "error", "'one'"),
    Case("cache", "not complete", _cache(_set("complete", 0)), "error", "incomplete"),
    Case("cache", "external link", _cache(_link("flow/u", h5py.ExternalLink("/etc/passwd", "/x"))), "error", "ExternalLink"),
    Case("cache", "soft link", _cache(_link("flow/u", h5py.SoftLink("/flow/v"))), "error", "SoftLink"),
    Case("cache", "soft links in a circle", _cache(_loop), "error", "SoftLink"),
    Case("cache", "group that holds itself", _cache(lambda f: f["flow"].__setitem__("in", f["flow"])), "error", "twice"),
    Case("cache", "virtual dataset", _cache(_virtual), "error", "another file"),
    Case("cache", "flow as float", _cache(_replace("flow/u", np.zeros((3, 2, 32, 32)))), "error", "flow/u"),
    Case("cache", "flow of another shape", _cache(_replace("flow/u", np.zeros((1, 1), np.int16))), "error", "flow/u"),
    Case("cache", "numbers for names", _cache(_replace("clip_id", np.arange(3))), "error", "clip_id"),
    Case("cache", "a column that claims terabytes", _cache(_claims_terabytes), "error", "clip_id"),
    Case("stage file", "zero bytes", written("s000.h5", b""), "error", "not a readable stage file"),
    Case("stage file", "text", written("s000.h5", b"x" * 100), "error", "not a readable stage file"),
    Case("stage file", "cut by half", _stage(share=0.5), "error", "not a readable stage file"),
    Case("stage file", "a cache instead", lambda f: Path(shutil.copy(SAMPLE, f / "s.h5")), "error", "not a complete stage file"),
    Case("stage file", "future version", _stage(_set("format", 99)), "error", "99"),
    Case("stage file", "array elsewhere", _stage(_stage_elsewhere), "error", "s/c"),
    Case("stage file", "array of virtual data", _stage(_stage_virtual), "error", "in another file"),
    Case("stage file", "versions", _stage(_set("format", [1, 1])), "error", "not a complete stage file"),
    Case("stage file", "options are a list", _stage(_set("options", "[]")), "error", "options"),
    Case("stage file", "a table of clips", _stage(_replace("clip_id", np.array([[b"s/c"]]))), "error", "clip_id"),
    Case("stage file", "not complete", _stage(_set("complete", False)), "error", "not a complete stage file"),
    Case("stage file", "no list of clips", _stage(lambda f: f.__delitem__("clip_id")), "error", "clip_id"),
    Case("stage file", "list of clips of numbers", _stage(_replace("clip_id", np.arange(3))), "error", "clip_id"),
    Case("stage file", "list of clips that claims terabytes", _stage(_stage_terabytes), "error", "clip_id"),
    Case("stage file", "a clip is missing", _stage(lambda f: f["clips"].__delitem__("s")), "error", "s/c"),
    Case("stage file", "no status", _stage(lambda f: f["clips/s/c"].attrs.__delitem__("status")), "error", "s/c"),
    Case("stage file", "unknown status", _stage(_set("status", "fine", "clips/s/c")), "error", "s/c"),
    Case("stage file", "issues are no JSON", _stage(_set("issues", "{", "clips/s/c")), "error", "s/c"),
    Case("stage file", "issue of a newer version", _stage(_set("issues", '[{"code": "x"}]', "clips/s/c")), "error", "s/c"),
    Case("stage file", "options are no JSON", _stage(_set("options", "{")), "error", "options"),
    Case("stage file", "external link", _stage(_link("clips/s/c", h5py.ExternalLink("/etc/passwd", "/x"))), "error", "s/c"),
    Case("stage file", "soft link in a circle", _stage(_link("clips/s/c", h5py.SoftLink("/clips/s/c"))), "error", "s/c"),
]  # fmt: skip


# Tables and configurations


def _clip_table(row: str, header: str | None = None) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        from mer_features.core import clips

        top = clips.dumps([]).rstrip("\n") if header is None else header
        (folder / "clips.tsv").write_text(f"{top}\n{row}\n", newline="")
        return folder / "clips.tsv"

    return make


def _yaml(text: str) -> Callable[[Path], Path]:
    return written("c.yaml", text.encode())


LAUGHS = "a0: &a0 [ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))

TEXT: list[Case] = [
    Case("clip table", "empty", written("clips.tsv", b""), "error", "not a clip table"),
    Case("clip table", "another header", _clip_table("", "a\tb"), "error", "not a clip table"),
    Case("clip table", "too few cells", _clip_table("s/c\td"), "error", "cells"),
    Case("clip table", "a number that is none", _clip_table("s/c\td\ts\tx\tone" + "\t" * 10), "error", "first"),
    Case("clip table", "issues are no JSON", _clip_table("s/c\td\ts\tx" + "\t" * 11 + "{"), "error", "issues"),
    Case("clip table", "a cell of a megabyte", _clip_table("s/c\td\ts\t" + "x" * (1 << 20) + "\t" * 11), "error", "field larger"),
    Case("clip table", "not UTF-8", written("clips.tsv", b"\xff\xfe\x00clip"), "error", "UTF-8"),
    Case("configuration", "empty", _yaml(""), "error", "tree of sections"),
    Case("configuration", "a list", _yaml("- a\n"), "error", "tree of sections"),
    Case("configuration", "not YAML", _yaml("a: [\n"), "error", "not valid YAML"),
    Case("configuration", "not UTF-8", written("c.yaml", b"databases: \xff\xfe\n"), "error", "UTF-8"),
    Case("configuration", "NUL", written("c.yaml", b"databases: \0\n"), "error", "not valid YAML"),
    Case("configuration", "a Python object", _yaml("a: !!python/object/apply:os.system ['touch executed']\n"), "error", "not valid YAML"),
    Case("configuration", "a billion laughs", _yaml(LAUGHS + "databases: *a11\n"), "error", "databases"),
    Case("configuration", "2000 levels", _yaml("databases: " + "[" * 2000 + "]" * 2000), "error", "nested too deeply"),
    Case("configuration", "holds itself", _yaml("databases: &a\n  x: *a\n"), "error", "databases"),
    Case("configuration", "a key that is no text", _yaml("databases: {1: {adapter: table}}\n"), "error", "databases"),
    Case("configuration", "a date for a name", _yaml("2020-01-01: x\ndatabases: {}\n"), "error", "Keys should be strings"),
    Case("configuration", "name that is a path", _yaml("databases: {../x: {adapter: synthetic}}\n"), "error", "letters, digits"),
    Case("configuration", "name of 300 letters", _yaml(f"databases: {{{'x' * 300}: {{adapter: synthetic}}}}\n"), "error", "letters"),
]  # fmt: skip


# Checkpoints


def _pickled(folder: Path) -> Path:
    path = folder / "w.pt"
    path.write_bytes(pickle.dumps(Payload(mark(folder))))
    return path


def _torch_payload(folder: Path) -> Path:
    import torch

    torch.save({"weights": Payload(mark(folder))}, folder / "w.pt")
    return folder / "w.pt"


def _module(folder: Path) -> Path:
    import torch

    torch.save(torch.nn.Linear(2, 2), folder / "w.pt")
    return folder / "w.pt"


def _other_tree(folder: Path) -> Path:
    import torch

    torch.save([1, 2, 3], folder / "w.pt")
    return folder / "w.pt"


def _tensors(values: Mapping[str, tuple[int, ...]]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import torch

        torch.save({name: torch.zeros(shape) for name, shape in values.items()}, folder / "w.pt")
        return folder / "w.pt"

    return make


def _cut_weights(folder: Path) -> Path:
    path = _tensors({"a": (50, 50)})(folder)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def _pickled_npz(folder: Path) -> Path:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.array([Payload(mark(folder))], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(folder / "w.npz", "w") as archive:
        archive.writestr("weight.npy", out.getvalue())
        archive.writestr("bias.npy", out.getvalue())
    return folder / "w.npz"


CHECKPOINTS: list[Case] = [
    Case("checkpoint", "zero bytes", written("w.pt", b""), "error"),
    Case("checkpoint", "text", written("w.pt", b"weights"), "error"),
    Case("checkpoint", "html", written("w.pt", HTML), "error"),
    Case("checkpoint", "cut", _cut_weights, "error"),
    Case("checkpoint", "a pickle that executes", _pickled, "error"),
    Case("checkpoint", "a torch file that executes", _torch_payload, "error"),
    Case("checkpoint", "a whole module", _module, "error"),
    Case("checkpoint", "no tensors", _other_tree, "error"),
    Case("checkpoint", "other tensors", _tensors({"a": (3,)}), "error"),
    Case("checkpoint", "missing", lambda folder: folder / "w.pt", "error"),
    Case("checkpoint", "a folder", lambda folder: folder, "error"),
    Case("checkpoint", "npz with a pickle that executes", _pickled_npz, "error"),
]
