/* integers.c: every integer node but trees, bit for bit as runtime_integer.py says. */
#include "kernels.h"

#include <math.h>

#define ONE 32768
#define LOGIT_BITS 12
#define STEP_BITS 7  /* of a base-2 logit, below the 5 bits that choose an entry */
#define LOG_STEP_BITS 10

static int32_t count_bits(uint32_t value)
{
    return value ? 32 - __builtin_clz(value) : 0;
}

/* 2**-d in Q15; table holds 33 entries. */
static int32_t exp2_negative(const int32_t *table, int64_t distance)
{
    int64_t whole = distance >> LOGIT_BITS, fraction = distance & ((1 << LOGIT_BITS) - 1);
    int64_t index = fraction >> STEP_BITS, rest = fraction & ((1 << STEP_BITS) - 1);
    int64_t drop = (table[index] - table[index + 1]) * rest;
    int64_t mantissa = table[index] - ((drop + (1 << (STEP_BITS - 1))) >> STEP_BITS);
    int shift = whole < 17 ? (int)whole : 17;
    return (int32_t)((mantissa + ((1 << shift) >> 1)) >> shift);
}

static int32_t normalise(int64_t part, int64_t total)
{
    int32_t n_bits = count_bits((uint32_t)total), shift = n_bits > 16 ? n_bits - 16 : 0;
    int64_t reciprocal = ((int64_t)1 << 31) / (total >> shift);
    return (int32_t)((part * reciprocal + ((int64_t)1 << (15 + shift))) >> (16 + shift));
}

static void softmax(const e1d_op *op, const int32_t *x, int32_t *answer)
{
    int64_t most = x[0], total = 0;
    for (int32_t i = 1; i < op->n_out; i++) {
        most = x[i] > most ? x[i] : most;
    }
    for (int32_t i = 0; i < op->n_out; i++) {
        answer[i] = exp2_negative(op->table[0], most - x[i]);
        total += answer[i];
    }
    for (int32_t i = 0; i < op->n_out; i++) {
        answer[i] = normalise(answer[i], total);
    }
}

static void sigmoid(const e1d_op *op, int64_t score, int32_t *answer)
{
    int32_t larger = normalise(ONE, ONE + exp2_negative(op->table[0], score < 0 ? -score : score));
    answer[1] = score > 0 ? larger : ONE - larger;
    answer[0] = ONE - answer[1];
}

/* integer[0] is the floor. */
static void logarithm(const e1d_op *op, const int32_t *x, int32_t *answer)
{
    const int32_t *table = op->table[0];
    for (int32_t i = 0; i < op->n_out; i++) {
        int64_t kept = x[i] > op->integer[0] ? x[i] : op->integer[0];
        int32_t shift = 16 - count_bits((uint32_t)kept);
        int64_t fraction = (kept << shift) - ONE;
        int64_t index = fraction >> LOG_STEP_BITS, rest = fraction & ((1 << LOG_STEP_BITS) - 1);
        int64_t rise = (table[index + 1] - table[index]) * rest;
        answer[i] = (int32_t)(table[index] + ((rise + (1 << (LOG_STEP_BITS - 1))) >> LOG_STEP_BITS)
                              - (shift << LOGIT_BITS));
    }
}

static void dense(const e1d_op *op, const int32_t *x, int32_t *answer)
{
    const int32_t *weight = op->table[0], *bias = op->table[1];
    for (int32_t o = 0; o < op->n_out; o++) {
        const int32_t *row = weight + (ptrdiff_t)o * op->n_in;
        uint32_t total = 0; /* exact: the sum fits, and its parts may wrap */
        for (int32_t i = 0; i < op->n_in; i++) {
            total += (uint32_t)row[i] * (uint32_t)x[i];
        }
        answer[o] = (int32_t)(total + (uint32_t)bias[o]);
    }
}

