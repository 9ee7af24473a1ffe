"""What people look at: the summary of a run and its figures."""
