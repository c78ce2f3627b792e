"""Configurations of recordings: names that must exist, and people who must not be on both sides."""

from __future__ import annotations

from typing import Any

import pytest

from mer_features.workflow import config

BASE: dict[str, Any] = {
    "recordings": {"films": {"adapter": "synthetic", "preset": "tiny-long"}},
    "spotting": {"regions": {"recordings": ["films"]}},
    "databases": {
        "micro": {"adapter": "recordings", "recordings": "films"},
        "macro": {"adapter": "recordings", "recordings": "films", "kinds": ["macro"]},
        "spots": {"adapter": "recordings", "recordings": "films", "spotter": "regions"},
    },
}


def test_recordings_need_no_database():
    assert config.validate({"recordings": BASE["recordings"]}).databases == {}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"databases": {"x": BASE["databases"]["micro"]}, "recordings": {}}, "'films' is not defined"),
        ({"spotting": {"x": {"recordings": ["others"]}}}, "'others' is not defined"),
        ({"spotting": {"annotated": {"recordings": ["films"]}}}, "spotting.annotated"),
        ({"recordings": {"micro": BASE["recordings"]["films"]}}, "recordings.micro: a database has this name"),
        ({"protocols": {"p": {"databases": ["micro", "macro"]}}}, "'micro' and 'macro' are of the same recordings"),
        ({"protocols": {"p": {"databases": ["micro"], "spots": {"macro": "micro"}}}}, "'macro' has no spots"),
        (
            {"protocols": {"p": {"databases": ["micro"]}}, "style": {"method": "statistical", "databases": ["macro"]}},
            "macro would be fitted on and is tested",
        ),
        (
            {
                "protocols": {"p": {"databases": ["micro"]}, "learned": {"databases": ["macro"]}},
                "pretraining": {"t": {"task": "eidnet", "protocol": "learned"}},
                "systems": {"eidnet": {"system": "eidnet", "protocols": ["p"], "pretrained": "t"}},
            },
            "learns from 'macro', which has the folder of 'micro', which is tested",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(more: dict[str, Any], message: str):
    tree = config.merge(BASE, more) if more.get("recordings") != {} else BASE | more
    with pytest.raises(config.ConfigError, match=message):
        config.validate(tree)


def test_spots_of_the_same_recordings_are_accepted():
    tree = config.merge(BASE, {"protocols": {"p": {"databases": ["micro"], "spots": {"spots": "micro"}}}})
    assert config.validate(tree).protocols["p"].all_databases == ("micro", "spots")
