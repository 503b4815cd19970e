"""Which error matters, and what no method can beat: metrics, importances, rate-distortion functions."""
