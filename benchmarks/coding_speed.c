/* The twin of laconic's decoders in C: static rANS fused with the table of values, eight lanes in registers.
 *
 * 32-bit states of at least 2^16, 16-bit words, probabilities in 1/4096. An entry of the table of slots holds
 * frequency - 1 in bits 0-11, slot - bias in bits 12-23 and the symbol in bits 24-31. Symbol i belongs to lane i mod 8;
 * counts are multiples of 8. With a trellis each lane walks eight states, and the state's lowest bit says which of two
 * tables codes the next symbol. Compiled and called by coding_speed.py.
 */
#include <stddef.h>
#include <stdint.h>

#define LOW 65536u
#define SLOTS 4096u

static inline uint32_t next_state(uint32_t s, uint32_t y) {
    return (s >> 1) ^ (s & 1 ? 5 : 0) ^ ((y ^ (y >> 1)) & 1 ? 2 : 0);
}

/* Encode backwards; words fill `words` from its end. Returns the place of the first. `which` says each symbol's table;
 * frequencies and biases have 256 entries a table. */
size_t encode(const uint8_t *symbols, const uint8_t *which, size_t count, const uint32_t *frequencies,
              const uint32_t *biases, uint32_t *states, uint16_t *words, size_t room) {
    for (int lane = 0; lane < 8; lane++) states[lane] = LOW;
    for (size_t i = count; i-- > 0;) {
        uint32_t entry = 256u * which[i] + symbols[i], f = frequencies[entry];
        uint64_t x = states[i % 8];
        if (x >= (uint64_t)f << 20) {
            words[--room] = (uint16_t)x;
            x >>= 16;
        }
        states[i % 8] = (uint32_t)((x / f << 12) + x % f + biases[entry]);
    }
    return room;
}

/* Write the table that each symbol is coded with: the lowest bit of its lane's state. */
void walk(const uint8_t *symbols, size_t count, uint8_t *which) {
    uint32_t states[8] = {0};
    for (size_t i = 0; i < count; i++) {
        which[i] = states[i % 8] & 1;
        states[i % 8] = next_state(states[i % 8], symbols[i]);
    }
}

/* Put a word below x where x is low; the word is read in any case. gcc makes a branch of a choice between the two, which
 * the processor guesses wrong at every fifth symbol: so C masks, and MOVES has the choice written in assembly. */
#ifdef MOVES
#define REFILL(x, empty)                         \
    {                                            \
        uint32_t refilled = x << 16 | *words;    \
        __asm__("cmp %2, %0\n\tcmovb %1, %0"     \
                : "+r"(x)                        \
                : "r"(refilled), "r"(LOW)        \
                : "cc");                         \
    }
#else
#define REFILL(x, empty) x = x << (empty << 4) | (*words & (0u - empty));
#endif

/* Take an entry off state x. */
#define POP(x, entry)                                                \
    x = ((entry & 4095) + 1) * (x >> 12) + (entry >> 12 & 4095);     \
    {                                                                \
        uint32_t empty = x < LOW;                                    \
        REFILL(x, empty)                                             \
        words += empty;                                              \
    }

#define PLAIN(x, k)                               \
    {                                             \
        uint32_t entry = table[x & (SLOTS - 1)];  \
        out[i + k] = values[entry >> 24];         \
        POP(x, entry)                             \
    }

#define TRELLIS(x, s, k)                                             \
    {                                                                \
        uint32_t entry = table[(s & 1) * SLOTS + (x & (SLOTS - 1))]; \
        uint32_t y = entry >> 24;                                    \
        out[i + k] = values[(s & 1) * 256 + y];                      \
        s = next_state(s, y);                                        \
        POP(x, entry)                                                \
    }

void decode(const uint16_t *words, size_t count, const uint32_t *states, const uint32_t *table, const float *values,
            float *out) {
    uint32_t a = states[0], b = states[1], c = states[2], d = states[3];
    uint32_t e = states[4], f = states[5], g = states[6], h = states[7];
    for (size_t i = 0; i < count; i += 8) {
        PLAIN(a, 0) PLAIN(b, 1) PLAIN(c, 2) PLAIN(d, 3) PLAIN(e, 4) PLAIN(f, 5) PLAIN(g, 6) PLAIN(h, 7)
    }
}

void decode_trellis(const uint16_t *words, size_t count, const uint32_t *states, const uint32_t *table,
                    const float *values, float *out) {
    uint32_t a = states[0], b = states[1], c = states[2], d = states[3];
    uint32_t e = states[4], f = states[5], g = states[6], h = states[7];
    uint32_t p = 0, q = 0, r = 0, s = 0, t = 0, u = 0, v = 0, w = 0;
    for (size_t i = 0; i < count; i += 8) {
        TRELLIS(a, p, 0) TRELLIS(b, q, 1) TRELLIS(c, r, 2) TRELLIS(d, s, 3)
        TRELLIS(e, t, 4) TRELLIS(f, u, 5) TRELLIS(g, v, 6) TRELLIS(h, w, 7)
    }
}
