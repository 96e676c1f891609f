"""Reports: what was spent, by whom, on what; and the partitions that keep them fast."""
