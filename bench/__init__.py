"""The benchmark: meshgate beside its peers, on real processes. See docs/performance.md."""
