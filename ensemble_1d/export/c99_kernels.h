/* Fixed-point kernels of every exported model; the exporter drops this comment and gives `e1d` the model's own name.
 *
 * C99 and C++11; int32_t arithmetic whose range the Program has proved; `>>` of a negative number must be arithmetic.
 */
typedef char e1d_needs_arithmetic_shift[((-1) >> 1) == -1 ? 1 : -1];

/* Loops that run best in a function of their own, with all registers. */
#if defined(__GNUC__)
#define E1D_SHARED static __attribute__((noinline, unused))
#else
#define E1D_SHARED static inline
#endif

/* Straight-line trees read a code anew at each split where codes that are kept soon take more registers than there are:
 * on a Cortex-M0, when it is size that counts. */
#if defined(__OPTIMIZE_SIZE__) && (defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__))
#define E1D_ANEW volatile
#else
#define E1D_ANEW
#endif

/* An AVR reads tables from program memory, and compares bytes best. */
#ifdef __AVR__
#include <avr/pgmspace.h>
#define E1D_TABLE PROGMEM
#define E1D_READ_8(entry) pgm_read_byte(entry)
#define E1D_READ_16(entry) pgm_read_word(entry)
#define E1D_READ_32(entry) pgm_read_dword(entry)
#define E1D_READ_FLOAT(entry) pgm_read_float(entry)
#define E1D_CODE(code) ((uint8_t)(code))
#else
#define E1D_TABLE
#define E1D_READ_8(entry) (*(entry))
#define E1D_READ_16(entry) (*(entry))
#define E1D_READ_32(entry) (*(entry))
#define E1D_READ_FLOAT(entry) (*(entry))
#define E1D_CODE(code) ((uint16_t)(code))
#endif

/* (((x >> shift_in) * multiplier + half) >> shift_out) + offset, saturated to low..high. */
static inline int32_t e1d_requantize(int32_t x, uint8_t shift_in, int32_t multiplier, uint8_t shift_out, int32_t offset,
                                     int32_t low, int32_t high)
{
    const int32_t half = ((int32_t)1 << shift_out) >> 1;
    const int32_t y = (((x >> shift_in) * multiplier + half) >> shift_out) + offset;
    return y < low ? low : (y > high ? high : y);
}

/* Index of the largest of n numbers, the first where several are equal. */
static inline int32_t e1d_argmax(const int32_t *y, int32_t n)
{
    int32_t best = 0;
    int32_t i;
    for (i = 1; i < n; i++) {
        if (y[i] > y[best]) {
            best = i;
        }
    }
    return best;
}

/* Index of the largest of n numbers, if it is ahead of every other by at least `lead`; else -1. */
static inline int32_t e1d_leader(const int32_t *y, int32_t n, int32_t lead)
{
    const int32_t best = e1d_argmax(y, n);
    int32_t i;
    for (i = 0; i < n; i++) {
        if (i != best && y[best] - y[i] < lead) {
            return -1;
        }
    }
    return best;
}

