/* Kernels of dense layers; the exporter drops this comment and gives `e1d` the model's own name.
 *
 * A kernel multiplies two rows of weights by n activations. Sums wrap in uint32_t: the Program has proved that results
 * fit in int32_t, so what wraps on the way there wraps back.
 *
 * One table of weights serves every processor. A unit holds the weights of one input in two rows, raised by half their
 * range to be positive, as `first + (second << bits)`. Times the input, units add up to the sums of both rows in one
 * number; shifted right, to the sum of the second row. What raising adds is a multiple of the sum of all inputs, which
 * the caller subtracts.
 *
 * Three ways to the same integers. With SMLAD (Cortex-M4, M7, M33), activations are signed, two to a word; defining
 * E1D_SOFTWARE_DSP takes this way on any processor. Elsewhere activations are unsigned (a layer with negative ones
 * raises them by E1D_ZERO), because a Cortex-M0 loads no signed ones at a fixed distance. It has its own loops in
 * assembly: from C, compilers take half as many instructions again.
 */
/* Sums may wrap, which a sanitizer of unsigned arithmetic would report. */
#if defined(__clang__)
#define E1D_WRAPS __attribute__((no_sanitize("unsigned-integer-overflow", "unsigned-shift-base", "implicit-conversion")))
#else
#define E1D_WRAPS
#endif

#if defined(E1D_SOFTWARE_DSP) || (defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__thumb2__))
typedef uint32_t e1d_activation; /* two of them */
typedef uint32_t e1d_weights8;   /* of two inputs; a flipped bit leaves the second row signed instead of raised */
typedef uint32_t e1d_weights4;   /* of four inputs, in the order that leaves neighbours in the halves of a word */
typedef uint32_t e1d_weights16;  /* of two inputs, in one row */
#define E1D_ROOM(n) ((n) / 2)
#define E1D_ZERO 0u
#define E1D_RAISED(sum) 0u
#define E1D_WEIGHTS8(a, b) ((a##u | (uint32_t)b##u << 16) ^ 0x80008000u)
#define E1D_WEIGHTS4(a, b, c, d) (a##u | (uint32_t)b##u << 16 | (uint32_t)c##u << 8 | (uint32_t)d##u << 24)
#define E1D_WEIGHTS16(a, b) (((uint32_t)(a) & 65535u) | ((uint32_t)(b) & 65535u) << 16)

/* sum + the products of the lower halves and of the upper halves, all signed. */
static inline E1D_WRAPS uint32_t e1d_smlad(uint32_t x, uint32_t y, uint32_t sum)
{
#ifdef E1D_SOFTWARE_DSP
    const int32_t lower = (int32_t)(int16_t)(x & 65535u) * (int16_t)(y & 65535u);
    const int32_t upper = (int32_t)(int16_t)(x >> 16) * (int16_t)(y >> 16);
    return sum + (uint32_t)lower + (uint32_t)upper;
#else
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(x), "r"(y));
    return sum;
#endif
}

/* Stores activations i and i + 1, where i is even; returns the sum of what it stored. */
static inline E1D_WRAPS uint32_t e1d_store(e1d_activation *x, int32_t i, int32_t first, int32_t second)
{
    x[i >> 1] = ((uint32_t)first & 65535u) | (uint32_t)second << 16;
    return (uint32_t)first + (uint32_t)second;
}

#ifdef E1D_SOFTWARE_DSP
#define E1D_TWO8                                                                            \
    {                                                                                       \
        const uint32_t lower = (uint32_t)(int32_t)(int8_t)(*w >> 8 & 255u);                 \
        const uint32_t upper = (uint32_t)(int32_t)(int8_t)(*w >> 24);                       \
        both = e1d_smlad(*x, *w++, both);                                                   \
        second = e1d_smlad(*x++, (lower & 65535u) | upper << 16, second);                   \
    }
#define E1D_EIGHT8 E1D_TWO8 E1D_TWO8 E1D_TWO8 E1D_TWO8
#else
#define E1D_TWO8                                                                            \
    {                                                                                       \
        uint32_t v, t;                                                                      \
        __asm__ volatile("ldr %4, [%2], #4\n\tldr %5, [%3], #4\n\t"                         \
                         "smlad %0, %4, %5, %0\n\tsxtb16 %5, %5, ror #8\n\t"                \
                         "smlad %1, %4, %5, %1"                                             \
                         : "+r"(both), "+r"(second), "+r"(x), "+r"(w), "=&r"(v), "=&r"(t)   \
                         :                                                                  \
                         : "memory");                                                       \
    }
