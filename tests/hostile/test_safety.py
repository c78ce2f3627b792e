"""No network, nothing written outside the results, nothing unpickled."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mer_features import frames
from tests.hostile import images

PACKAGE = Path(__file__).parents[2] / "mer_features"
#: All that runs in a job: the package and the workflow's scripts.
SOURCES = sorted((*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "workflow/scripts").glob("*.py")))

#: Runs in a process of its own: an audit hook cannot be taken away again.
_WATCHED = """
import os, sys
allowed = [os.path.realpath(path) for path in sys.argv[1:3]]
seen = []
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
           "socket.gethostbyname", "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect")
WRITING = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
           "shutil.rmtree", "shutil.move", "shutil.copyfile", "os.chmod", "os.utime"}

def inside(path):
    path = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    real = os.path.realpath(path)
    return not path or real == os.devnull or any(real.startswith(folder) for folder in allowed)

def hook(event, arguments):
    if event in NETWORK:
        seen.append((event, repr(arguments)))
        raise RuntimeError(f"network: {event} {arguments}")
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path, mode, flags = arguments
        writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & writing
        if writes and not inside(path):
            seen.append((event, path))
    # Relative to an open folder (as rmtree does it, which reports the folder itself): the name alone says nothing.
    beside = event in ("os.remove", "os.rmdir", "os.mkdir") and arguments[-1] != -1
    if event in WRITING and not beside and not inside(arguments[0]):
        seen.append((event, repr(arguments)))

sys.dont_write_bytecode = True
sys.addaudithook(hook)
from pathlib import Path
from mer_features import cli, databases
results, clip = Path(sys.argv[1]), sys.argv[3]
os.chdir(results.parent)
options = results.parent / "options.yaml"
file = str(results / "f.h5")
commands = [
    ["extract", clip, "-o", file, "--config", str(options), "--contact-sheet", str(results / "sheet.png")],
    ["show", file], ["validate", file],
    ["export", file, "csv", "-o", str(results / "f.csv")], ["export", file, "npz", "-o", str(results / "npz")],
    ["export", file, "png", "-o", str(results / "png")],
    ["magnify", clip, "-o", str(results / "m.mkv"), "--fps", "25", "--low", "0"],
    ["check", str(results.parent / "own.yaml")],
]
for command in commands:
    code = cli.main(command)
    assert code in (0, 1), (command, code)
