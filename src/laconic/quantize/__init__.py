"""Numbers to integers at a rate: grids and trellises, clusters on the line, budgets. No torch."""