#define E1D_FOUR8                                                                           \
    {                                                                                       \
        uint32_t v, v2, t, t2;                                                              \
        __asm__ volatile("ldrd %4, %6, [%2], #8\n\tldrd %5, %7, [%3], #8\n\t"               \
                         "smlad %0, %4, %5, %0\n\tsxtb16 %5, %5, ror #8\n\t"                \
                         "smlad %1, %4, %5, %1\n\t"                                         \
                         "smlad %0, %6, %7, %0\n\tsxtb16 %7, %7, ror #8\n\t"                \
                         "smlad %1, %6, %7, %1"                                             \
                         : "+r"(both), "+r"(second), "+r"(x), "+r"(w), "=&r"(v), "=&r"(t),  \
                           "=&r"(v2), "=&r"(t2)                                             \
                         :                                                                  \
                         : "memory");                                                       \
    }
#define E1D_EIGHT8 E1D_FOUR8 E1D_FOUR8
#endif
#define E1D_PAIR4(t)                                                                        \
    {                                                                                       \
        const uint32_t halves = (t) & 0x00FF00FFu;                                          \
        both = e1d_smlad(*x, halves, both);                                                 \
        second = e1d_smlad(*x++, halves >> 4 & 0x000F000Fu, second);                        \
    }
#define E1D_FOUR4                                                                           \
    {                                                                                       \
        E1D_PAIR4(*w)                                                                       \
        E1D_PAIR4(*w >> 8)                                                                  \
        w++;                                                                                \
    }
#define E1D_EIGHT4 E1D_FOUR4 E1D_FOUR4
#define E1D_TWO16 *sums = e1d_smlad(x[i], *w++, *sums);

#else
typedef uint16_t e1d_activation;
typedef uint16_t e1d_weights8; /* of one input */
typedef uint8_t e1d_weights4;  /* of one input */
typedef int16_t e1d_weights16; /* of one input, in one row */
#define E1D_ROOM(n) (n)
#define E1D_ZERO 32768u
#define E1D_RAISED(sum) (sum)
#define E1D_WEIGHTS8(a, b) a, b
#define E1D_WEIGHTS4(a, b, c, d) a, b, c, d
#define E1D_WEIGHTS16(a, b) a, b

/* Stores activations i and i + 1; returns the sum of what it stored. */
static inline E1D_WRAPS uint32_t e1d_store(e1d_activation *x, int32_t i, int32_t first, int32_t second)
{
    x[i] = (uint16_t)first;
    x[i + 1] = (uint16_t)second;
    return (uint32_t)first + (uint32_t)second;
}

#if defined(__GNUC__) && (defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__))
#define E1D_UNIT(load, bits, x, w)                                                                              \
    "ldrh %4, [%2, #" #x "]\n\t" load " %5, [%3, #" #w "]\n\tlsrs %6, %5, #" #bits "\n\t"                       \
    "muls %5, %4\n\tadds %0, %0, %5\n\tmuls %6, %4\n\tadds %1, %1, %6\n\t"
#define E1D_UNITS(units, by_x, by_w)                                                                            \
    {                                                                                                           \
        uint32_t v, t, u;                                                                                       \
        __asm__ volatile(".syntax unified\n\t" units "adds %2, #" #by_x "\n\tadds %3, #" #by_w                  \
                         : "+l"(both), "+l"(second), "+l"(x), "+l"(w), "=&l"(v), "=&l"(t), "=&l"(u)             \
                         :                                                                                      \
                         : "memory", "cc");                                                                     \
    }
#define E1D_UNIT8(x) E1D_UNIT("ldrh", 8, x, x)
#define E1D_UNIT4(x, w) E1D_UNIT("ldrb", 4, x, w)
#define E1D_TWO8 E1D_UNITS(E1D_UNIT8(0) E1D_UNIT8(2), 4, 4)
#define E1D_EIGHT8                                                                                              \
    E1D_UNITS(E1D_UNIT8(0) E1D_UNIT8(2) E1D_UNIT8(4) E1D_UNIT8(6) E1D_UNIT8(8) E1D_UNIT8(10) E1D_UNIT8(12)      \
                  E1D_UNIT8(14),                                                                                \
              16, 16)
