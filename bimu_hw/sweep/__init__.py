"""Sweeps: one scenario, many values of its keys and many seeds, one dataset."""
