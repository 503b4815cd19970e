"""Where a network runs: modules and graphs, what they cost and take, and networks that are smaller."""
