"""Arrays of a run as SPICE netlists, and the check of the simulator's circuits against ngspice.

`replay` finds the array of one query again; `netlist` writes it down; `ngspice` solves it; `check` compares.
"""
