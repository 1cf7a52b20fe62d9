/* floats.c: every float node but trees, as runtime.py says. */
#include "kernels.h"

#include <math.h>

void e1d_run_dense(const e1d_op *op, const double *x, ptrdiff_t x_stride, ptrdiff_t n_rows, double *answer,
                   ptrdiff_t stride);

/* The first of the largest numbers; a NaN counts as the largest, as in NumPy. */
static int32_t largest(e1d_rows x, ptrdiff_t row, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 0; i < n; i++) {
        double value = e1d_number(x, row, i);
        if (value != value) {
            return i;
        }
        best = value > e1d_number(x, row, best) ? i : best;
    }
    return best;
}

static void affine(const e1d_op *op, e1d_rows x, ptrdiff_t row, double *answer)
{
    const float *offset = op->table[0], *scale = op->table[1];
    for (int32_t i = 0; i < op->n_out; i++) {
        float difference = (float)e1d_number(x, row, i) - offset[i];
        answer[i] = difference * scale[i];
    }
}

static void softmax(e1d_rows x, ptrdiff_t row, int32_t n, double *answer)
{
    double most = e1d_number(x, row, largest(x, row, n)), total = 0;
    for (int32_t i = 0; i < n; i++) {
        answer[i] = exp(e1d_number(x, row, i) - most);
        total += answer[i];
    }
    for (int32_t i = 0; i < n; i++) {
        answer[i] /= total;
    }
}

static void sigmoid(double score, double *answer)
{
    double small = exp(-fabs(score)), low = small / (1 + small), high = 1 / (1 + small);
    answer[0] = score > 0 ? low : high;
    answer[1] = score > 0 ? high : low;
}

static void logarithm(const e1d_op *op, e1d_rows x, ptrdiff_t row, double *answer)
{
    double floor_ = *(const double *)op->table[0];
    for (int32_t i = 0; i < op->n_out; i++) {
        double value = e1d_number(x, row, i);
        answer[i] = log(value < floor_ ? floor_ : value) * op->number;
    }
}

/* integer[0] says whether this is the first member: it replaces what was there. */
static void mean(const e1d_op *op, e1d_rows x, ptrdiff_t row, double *answer)
{
    for (int32_t i = 0; i < op->n_out; i++) {
        double part = op->number * e1d_number(x, row, i);
        answer[i] = (op->integer[0] ? 0 : answer[i]) + part;
    }
}

static void vote(const e1d_op *op, e1d_rows x, ptrdiff_t row, double *answer)
{
    for (int32_t i = 0; i < op->n_out && op->integer[0]; i++) {
        answer[i] = 0;
    }
    answer[largest(x, row, op->n_out)] += op->number;
}

void e1d_run_float(const e1d_op *op, e1d_rows x, ptrdiff_t n_rows, void *into, ptrdiff_t stride)
{
    double *answer = into;
    if (op->kind == E1D_DENSE) {
        e1d_run_dense(op, x.data, x.stride, n_rows, answer, stride);
        return;
    }
    for (ptrdiff_t r = 0; r < n_rows; r++, answer += stride) {
        switch (op->kind) {
        case E1D_AFFINE:
            affine(op, x, r, answer);
            break;
        case E1D_SOFTMAX:
            softmax(x, r, op->n_out, answer);
            break;
        case E1D_SIGMOID:
            sigmoid(e1d_number(x, r, 0), answer);
            break;
        case E1D_COMPLEMENT:
            answer[0] = 1 - e1d_number(x, r, 0);
            answer[1] = e1d_number(x, r, 0);
            break;
        case E1D_LOG:
            logarithm(op, x, r, answer);
            break;
        case E1D_SELECT:
            for (int32_t i = 0; i < op->n_out; i++) {
                answer[i] = e1d_number(x, r, ((const int32_t *)op->table[0])[i]);
            }
            break;
        case E1D_COPY:
            for (int32_t i = 0; i < op->n_in; i++) {
                answer[op->integer[0] + i] = e1d_number(x, r, i);
            }
            break;
        case E1D_MEAN:
            mean(op, x, r, answer);
            break;
        case E1D_VOTE:
            vote(op, x, r, answer);
            break;
        default: /* E1D_DEQUANTIZE */
            for (int32_t i = 0; i < op->n_out; i++) {
                answer[i] = ldexp(e1d_number(x, r, i), -op->integer[0]);
            }
        }
    }
}