/* How many of n ascending cuts x exceeds. */
static inline uint8_t e1d_rank(int16_t x, const int16_t *cuts, int32_t n)
{
    int32_t low = 0;
    int32_t high = n;
    while (low < high) {
        const int32_t middle = (low + high) >> 1;
        if ((int16_t)E1D_READ_16(&cuts[middle]) < x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (uint8_t)low;
}

/* 2**-d in Q15, for d >= 0 in steps of 2**-12: table, linear interpolation, shift. */
static inline int32_t e1d_exp2_negative(int32_t distance)
{
    static const uint16_t exp2_table[33] E1D_TABLE = {E1D_EXP2_TABLE};
    const int32_t whole = distance >> 12;
    const int32_t index = (distance & 4095) >> 7;
    const int32_t upper = (int32_t)E1D_READ_16(&exp2_table[index]);
    const int32_t drop = (upper - (int32_t)E1D_READ_16(&exp2_table[index + 1])) * (distance & 127);
    const int32_t mantissa = upper - ((drop + 64) >> 7);
    if (whole > 16) {
        return 0;
    }
    return (mantissa + (((int32_t)1 << whole) >> 1)) >> whole;
}

/* 2**31 / (total >> shift), rounded down, by long division; shift leaves 16 bits of the total, which is 2**15 or more.
 * So the first 15 digits of the quotient are 0.
 */
static inline uint32_t e1d_reciprocal(int32_t total, uint8_t *shift)
{
    uint32_t divisor = (uint32_t)total;
    uint32_t quotient = 0;
    uint32_t rest = 16384;
    uint8_t digit;
    *shift = 0;
    while (divisor >= 65536u) {
        divisor >>= 1;
        *shift = (uint8_t)(*shift + 1);
    }
    for (digit = 17; digit > 0; digit--) {
        rest <<= 1;
        quotient <<= 1;
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1u;
        }
    }
    return quotient;
}

/* part / total in Q15, with the reciprocal of the total. */
static inline int32_t e1d_normalise(int32_t part, uint32_t reciprocal, uint8_t shift)
{
    const uint32_t half = (uint32_t)1 << (15 + shift);
    return (int32_t)(((uint32_t)part * reciprocal + half) >> (16 + shift));
}

/* n logits in base 2 with 12 fraction bits become n probabilities in Q15, in place. */
static inline void e1d_softmax(int32_t *y, int32_t n)
{
    const int32_t largest = y[e1d_argmax(y, n)];
    int32_t total = 0;
    uint32_t reciprocal;
    uint8_t shift;
    int32_t i;
    for (i = 0; i < n; i++) {
        y[i] = e1d_exp2_negative(largest - y[i]);
        total += y[i];
    }
    reciprocal = e1d_reciprocal(total, &shift);
    for (i = 0; i < n; i++) {
        y[i] = e1d_normalise(y[i], reciprocal, shift);
    }
}

/* Index of the largest of n probabilities, from their logits: those that come close to the largest may share it. */
static inline int32_t e1d_softmax_class(int32_t *y, int32_t n, int32_t near)
{
    const int32_t best = e1d_argmax(y, n);
    int32_t i;
    for (i = 0; i < n; i++) {
        if (i != best && y[best] - y[i] < near) {
            e1d_softmax(y, n);
            return e1d_argmax(y, n);
        }
    }
    return best;
}

/* One logit becomes the probabilities of two classes, in place. */
static inline void e1d_sigmoid(int32_t *y)
{
    const int32_t score = y[0];
    uint8_t shift;
    const uint32_t reciprocal = e1d_reciprocal(32768 + e1d_exp2_negative(score < 0 ? -score : score), &shift);
    const int32_t larger = e1d_normalise(32768, reciprocal, shift);
    y[1] = score > 0 ? larger : 32768 - larger;
    y[0] = 32768 - y[1];
}

/* n probabilities in Q15, not below the floor, become logarithms in base 2 with 12 fraction bits, in place. */
static inline void e1d_log2(int32_t *y, int32_t n, int32_t floor)
{
    static const uint16_t log2_table[33] E1D_TABLE = {E1D_LOG2_TABLE};
    int32_t i;
    for (i = 0; i < n; i++) {
        int32_t mantissa = y[i] < floor ? floor : y[i];
        int32_t whole = 0;
        int32_t lower;
        int32_t rise;
        while (mantissa < 32768) {
            mantissa <<= 1;
            whole += 4096;
        }
        mantissa -= 32768;
        lower = (int32_t)E1D_READ_16(&log2_table[mantissa >> 10]);
        rise = ((int32_t)E1D_READ_16(&log2_table[(mantissa >> 10) + 1]) - lower) * (mantissa & 1023);
        y[i] = lower + ((rise + 512) >> 10) - whole;
    }
}

/* The probability of the second class becomes those of both, in place. */
static inline void e1d_complement(int32_t *y)
{
    y[1] = y[0];
    y[0] = 32768 - y[1];
}
#ifndef E1D_NO_FLOAT

/* Whether x is NaN, by its bits: a comparison would not survive -ffast-math. */
static inline int e1d_is_nan(float x)
{
    uint32_t bits = 0;
    const unsigned char *from = (const unsigned char *)&x;
    unsigned char *to = (unsigned char *)&bits;
    to[0] = from[0];
    to[1] = from[1];
    to[2] = from[2];
    to[3] = from[3];
    return (bits & 0x7FFFFFFFu) > 0x7F800000u;
}

/* floor((x - offset) * scale), saturated to 0..most; subtract and multiply round on their own, never fused. */
static inline int32_t e1d_affine_step(float x, float offset, float scale, int32_t most)
{
    const float distance = x - offset;
    const float steps = distance * scale;
    if (!(steps > 0.0f)) {
        return 0;
    }
    return steps >= (float)most ? most : (int32_t)steps;
}

/* How many of n ascending thresholds x exceeds (strict: reaches). */
static inline int32_t e1d_rank_step(float x, const float *thresholds, int32_t n, int strict)
{
    int32_t low = 0;
    int32_t high = n;
    while (low < high) {
        const int32_t middle = (low + high) >> 1;
        const float threshold = E1D_READ_FLOAT(&thresholds[middle]);
        if (strict ? threshold <= x : threshold < x) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
#endif