from mer_features.workflow import config
databases.refresh_sources(config.load(results.parent / "own.yaml").databases)
assert (results / "sources" / "own.tsv").exists()
print("SEEN", seen)
assert not seen, seen
"""


def test_no_network_and_no_file_outside_the_results(tmp_path: Path):
    """`extract` runs every stage of features; what an audit hook sees are Python's own calls, C libraries open what
    they are given: the list of files beside the results is the proof for those."""
    results, scratch, clip = tmp_path / "results", tmp_path / "tmp", tmp_path / "own" / "clip"
    for folder in (results, scratch, clip):
        folder.mkdir(parents=True)
    images.clip("PNG", None)(clip)
    (tmp_path / "own/clips.tsv").write_text("subject\tpath\ns\tclip\n")
    own = f"databases: {{own: {{adapter: table, root: {tmp_path / 'own'}, table: clips.tsv}}}}\n"
    (tmp_path / "own.yaml").write_text(own)
    options = (
        "faces: {mode: precropped, size: 64}\nflow: {method: farneback}\nstyle: {method: statistical, fit_on: all}\n"
    )
    (tmp_path / "options.yaml").write_text(options)
    home = tmp_path / "home"
    home.mkdir()
    before = _listing(tmp_path)
    environment = os.environ | {"HOME": str(home), "TMPDIR": str(scratch), "MPLCONFIGDIR": str(scratch)}
    environment |= {"NUMBA_CACHE_DIR": str(scratch), "XDG_CACHE_HOME": str(scratch)}
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, str(results), str(scratch), str(clip)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "SEEN []" in done.stdout
    new = {path for path in _listing(tmp_path) - before if not path.startswith(("results/", "tmp/"))}
    assert new == set()


def _listing(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_the_hook_sees_a_connection_and_a_stray_file(tmp_path: Path):
    """The test above can fail."""
    (tmp_path / "results").mkdir()
    hooked = _WATCHED[: _WATCHED.index("from pathlib")]
    for deed, event in (
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "socket"),
        (f"open({str(tmp_path / 'stray')!r}, 'w'); print(seen); assert not seen", "stray"),
    ):
        command = [sys.executable, "-c", hooked + deed, str(tmp_path / "results"), str(tmp_path / "results")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert event in done.stdout + done.stderr


@functools.cache
def _all_calls() -> list[tuple[Path, str, ast.Call]]:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    calls = ((path, node) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [(path, ast.unparse(call.func), call) for path, call in calls]


def _calls(name: str) -> list[tuple[Path, ast.Call]]:
    """Calls of a function, or method, of this dotted end, anywhere in the package."""
    return [(path, call) for path, called, call in _all_calls() if re.search(rf"(^|\.){re.escape(name)}$", called)]


def _said(call: ast.Call, keyword: str) -> object:
    return next((ast.unparse(item.value) for item in call.keywords if item.arg == keyword), None)


def test_nothing_is_unpickled():
    loads = [
        (path, call) for path, call in _calls("torch.load") if not ast.unparse(call.func).startswith("safetensors")
    ]
    assert loads
    assert [path for path, call in loads if _said(call, "weights_only") != "True"] == []
    arrays = _calls("np.load")
    assert arrays
    assert [path for path, call in arrays if _said(call, "allow_pickle") != "False"] == []
    fits = [call for _, call in _calls("trainer.fit")]
    assert all(_said(call, "weights_only") == "True" for call in fits if _said(call, "ckpt_path"))
    forbidden = "|".join(
        (
            r"^\s*(?:import|from) (?:pickle|dill|shelve|marshal|cloudpickle)\b",
            r"joblib\.load|yaml\.(?:load|unsafe_load|full_load)\(|allow_pickle=True|weights_only=False",
            r"\beval\(|\bexec\(|os\.system|shell=True",
        )
    )
    sources = {path: path.read_text(encoding="utf-8") for path in SOURCES}
    found = {path: re.findall(forbidden, text, re.MULTILINE) for path, text in sources.items()}
    # `network.eval()` of PyTorch is a method of no argument.
    assert {path: hits for path, hits in found.items() if [hit for hit in hits if not hit.startswith("eval(")]} == {}
    assert [path for path, call in _calls("eval") if call.args] == []


def test_no_module_of_the_network_is_imported():
    """Standard and third-party clients; torch.hub and scikit-image's downloads by name."""
    clients = "|".join(
        (
            r"^\s*(?:import|from) (?:socket|ssl|http|urllib\.request|ftplib|requests|httpx|aiohttp|urllib3|pooch)\b",
            r"torch\.hub|huggingface|load_state_dict_from_url|pretrained=True|DEFAULT\)|data\.download",
        )
    )
    for path in SOURCES:
        assert re.findall(clients, path.read_text(encoding="utf-8"), re.MULTILINE) == [], path


def test_the_limit_on_decoded_pictures_is_the_documented_one():
    page = (PACKAGE.parent / "docs" / "bad-input.md").read_text(encoding="utf-8")
    assert f"{frames.MAX_PIXELS // 1_000_000} million pixels" in page
    assert frames.MAX_PIXELS == 64_000_000


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_bomb_is_refused_without_memory_for_it(kind: str):
    """20,000 x 20,000 pixels would be 1.2 GB: the process may have far less."""
    code = (
        "import resource, sys\nfrom mer_features import frames\n"
        "from mer_features.core.quality import ClipRejectedError\n"
        "from tests.hostile import images\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)\n"
        f"try:\n    frames.decode_image(images.claiming({kind!r}, 20_000, 20_000), 'x')\n"
        "except ClipRejectedError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
    )  # fmt: skip
    assert "400000000 pixels, at most 64000000 are read" in done.stdout, done.stderr[-2000:]
