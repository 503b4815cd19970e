"""What each tensor of a network gets: patterns, and the techniques that they can ask for."""
