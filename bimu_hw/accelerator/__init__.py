"""Floor 6: time. Who waits for what, in integer picoseconds.

What the model of time contains: inputs arrive and wait in a bounded queue that drops when it is full; one
controller serves queries and updates one after the other, updates first; a query takes its Monte Carlo samples
through the layers in turn; tiles of a layer work in lock-step and are one operation, converters are shared by
neighbouring columns, and the stages of a job pass as one event; a label comes after the oracle's latency; an update
reads lam, computes the rule and programs row by row; a refreshed pair is programmed by itself; whatever is powered
leaks.

What it does not contain: pipelining of samples over layers, several queries in flight, contention between single tiles,
bus and network-on-chip traffic, write-verify and wake-up times.
"""
