"""Comparisons that take many runs: cell architectures, and what querying for labels costs and brings."""
