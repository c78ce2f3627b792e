from pathlib import Path

import pytest

from mer_features import databases
from mer_features.core import clips as clip_tables
from mer_features.core import quality
from mer_features.databases import DatabaseError, ingest, refresh_sources, table
from mer_features.workflow.config import validate


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for clip in ("s1/a", "s1/b", "s2/a"):
        (tmp_path / "db" / clip).mkdir(parents=True)
        (tmp_path / "db" / clip / "img1.png").write_bytes(b"x")
    return tmp_path / "db"


def _table(root: Path, text: str) -> Path:
    path = root / "clips.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def _codes(root: Path, text: str) -> dict[str, list[str]]:
    clips = table.read("db", root, _table(root, text)).clips
    return {clip.clip_id: [issue.code for issue in clip.issues] for clip in clips}


def test_columns_in_any_order_and_comma_or_tab(root: Path):
    tabbed = "path\tsubject\tapex\tfps\temotion\ns1/a\ts1\t5\t29.97\tHappiness\n"
    tab = table.read("db", root, _table(root, tabbed)).clips
    comma = table.read("db", root, _table(root, "Subject, path,apex,fps,emotion\ns1,s1/a,5,29.97,Happiness\n")).clips
    assert tab == comma
    assert (tab[0].clip_id, tab[0].apex, tab[0].fps, tab[0].emotion) == ("s1/a", 5, 29.97, "happiness")
    assert tab[0].onset is None


def test_each_bad_line_is_its_own_clip_s_issue(root: Path):
    codes = _codes(
        root,
        "subject\tpath\tclip\tapex\n"
        "s1\ts1/a\tgood\t3\n"
        "s1\ts1/missing\tgone\t3\n"
        "s1\t../../etc\tout\t3\n"
        "s1\t/etc\tabs\t3\n"
        "s1\ts1/b\tslash\t/\n"
        "\ts1/b\tnobody\t1.5\n"
        "s2\t\tnowhere\n",
    )
    assert codes == {
        "s1/good": [],
        "s1/gone": ["source_missing"],
        "s1/out": ["unsafe_path"],
        "s1/abs": ["unsafe_path"],
        "s1/slash": ["bad_cell"],
        "unknown/nobody": ["empty_cell", "bad_cell"],
        "s2/nowhere": ["empty_cell", "source_missing"],
    }


def test_a_symbolic_link_out_of_the_root_is_unsafe(root: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (root / "s1" / "link").symlink_to(tmp_path / "outside")
    assert _codes(root, "subject\tpath\ns1\ts1/link\n") == {"s1/link": ["unsafe_path"]}


def test_names_never_become_paths(root: Path):
    codes = _codes(root, "subject\tpath\tclip\n../x\ts1/a\t..\n")
    (clip_id,) = codes
    assert ".." not in clip_id.split("/")
    assert clip_id.count("/") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("subject\tclip\n", "missing path"),
        ("subject\tpath\tapexx\n", "unknown columns apexx"),
    ],
)
def test_an_unreadable_table_stops_before_any_work(root: Path, text: str, message: str):
    with pytest.raises(DatabaseError, match=message):
        table.read("db", root, _table(root, text))


def test_missing_table_and_wrong_encoding_are_named(root: Path):
    with pytest.raises(DatabaseError, match=r"gone\.tsv"):
        table.read("db", root, root / "gone.tsv")
    (root / "latin.tsv").write_bytes("subject\tpath\nM\xfcller\ts1/a\n".encode("latin-1"))
    with pytest.raises(DatabaseError, match="UTF-8"):
        table.read("db", root, root / "latin.tsv")


def _config(root: Path):
    return validate({"databases": {"db": {"adapter": "table", "root": str(root), "table": "clips.tsv"}}})


def test_duplicates_keep_the_first_and_reject_the_second(root: Path):
    _table(root, "subject\tpath\ns1\ts1/a\ns1\ts1/a\n")
    clips = databases.read("db", _config(root).databases["db"]).clips
    assert [quality.status(clip.issues) for clip in clips] == ["ok", "rejected"]
    assert len({clip.clip_id for clip in clips}) == 2


def test_missing_root_and_empty_table_name_the_place(root: Path):
    _table(root, "subject\tpath\n")
    with pytest.raises(DatabaseError, match="no clip is listed"):
        databases.read("db", _config(root).databases["db"])
    with pytest.raises(DatabaseError, match=r"nowhere.*not a folder"):
        databases.read("db", _config(root / "nowhere").databases["db"])


def test_source_table_moves_only_when_a_file_does(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _table(root, "subject\tpath\ns1\ts1/a\ns2\ts2/a\n")
    monkeypatch.chdir(tmp_path)
    config = _config(root)
    refresh_sources(config.databases)
    path = databases.source_table("db")
    first = (path.read_text(), path.stat().st_mtime_ns)
    refresh_sources(config.databases)
    assert (path.read_text(), path.stat().st_mtime_ns) == first
    (root / "s1/a/img1.png").write_bytes(b"other")
    refresh_sources(config.databases)
    before, after = ({line.split("\t")[0]: line for line in text.splitlines()} for text in (first[0], path.read_text()))
    assert before["s2/a"] == after["s2/a"]
    assert before["s1/a"] != after["s1/a"]


def test_a_mended_label_changes_no_shard_table(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shards = []
    for emotion in ("fear", "happiness"):
        _table(root, f"subject\tpath\temotion\ns1\ts1/a\t{emotion}\n")
        refresh_sources(_config(root).databases)
        ingest.split_table(databases.source_table("db"), "full.tsv", "shards", shards=3)
        assert clip_tables.read("full.tsv")[0].emotion == emotion
        shards.append({file.name: file.read_text() for file in Path("shards").iterdir()})
    assert shards[0] == shards[1]
