/* dense.c: fully connected layers in double, for several rows and one or two vectors of outputs at a time. */
#include "kernels.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDTH 8
#define MULTIPLY_ADD(a, b, c) ((vector)_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c)))
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define WIDTH 4
#define MULTIPLY_ADD(a, b, c) ((vector)_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c)))
#else
#define WIDTH 2
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif
#define ROWS 4
#define OUTPUTS (2 * WIDTH)

typedef double vector __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
typedef int64_t mask __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));

/* A vector of one value. Zero is subtracted: x - 0 is x, and costs nothing; -0 + 0 is 0, and a sum. */
static inline vector spread(double x)
{
    return x - (vector){0};
}

static inline void store(vector sum, const double *bias, int32_t relu, int32_t n, double *into)
{
    vector total = sum + *(const vector *)bias;
    if (relu) {
        total = (vector)((mask)total & ~(total < 0)); /* NaN stays NaN */
    }
    if (n >= WIDTH) {
        *(vector *)into = total;
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        into[i] = total[i];
    }
}

/* The sum over inputs runs from the first to the last for every row, however many rows there are. */
static inline __attribute__((always_inline)) void layer(const double *restrict x, ptrdiff_t x_stride, int rows,
                                                        int vectors, const double *restrict weight, ptrdiff_t w_stride,
                                                        int32_t n_in, const double *bias, int32_t relu, int32_t n_out,
                                                        double *answer, ptrdiff_t stride)
{
    vector sum[2 * ROWS][2];
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = (vector){0};
        }
    }
    for (int32_t i = 0; i < n_in; i++) {
        for (int v = 0; v < vectors; v++) {
            vector w = *(const vector *)(weight + i * w_stride + v * WIDTH);
            for (int r = 0; r < rows; r++) {
                sum[r][v] = MULTIPLY_ADD(spread(x[r * x_stride + i]), w, sum[r][v]);
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++) {
            store(sum[r][v], bias + v * WIDTH, relu, n_out - v * WIDTH, answer + r * stride + v * WIDTH);
        }
    }
}

/* table[0] holds the weights as (n_in, n_out rounded up to 16), table[1] the bias; integer[0] says whether to rectify. */
void e1d_run_dense(const e1d_op *op, const double *x, ptrdiff_t x_stride, ptrdiff_t n_rows, double *answer,
                   ptrdiff_t stride)
{
    const double *weight = op->table[0], *bias = op->table[1];
    ptrdiff_t w_stride = (op->n_out + 15) / 16 * 16;
    int32_t relu = op->integer[0];
    for (int32_t o = 0; o < op->n_out; o += OUTPUTS) {
        ptrdiff_t r = 0;
        int32_t n = op->n_out - o < OUTPUTS ? op->n_out - o : OUTPUTS;
        for (; n > WIDTH && r + ROWS <= n_rows; r += ROWS) {
            layer(x + r * x_stride, x_stride, ROWS, 2, weight + o, w_stride, op->n_in, bias + o, relu, n,
                  answer + r * stride + o, stride);
        }
        for (; n <= WIDTH && r + 2 * ROWS <= n_rows; r += 2 * ROWS) {
            layer(x + r * x_stride, x_stride, 2 * ROWS, 1, weight + o, w_stride, op->n_in, bias + o, relu, n,
                  answer + r * stride + o, stride);
        }
        for (; r < n_rows; r++) {
            layer(x + r * x_stride, x_stride, 1, 2, weight + o, w_stride, op->n_in, bias + o, relu, n,
                  answer + r * stride + o, stride);
        }
    }
}
