"""Could the small network have been trained from the start? Lottery tickets, their controls, and narrow networks."""
