"""Networks and their weights: reference networks, readers of data sets, weights by name, checkpoints."""
