"""C steps: projections of weights on sets of compressed weights, one family a file; and what these cost."""
