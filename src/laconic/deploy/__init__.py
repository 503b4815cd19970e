"""A network where it runs: what it costs there, and what a machine takes."""
