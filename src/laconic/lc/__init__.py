"""The learning-compression algorithm: `min L(w) s.t. w = Δ(Θ)`, by alternating training and compression."""
