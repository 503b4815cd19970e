"""What is minimised and how: tasks, the one training loop, rounding at random, silent neurons."""
