"""`mer-features score` on files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mer_features import cli
from mer_features.commands import score

EVENTS = """recording_id\tonset\tapex\toffset\tkind\temotion
s1/a\t10\t15\t30\tmicro\thappiness
s1/a\t100\t120\t200\tmacro\t
s1/b\t5\t8\t20\tmicro\tdisgust
s2/c\t50\t55\t60\tmicro\tsurprise
"""
RECORDINGS = """recording_id\tdatabase\tfirst\tlast\tfps
s1/a\tone\t1\t900\t30
s1/b\tone\t1\t900\t30
s2/c\ttwo\t1\t900\t30
s2/d\ttwo\t1\t1800\t30
"""
RESULT = """subject,video,onset,offset,emotion,apex,score
s1,a,12,30,positive,14,.9
s1,b,-3,20,negative,7,.8
s2,d,100,120,negative,110,.7
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    named = {
        "events": ("events.tsv", EVENTS),
        "recordings": ("recordings.tsv", RECORDINGS),
        "result": ("r.csv", RESULT),
    }
    for name, (file, text) in named.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
        named[name] = (file, text)
    return {name: tmp_path / file for name, (file, _) in named.items()}


def _arguments(files: dict[str, Path], *more: str) -> list[str]:
    options = (f"--{name}={files[name]}" for name in ("events", "recordings"))
    return ["score", str(files["result"]), *options, *more]


def test_json_has_both_kinds_of_scores(files: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    assert cli.main(_arguments(files, "--labels", "megc2019", "--json")) == 0
    result = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    micro, overall = result["spotting"]["micro"], result["spotting"]["overall"]
    assert (micro["tp"], micro["fp"], micro["fn"]) == (2, 1, 1)
    assert (overall["tp"], overall["fp"], overall["fn"]) == (2, 1, 2)
    assert overall["f1"] == pytest.approx(4 / 7)
    assert micro["average_precision"] == pytest.approx(2 / 3)
    assert micro["false_per_minute"] == pytest.approx(1 / 2.5)
    assert micro["false_per_minute_without_event"] == pytest.approx(1)
    assert micro["apex"]["s"] == pytest.approx(1 / 30)
    assert result["spotting"]["macro"]["precision"] is None
    recognition = result["recognition"]
    assert recognition["classes"] == ["negative", "positive", "surprise"]
    assert recognition["fixed"]["strs"] == pytest.approx(2 / 3 * 2 / 3)
    assert recognition["present"]["strs"] == recognition["joint"]["f1"] == pytest.approx(2 / 3)
    public = result["public_evaluators"]
    assert public["STRS-Metric"]["counts"]["micro"]["fp"] == 0  # it does not look at s2/d
    assert public["STRS-Metric"]["values"]["strs"] == pytest.approx(0.8 * 2 / 3)
    assert public["SOFTNet, MEAN"]["counts"]["macro"]["fp"] == 1  # the spot that it adds
    assert public["ABPN"]["source"].startswith("wenhaocold/")
    databases = result["by_database"]
    assert [databases[name]["spotting"]["micro"]["fp"] for name in ("one", "two")] == [0, 1]
    assert result["notes"] == [f"{files['result']}: s1/b: -3 to 20 was cut to 1 to 20."]


def test_the_text_has_both_side_by_side(files: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    assert cli.main(_arguments(files)) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [
        "4",
        "recordings",
        "(1",
        "without",
        "an",
        "event),",
        "2.5",
        "minutes;",
        "4",
        "events,",
        "3",
        "spots",
    ] in lines
    assert ["overall", "2", "1", "2", "0.6667", "0.5000", "0.5714", "0.000", "to", "0.800"] in lines
    assert ["MEGC", "2020", "2-1-1", "0.6667", "0-0-1", "0.0000", "2-1-2", "0.5714"] in lines
    assert ["Zhao", "2022", "1-(-1)-2", "0.6667", "1-2-0", "0.5000", "2-1-2", "0.5714"] in lines
    assert ["STRS", "0.0000", "0.0000"] in lines  # the words of the two files differ: no label map was given


def test_without_a_list_of_recordings(files: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    files["result"].write_text(RESULT.replace("-3", "3").replace("s2,d", "s2,c"))
    assert cli.main(["score", str(files["result"]), "--events", str(files["events"]), "--fps", "30"]) == 0
    printed = capsys.readouterr().out
    assert "only those with an event count" in printed
    assert ["false", "spots", "a", "minute", "–", "–", "–"] in [line.split() for line in printed.splitlines()]


def test_a_bad_result_ends_with_one_sentence(files: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    files["result"].write_text("subject,video,onset,offset,emotion\ns1,a,30,12,positive\n")
    assert cli.main(_arguments(files)) == 2
    assert capsys.readouterr().err == (
        f"mer-features score: {files['result']}:2: offset 12 comes before onset 30; expected onset <= offset\n"
    )


def test_another_frame_rate_and_an_unknown_label_map(files: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    assert cli.main(_arguments(files, "--fps", "200")) == 2
    assert f"{files['recordings']}:2: s1/a has 30 frames per second; 200 were given for all" in capsys.readouterr().err
    assert cli.main(_arguments(files, "--fps", "0")) == 2
    assert "0 is not a frame rate; expected 0.001 to 1e+07 frames per second" in capsys.readouterr().err
    assert cli.main(_arguments(files, "--labels", "mine")) == 2
    assert "'mine' is not a label map; expected megc2019" in capsys.readouterr().err


def test_a_perfect_result_of_own_rows(files: dict[str, Path]):
    scores = score.score_files(files["events"], files["events"], recordings=files["recordings"])
    assert scores.result["spotting"]["overall"]["f1"] == scores.result["recognition"]["fixed"]["strs"] == 1
    assert {item.counts["overall"].f1 for name, item in scores.printed.items() if name in {"ABPN", "AUW-GCN"}} == {1.0}
