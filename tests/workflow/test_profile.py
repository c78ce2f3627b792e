"""The profile for Slurm says how jobs are handed over and nothing that a cluster or a rule has to say."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from mer_features.stages.run import SPECS
from mer_features.workflow.needs import SECONDS_PER_FRAME, STEPS, TRAINING_MINUTES

REPOSITORY = Path(__file__).parents[2]
PROFILE = yaml.safe_load((REPOSITORY / "workflow/profiles/slurm/config.yaml").read_text())
RULES = "\n".join(path.read_text() for path in sorted((REPOSITORY / "workflow/rules").glob("*.smk")))


def test_the_groups_are_stages_and_cannot_wait_for_themselves():
    grouped = {entry.split("=")[0] for entry in PROFILE["groups"]}
    assert grouped == SPECS.keys() - {"style"}  # its fit reads the faces of all shards


def test_attempts_are_counted_in_one_place():
    assert PROFILE["retries"] >= 1
    assert not re.search(r"^\s+retries:", RULES, re.MULTILINE)


def test_nothing_names_a_partition_or_a_kind_of_gpu():
    assert PROFILE["default-resources"].keys() == {"mem_mb", "runtime"}
    assert not re.search(r"slurm_partition|slurm_account|gres|gpu", RULES)


def test_every_rule_asks_the_plan_for_its_resources():
    names = re.findall(r"^(?:rule|checkpoint) (\w+):", RULES, re.MULTILINE)
    asked = re.findall(r'\*\*plan\.needs\("(\w+)"\)', RULES)
    assert len(asked) == len(names)
    assert set(asked) == {*SECONDS_PER_FRAME, *STEPS, *TRAINING_MINUTES}


def test_an_outage_and_a_slow_file_system_are_waited_out():
    assert PROFILE["slurm-status-attempts"] >= 1000
    assert PROFILE["max-status-checks-per-second"] == 1
    assert PROFILE["latency-wait"] >= 30
    assert PROFILE["default-resources"]["mem_mb"] >= 250
