import pytest

from mer_features.core import quality
from mer_features.core.quality import ClipRejectedError, Issue, Status


def test_the_worst_issue_decides():
    assert quality.status([]) is Status.OK
    assert quality.status([Issue("several_faces")]) is Status.WARNED
    assert quality.status([Issue("several_faces"), Issue("no_face")]) is Status.REJECTED


def test_flags_are_the_bits_of_the_codes():
    order = list(quality.CODES)
    issues = [Issue("no_face", "a"), Issue("no_face", "b"), Issue("unsafe_path")]
    assert quality.flags(issues) == 2 ** order.index("no_face") + 2 ** order.index("unsafe_path")
    assert len(order) <= 62  # they must fit the cache's int64


def test_text_round_trip():
    issues = (Issue("bad_cell", 'apex: "/"\n'), Issue("no_face"))
    assert quality.loads(quality.dumps(issues)) == issues
    assert "\n" not in quality.dumps(issues)
    assert quality.loads("") == ()


def test_unknown_codes_are_refused():
    with pytest.raises(ValueError, match="no_such_code"):
        Issue("no_such_code")
    with pytest.raises(ValueError, match="no_such_code"):
        ClipRejectedError("no_such_code")