#define E1D_FOUR4 E1D_UNITS(E1D_UNIT4(0, 0) E1D_UNIT4(2, 1) E1D_UNIT4(4, 2) E1D_UNIT4(6, 3), 8, 4)
#define E1D_EIGHT4                                                                                              \
    E1D_UNITS(E1D_UNIT4(0, 0) E1D_UNIT4(2, 1) E1D_UNIT4(4, 2) E1D_UNIT4(6, 3) E1D_UNIT4(8, 4) E1D_UNIT4(10, 5)  \
                  E1D_UNIT4(12, 6) E1D_UNIT4(14, 7),                                                            \
              16, 8)
#else
#define E1D_UNIT(bits, read)                                                                \
    {                                                                                       \
        const uint32_t v = *x++;                                                            \
        const uint32_t t = read(w);                                                         \
        w++;                                                                                \
        both += t * v;                                                                      \
        second += (t >> bits) * v;                                                          \
    }
#define E1D_UNIT8 E1D_UNIT(8, E1D_READ_16)
#define E1D_UNIT4 E1D_UNIT(4, E1D_READ_8)
#define E1D_TWO8 E1D_UNIT8 E1D_UNIT8
#define E1D_EIGHT8 E1D_TWO8 E1D_TWO8 E1D_TWO8 E1D_TWO8
#define E1D_FOUR4 E1D_UNIT4 E1D_UNIT4 E1D_UNIT4 E1D_UNIT4
#define E1D_EIGHT4 E1D_FOUR4 E1D_FOUR4
#endif
#define E1D_TWO16                                                                           \
    *sums += (uint32_t)(int32_t)(int16_t)E1D_READ_16(w) * x[2 * i];                         \
    *sums += (uint32_t)(int32_t)(int16_t)E1D_READ_16(w + 1) * x[2 * i + 1];                 \
    w += 2;
#endif

#if defined(__AVR__)
#define E1D_EIGHTS(n) 0 /* a multiplication is a call there: a longer loop takes more flash and no less time */
#else
#define E1D_EIGHTS(n) ((n) & ~7)
#endif

/* The bias of a row, less what raising the activations adds to its sum. */
#define E1D_BIAS(bias, weights) ((uint32_t)(bias) - E1D_ZERO * (uint32_t)(weights))

/* Two rows of int8 weights times n activations, n even; returns where the next two rows begin. */
E1D_SHARED E1D_WRAPS const e1d_weights8 *e1d_dot8(const e1d_activation *x, const e1d_weights8 *w, int32_t n, uint32_t *sums)
{
    const e1d_activation *const eights = x + E1D_ROOM(E1D_EIGHTS(n));
    const e1d_activation *const end = x + E1D_ROOM(n);
    uint32_t both = 0;
    uint32_t second = 0;
    while (x != eights) {
        E1D_EIGHT8
    }
    while (x != end) {
        E1D_TWO8
    }
    sums[0] = both - (second << 8);
    sums[1] = second;
    return w;
}

/* Two rows of int4 weights times n activations, n a multiple of 4; returns where the next two rows begin. */
E1D_SHARED E1D_WRAPS const e1d_weights4 *e1d_dot4(const e1d_activation *x, const e1d_weights4 *w, int32_t n, uint32_t *sums)
{
    const e1d_activation *const eights = x + E1D_ROOM(E1D_EIGHTS(n));
    const e1d_activation *const end = x + E1D_ROOM(n);
    uint32_t both = 0;
    uint32_t second = 0;
    while (x != eights) {
        E1D_EIGHT4
    }
    while (x != end) {
        E1D_FOUR4
    }
    sums[0] = both - (second << 4);
    sums[1] = second;
    return w;
}

/* Two rows of int16 weights, one after the other, times n activations, n even; returns where the next two begin. */
E1D_SHARED E1D_WRAPS const e1d_weights16 *e1d_dot16(const e1d_activation *x, const e1d_weights16 *w, int32_t n, uint32_t *sums)
{
    uint32_t *const end = sums + 2;
    for (; sums != end; sums++) {
        int32_t i;
        *sums = 0;
        for (i = 0; i < n >> 1; i++) {
            E1D_TWO16
        }
    }
    return w;
}