/* integer[0] and integer[1] are the limits. */
static void requantize(const e1d_op *op, const int32_t *x, int32_t *answer)
{
    const int32_t *shift_in = op->table[0], *multiplier = op->table[1], *shift_out = op->table[2];
    const int32_t *offset = op->table[3];
    for (int32_t i = 0; i < op->n_out; i++) {
        int64_t scaled = (int64_t)(x[i] >> shift_in[i]) * multiplier[i] + (((int64_t)1 << shift_out[i]) >> 1);
        scaled = (scaled >> shift_out[i]) + offset[i];
        scaled = scaled < op->integer[0] ? op->integer[0] : scaled;
        answer[i] = (int32_t)(scaled > op->integer[1] ? op->integer[1] : scaled);
    }
}

/* integer[0] is the weight, integer[1] whether this is the first member, integer[2] whether it is the last. */
static void mean(const e1d_op *op, const int32_t *x, int32_t *answer)
{
    for (int32_t i = 0; i < op->n_out; i++) {
        int32_t total = (op->integer[1] ? 0 : answer[i]) + op->integer[0] * x[i];
        answer[i] = op->integer[2] ? (total + (1 << 14)) >> 15 : total;
    }
}

static void vote(const e1d_op *op, const int32_t *x, int32_t *answer)
{
    int32_t best = 0;
    for (int32_t i = 0; i < op->n_out; i++) {
        answer[i] = op->integer[1] ? 0 : answer[i];
        best = x[i] > x[best] ? i : best;
    }
    answer[best] += op->integer[0];
}

/* The code of one column: the rank of x, or a step of an affine range, in float32. */
static int32_t code_of(const e1d_op *op, float x, int32_t column)
{
    const float *offset = op->table[1], *scale = op->table[2];
    const int32_t *start = op->table[3], *first = op->table[5];
    int32_t n = start[column + 1] - start[column];
    int is_nan = e1d_is_nan(x);
    if (is_nan && op->integer[0]) {
        return E1D_MISSING_CODE;
    }
    if (n > 0) {
        return first[column] + (is_nan ? 0 : e1d_rank((const int32_t *)op->table[4] + start[column], n, e1d_key(x)));
    } else {
        float most = first[column] ? 65534.0F : 255.0F;
        float difference = x - offset[column];
        float step = difference * scale[column];
        step = step > 0 ? (step < most ? step : most) : 0;
        return first[column] + (int32_t)step;
    }
}

void e1d_run_integer(const e1d_op *op, e1d_rows x, ptrdiff_t n_rows, void *into, ptrdiff_t stride)
{
    int32_t *answer = into;
    for (ptrdiff_t r = 0; r < n_rows; r++, answer += stride) {
        const int32_t *row = (const int32_t *)x.data + r * x.stride;
        switch (op->kind) {
        case E1D_QUANTIZE:
            for (int32_t i = 0; i < op->n_out; i++) {
                const float *from = (const float *)x.data + r * x.stride;
                answer[i] = code_of(op, from[((const int32_t *)op->table[0])[i]], i);
            }
            break;
        case E1D_CODES:
            for (int32_t i = 0; i < op->n_out; i++) {
                answer[i] = ((const int16_t *)x.data)[r * x.stride + i];
            }
            break;
        case E1D_INTEGER_DENSE:
            dense(op, row, answer);
            break;
        case E1D_REQUANTIZE:
            requantize(op, row, answer);
            break;
        case E1D_INTEGER_SOFTMAX:
            softmax(op, row, answer);
            break;
        case E1D_INTEGER_SIGMOID:
            sigmoid(op, row[0], answer);
            break;
        case E1D_INTEGER_COMPLEMENT:
            answer[0] = ONE - row[0];
            answer[1] = row[0];
            break;
        case E1D_INTEGER_LOG:
            logarithm(op, row, answer);
            break;
        case E1D_SELECT:
            for (int32_t i = 0; i < op->n_out; i++) {
                answer[i] = row[((const int32_t *)op->table[0])[i]];
            }
            break;
        case E1D_COPY:
            for (int32_t i = 0; i < op->n_in; i++) {
                answer[op->integer[0] + i] = row[i];
            }
            break;
        case E1D_INTEGER_MEAN:
            mean(op, row, answer);
            break;
        default: /* E1D_INTEGER_VOTE */
            vote(op, row, answer);
        }
    }
}
