"""The harness of the kills sees what it claims to see."""

from __future__ import annotations

import subprocess

from .kills import jobs, kill_session, session

LOG = """
[Thu Nov 26 11:00:00 2026]
localrule ingest:
    input: results/sources/tiny.tsv
    output: results/clips/tiny.tsv, results/clips/tiny
    jobid: 2
[Thu Nov 26 11:00:01 2026]
Finished jobid: 2 (Rule: ingest)
[Thu Nov 26 11:00:02 2026]
rule faces:
    input: results/clips/tiny/s000.tsv
    output: results/faces/tiny/s000.h5
    log: results/logs/faces/tiny/s000.log
    jobid: 5
    wildcards: database=tiny, shard=s000
"""


def test_jobs_are_known_by_their_first_output():
    begun, ended = jobs(LOG)
    assert begun == {"results/clips/tiny.tsv", "results/faces/tiny/s000.h5"}
    assert ended == {"results/clips/tiny.tsv"}


def test_a_session_dies_with_all_its_children():
    leader = subprocess.Popen(["sh", "-c", "sleep 60 & sh -c 'sleep 60' & wait"], start_new_session=True)
    while len(list(session(leader.pid))) < 3:
        pass
    kill_session(leader.pid)
    leader.wait()
    assert list(session(leader.pid)) == []
