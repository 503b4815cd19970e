"""Published experiments, run again, and what people look at."""
