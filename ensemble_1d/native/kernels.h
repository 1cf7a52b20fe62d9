/* kernels.h: what Python packs for the native predictor. Every struct here has its twin in structs.py. */
#ifndef E1D_KERNELS_H
#define E1D_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__GNUC__)
#error "these kernels need the vector types of GCC or Clang"
#endif

#define E1D_BLOCK 64        /* rows that the select kernel answers together: one byte each */
#define E1D_FEW 16          /* below so many rows trees are walked side by side, above it rows */
#define E1D_N_CONSTANTS 256 /* leaf numbers that a select operation can name */
#define E1D_MISSING_CODE (-32768)

enum { E1D_FLOAT32 = 0, E1D_FLOAT64 = 1, E1D_INT32 = 2 };

enum {
    E1D_TREES = 0,
    E1D_PLAIN_TREES,
    E1D_DENSE,
    E1D_AFFINE,
    E1D_SOFTMAX,
    E1D_SIGMOID,
    E1D_COMPLEMENT,
    E1D_LOG,
    E1D_SELECT,
    E1D_COPY,
    E1D_MEAN,
    E1D_VOTE,
    E1D_QUANTIZE,
    E1D_CODES,
    E1D_INTEGER_DENSE,
    E1D_REQUANTIZE,
    E1D_INTEGER_SOFTMAX,
    E1D_INTEGER_SIGMOID,
    E1D_INTEGER_COMPLEMENT,
    E1D_INTEGER_LOG,
    E1D_INTEGER_MEAN,
    E1D_INTEGER_VOTE,
    E1D_DEQUANTIZE
};

/* A node of a walk: a row whose rank exceeds `rank` goes to child + 1, any other to child; a leaf leads to itself. */
typedef struct {
    uint16_t column, rank;
    int32_t child;
} e1d_node;

/* slot[out] = code <= threshold ? slot[left] : slot[right], all as offsets in bytes; the first 256 slots are the leaf
   numbers, and codes stand column by column. */
typedef struct {
    uint32_t code;
    uint16_t left, right, out;
    int8_t threshold;
    uint8_t unused;
} e1d_select;

typedef struct {
    int32_t n_trees, n_columns, width, n_outputs, value_type, average, has_missing, n_groups, n_walks;
    const int32_t *feature;      /* (n_columns): the input column behind each column of ranks */
    const uint8_t *missing_high; /* (n_columns): a missing value ranks above every threshold, else below */
    const int32_t *start;        /* (n_columns + 1): where its thresholds start */
    const int32_t *key;          /* thresholds as ordered integers, rising within a column */
    const e1d_node *node;
    const int32_t *leaf;  /* for each node that is a leaf, its row in value */
    const int32_t *root;  /* (n_trees) */
    const int32_t *output; /* (n_trees) */
    const void *value;
    const void *bias;
    const int32_t *group;          /* (n_trees): group of a tree that is selected, -1 of one that is walked */
    const int32_t *select_start;   /* (n_trees + 1) */
    const e1d_select *select;
    const int32_t *leaf_base; /* (n_trees): where the leaves of a selected tree start in value */
    const int8_t *narrow;     /* (n_groups, n_thresholds + n_columns): from a rank to that within the group, less 128 */
} e1d_trees;

/* Trees as they stand in the Program, for inputs and sizes that the ranks cannot express. */
typedef struct {
    int32_t n_trees, width, n_outputs, value_type, average, has_missing, strict;
    const int32_t *feature;
    const double *threshold;
    const int32_t *left, *right;
    const uint8_t *default_left;
    const int32_t *root, *output;
    const void *value, *bias;
} e1d_plain_trees;

/* One step: `source` and `target` are registers, the rest depends on the kind. */
typedef struct {
    int32_t kind, source, target, n_in, n_out, integer[3];
    double number;
    const void *table[6];
} e1d_op;

/* A register holds one row of `width` numbers for each row of the tile, or, where it is local, of the strip. */
typedef struct {
    int32_t type, width, is_local;
} e1d_register;

/* The first n_early steps run on a tile at once, the others strip by strip: a forest that is walked wants many rows
   for each tree, and a network few rows for each layer. */
typedef struct {
    int32_t n_ops, n_early, n_registers, input_type, n_features, answer, tile, strip, refuse;
    const e1d_op *op;
    const e1d_register *reg;
} e1d_program;

typedef struct {
    int32_t type;
    ptrdiff_t stride;
    const void *data;
} e1d_rows;

size_t e1d_trees_scratch(const e1d_trees *trees, ptrdiff_t n_rows);
void e1d_run_trees(const e1d_trees *trees, e1d_rows x, ptrdiff_t n_rows, void *answer, char *scratch);
void e1d_run_plain_trees(const e1d_plain_trees *trees, e1d_rows x, ptrdiff_t n_rows, void *answer, char *scratch);
void e1d_run_float(const e1d_op *op, e1d_rows x, ptrdiff_t n_rows, void *answer, ptrdiff_t stride);
void e1d_run_integer(const e1d_op *op, e1d_rows x, ptrdiff_t n_rows, void *answer, ptrdiff_t stride);
int32_t e1d_run(const e1d_program *program, const void *input, int64_t n_rows, void *output);

/* The order of floats as the order of integers, both zeros the same. */
static inline int32_t e1d_key(float value)
{
    int32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    if (bits == INT32_MIN) {
        return 0;
    }
    return bits ^ ((bits >> 31) & INT32_MAX);
}

static inline int e1d_is_nan(float value)
{
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7fffffffU) > 0x7f800000U;
}

static inline double e1d_number(e1d_rows x, ptrdiff_t row, ptrdiff_t column)
{
    ptrdiff_t at = row * x.stride + column;
    if (x.type == E1D_FLOAT32) {
        return ((const float *)x.data)[at];
    }
    return x.type == E1D_FLOAT64 ? ((const double *)x.data)[at] : ((const int32_t *)x.data)[at];
}

/* How many of n rising keys lie below x. */
static inline int32_t e1d_rank(const int32_t *key, int32_t n, int32_t x)
{
    int32_t at = 0;
    if (n == 0) {
        return 0;
    }
    while (n > 1) {
        int32_t half = n / 2;
        at += half & -(int32_t)(key[at + half - 1] < x); /* no branch to foresee */
        n -= half;
    }
    return at + (key[at] < x);
}

#endif
