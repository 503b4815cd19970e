"""Where a network runs: what it costs there, what a machine takes, and networks that are smaller."""
