/* sums.h: the leaves of trees added up, in each of the types that leaves have. */
#ifndef E1D_SUMS_H
#define E1D_SUMS_H

#include "kernels.h"

/* Sums start at the bias and add leaves of n rows, in the type of the leaves. Trees of one output sum column by column,
   trees of several row by row. */
#define DEFINE_SUMS(NAME, T, ANSWER)                                                                                   \
    static void begin_##NAME(const T *restrict bias, ptrdiff_t n, int32_t n_outputs, int32_t width, T *restrict sum)  \
    {                                                                                                                  \
        for (ptrdiff_t r = 0; r < n; r++) {                                                                            \
            for (int32_t o = 0; o < n_outputs; o++) {                                                                  \
                sum[width == 1 ? o * n + r : r * n_outputs + o] = bias[o];                                             \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void add_##NAME(const T *restrict value, const int32_t *restrict leaf, ptrdiff_t n, ptrdiff_t n_all,        \
                           int32_t n_outputs, int32_t width, int32_t output, ptrdiff_t first, T *restrict sum)         \
    {                                                                                                                  \
        if (width == 1) {                                                                                              \
            T *restrict column = sum + output * n_all + first;                                                         \
            for (ptrdiff_t r = 0; r < n; r++) {                                                                        \
                column[r] += value[leaf[r]];                                                                           \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        for (ptrdiff_t r = 0; r < n; r++) {                                                                            \
            const T *restrict row = value + (ptrdiff_t)leaf[r] * width;                                                \
            T *restrict into = sum + (first + r) * n_outputs + output;                                                 \
            for (int32_t w = 0; w < width; w++) {                                                                      \
                into[w] += row[w];                                                                                     \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
    static void end_##NAME(const T *restrict sum, ptrdiff_t n, int32_t n_outputs, int32_t width, T divisor,            \
                           ANSWER *restrict answer)                                                                    \
    {                                                                                                                  \
        for (ptrdiff_t r = 0; r < n; r++) {                                                                            \
            for (int32_t o = 0; o < n_outputs; o++) {                                                                  \
                T total = sum[width == 1 ? o * n + r : r * n_outputs + o];                                             \
                answer[r * n_outputs + o] = divisor == 1 ? total : total / divisor;                                    \
            }                                                                                                          \
        }                                                                                                              \
    }

DEFINE_SUMS(float32, float, double)
DEFINE_SUMS(float64, double, double)
DEFINE_SUMS(int32, int32_t, int32_t)

static void begin_sums(int32_t type, const void *bias, ptrdiff_t n, int32_t n_outputs, int32_t width, void *sum)
{
    if (type == E1D_FLOAT32) {
        begin_float32(bias, n, n_outputs, width, sum);
    } else if (type == E1D_FLOAT64) {
        begin_float64(bias, n, n_outputs, width, sum);
    } else {
        begin_int32(bias, n, n_outputs, width, sum);
    }
}

static void add_leaves(int32_t type, const void *value, const int32_t *leaf, ptrdiff_t n, ptrdiff_t n_all,
                       int32_t n_outputs, int32_t width, int32_t output, ptrdiff_t first, void *sum)
{
    if (type == E1D_FLOAT32) {
        add_float32(value, leaf, n, n_all, n_outputs, width, output, first, sum);
    } else if (type == E1D_FLOAT64) {
        add_float64(value, leaf, n, n_all, n_outputs, width, output, first, sum);
    } else {
        add_int32(value, leaf, n, n_all, n_outputs, width, output, first, sum);
    }
}

static void end_sums(int32_t type, const void *sum, ptrdiff_t n, int32_t n_outputs, int32_t width, int32_t divisor,
                     void *answer)
{
    if (type == E1D_FLOAT32) {
        end_float32(sum, n, n_outputs, width, (float)divisor, answer);
    } else if (type == E1D_FLOAT64) {
        end_float64(sum, n, n_outputs, width, divisor, answer);
    } else {
        end_int32(sum, n, n_outputs, width, 1, answer);
    }
}

#endif
