"""Networks that teach others: a task in, a task out. Nothing below knows of teachers."""
