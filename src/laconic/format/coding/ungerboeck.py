"""The convolutional codes of trellis-coded quantization: which integers may follow which.

The integers are four subsets D_j = {v : v mod 4 = j}. A trellis of 2^ν states admits in each state the even integers
(D0, D2) or the odd ones (D1, D3), and the subset chosen says which state is next. The decoder knows the state, so
that one bit of choice is gained for a fraction of the distortion it costs.

State s holds ν register bits, the first the lowest: v is even where s is even. With z = 1 in D2 and D3, which is bit
1 of v in two's complement, the next state is (s >> 1) ⊕ (h⁰ >> 1 if s is odd) ⊕ (h¹ >> 1 if z).

Source: G. Ungerboeck, "Channel coding with multilevel/phase signals" (IEEE Trans. IT 28, 1982), Table I: codes for
amplitude modulation; used for quantization by Marcellin & Fischer (IEEE Trans. Communications 38, 1990).
"""

PARITY_CHECKS = {2: (0o5, 0o2), 3: (0o13, 0o04), 4: (0o23, 0o04), 5: (0o45, 0o10), 6: (0o103, 0o024)}
"""(h⁰, h¹) for ν = 2 to 6: 4 to 64 states."""

STATES = {1: 0} | {1 << nu: nu for nu in PARITY_CHECKS}
"""ν of each number of states that a trellis may have; 1 state is none."""


def feedback(nu: int) -> tuple[int, int]:
    """Return what an odd state and what z = 1 change of the next state: (h⁰ >> 1, h¹ >> 1); (0, 0) for ν = 0.

    >>> feedback(3)
    (5, 2)
    """
    h0, h1 = PARITY_CHECKS.get(nu, (0, 0))
    return h0 >> 1, h1 >> 1


def next_state(state: int, level: int, nu: int) -> int:
    """Return the state after ``level``, whose parity is that of ``state``.

    >>> [next_state(0, level, 3) for level in (0, 2, 4, -2)]
    [0, 2, 0, 2]
    """
    odd, far = feedback(nu)
    return (state >> 1) ^ (odd if state & 1 else 0) ^ (far if level & 2 else 0)
