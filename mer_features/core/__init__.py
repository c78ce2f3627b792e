"""What every room builds on: clip tables, issues, files, grey levels, fingerprints of code, logs."""
