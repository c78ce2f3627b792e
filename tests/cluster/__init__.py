"""Runs on a cluster, kills, full disks: what a workflow meets outside of a laptop."""
