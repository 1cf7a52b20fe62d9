/* trees.c: sums of the leaves that rows reach, by selection for small trees and by a walk for large ones. */
#include "kernels.h"
#include "sums.h"

#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX2__)
#define VECTOR 32
#else
#define VECTOR 16
#endif
typedef int8_t bytes __attribute__((vector_size(VECTOR), may_alias));

#define ALIGNED(size) (((size) + 63) / 64 * 64)
#define TREES 16
#define SLOTS ((2 * E1D_N_CONSTANTS + 33) * E1D_BLOCK) /* bytes of the slots of 64 rows; no multiple of a page */

static const int32_t *int_row(e1d_rows x, ptrdiff_t row)
{
    return (const int32_t *)x.data + row * x.stride;
}

static const float *float_row(e1d_rows x, ptrdiff_t row)
{
    return (const float *)x.data + row * x.stride;
}

/* The ordered integer of one input value; a missing one lies below or above every threshold. */
static inline int32_t key_of(const e1d_trees *t, e1d_rows x, ptrdiff_t row, int32_t column)
{
    int32_t feature = t->feature[column];
    int32_t missing = t->missing_high[column] ? INT32_MAX : INT32_MIN;
    if (x.type == E1D_FLOAT32) {
        float value = float_row(x, row)[feature];
        return e1d_is_nan(value) ? missing : e1d_key(value);
    } else {
        int32_t value = int_row(x, row)[feature];
        return t->has_missing && value == E1D_MISSING_CODE ? missing : value;
    }
}

/* The same for a block of values, floats as their bits: the same steps for all, so that the compiler can use vectors. */
static void key_block(const e1d_trees *t, int32_t type, int32_t missing, const int32_t *restrict raw,
                      int32_t *restrict key)
{
    int32_t has_missing = -t->has_missing;
    if (type == E1D_FLOAT32) {
        for (int r = 0; r < E1D_BLOCK; r++) {
            int32_t bits = raw[r] == INT32_MIN ? 0 : raw[r];
            int32_t ordered = bits ^ ((bits >> 31) & INT32_MAX);
            key[r] = (bits & INT32_MAX) > 0x7f800000 ? missing : ordered;
        }
    } else {
        for (int r = 0; r < E1D_BLOCK; r++) {
            int32_t is_missing = has_missing & -(raw[r] == E1D_MISSING_CODE);
            key[r] = (raw[r] & ~is_missing) | (missing & is_missing);
        }
    }
}

/* The ranks of a block of keys among n thresholds: the same steps for all, so that the compiler can use vectors. */
static void rank_block(const int32_t *restrict key, int32_t n, const int32_t *restrict x, int32_t *restrict at)
{
    memset(at, 0, E1D_BLOCK * sizeof *at);
    if (n <= 16) {
        for (int32_t j = 0; j < n; j++) {
            for (int r = 0; r < E1D_BLOCK; r++) {
                at[r] += key[j] < x[r];
            }
        }
        return;
    }
    while (n > 1) {
        int32_t half = n / 2;
        for (int r = 0; r < E1D_BLOCK; r++) {
            at[r] += half & -(int32_t)(key[at[r] + half - 1] < x[r]); /* no branch to foresee */
        }
        n -= half;
    }
    for (int r = 0; r < E1D_BLOCK; r++) {
        at[r] += key[at[r]] < x[r];
    }
}

/* Ranks of all rows, column by column for selection and row by row for walks. */
static void rank_rows(const e1d_trees *t, e1d_rows x, ptrdiff_t n_rows, ptrdiff_t padded, uint16_t *by_column, uint16_t *by_row)
{
    int32_t raw[E1D_BLOCK] = {0}, key[E1D_BLOCK], at[E1D_BLOCK];
    for (ptrdiff_t first = 0; first < padded; first += E1D_BLOCK) {
        ptrdiff_t n = n_rows - first < E1D_BLOCK ? n_rows - first : E1D_BLOCK;
        for (int32_t c = 0; c < t->n_columns; c++) {
            if (c == 0 || t->feature[c] != t->feature[c - 1]) {
                const char *value = (const char *)x.data + (first * x.stride + t->feature[c]) * 4;
                for (ptrdiff_t r = 0; r < n; r++, value += x.stride * 4) {
                    memcpy(raw + r, value, 4);
                }
            }
            key_block(t, x.type, t->missing_high[c] ? INT32_MAX : INT32_MIN, raw, key);
            rank_block(t->key + t->start[c], t->start[c + 1] - t->start[c], key, at);
            if (by_column) {
                for (int r = 0; r < E1D_BLOCK; r++) {
                    by_column[first * t->n_columns + c * E1D_BLOCK + r] = (uint16_t)at[r];
                }
            }
            if (by_row) {
                for (int r = 0; r < E1D_BLOCK; r++) {
                    by_row[(first + r) * t->n_columns + c] = (uint16_t)at[r];
                }
            }
        }
    }
}

/* Ranks within one group of trees, in signed bytes: every vector unit compares those. */
static void narrow_ranks(const e1d_trees *t, int32_t group, ptrdiff_t padded, const uint16_t *restrict ranks,
                         int8_t *restrict codes)
{
    const int8_t *tables = t->narrow + (ptrdiff_t)group * (t->start[t->n_columns] + t->n_columns);
    for (int32_t c = 0; c < t->n_columns; c++) {
        const int8_t *restrict table = tables + t->start[c] + c;
        int32_t n = t->start[c + 1] - t->start[c];
        if (table[n] == -128) { /* this group has no threshold in this column */
            continue;
        }
        for (ptrdiff_t at = c * E1D_BLOCK; at < padded * t->n_columns; at += (ptrdiff_t)E1D_BLOCK * t->n_columns) {
            if (table[n] == n - 128) {
                for (int r = 0; r < E1D_BLOCK; r++) {
                    codes[at + r] = (int8_t)(ranks[at + r] - 128);
                }
            } else {
                for (int r = 0; r < E1D_BLOCK; r++) {
                    codes[at + r] = table[ranks[at + r]];
                }
            }
        }
    }
}

/* For 64 rows, slot[out] = code <= threshold ? slot[left] : slot[right]. */
static inline void select_block(const e1d_select *op, const int8_t *codes, int8_t *slots)
{
    const int8_t *code = codes + op->code, *left = slots + op->left, *right = slots + op->right;
    int8_t *out = slots + op->out;
#if defined(__AVX512BW__)
    __mmask64 goes_right = _mm512_cmpgt_epi8_mask(_mm512_load_si512(code), _mm512_set1_epi8(op->threshold));
    _mm512_store_si512(out, _mm512_mask_blend_epi8(goes_right, _mm512_load_si512(left), _mm512_load_si512(right)));
#else
    for (int part = 0; part < E1D_BLOCK; part += VECTOR) {
        bytes goes_right = *(const bytes *)(code + part) > op->threshold;
        *(bytes *)(out + part) = (*(const bytes *)(right + part) & goes_right)
                                 | (*(const bytes *)(left + part) & ~goes_right);
    }
#endif
}

/* The number of the leaf, within its tree, that each of 64 rows reaches, and, where `further` is not 0, each of the
   next 64, whose codes stand so much further: every node is evaluated, its children first. */
static void select_leaves(const e1d_select *restrict op, ptrdiff_t n, const int8_t *codes, ptrdiff_t further,
                          int8_t *slots, uint8_t *leaf)
{
    if (n == 0) {
        memset(leaf, 0, 2 * E1D_BLOCK);
        return;
    }
    if (further) {
        for (ptrdiff_t i = 0; i < n; i++) {
            select_block(op + i, codes, slots);
            select_block(op + i, codes + further, slots + SLOTS);
        }
    } else {
        for (ptrdiff_t i = 0; i < n; i++) {
            select_block(op + i, codes, slots);
        }
    }
    memcpy(leaf, slots + op[n - 1].out, E1D_BLOCK);
    memcpy(leaf + E1D_BLOCK, slots + SLOTS + op[n - 1].out, E1D_BLOCK);
}

#if defined(__AVX512F__)
#define PARTS 4
#define LANES (16 * PARTS)

/* The nodes that 16 rows stand at go to their children. */
static inline __m512i step_down(const e1d_node *node, const uint16_t *ranks, __m512i offset, __m512i at)
{
    const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    const __m512i low16 = _mm512_set1_epi32(0xffff);
    __m512i first = _mm512_i32gather_epi64(_mm512_castsi512_si256(at), node, 8);
    __m512i second = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(at, 1), node, 8);
    __m512i test = _mm512_permutex2var_epi32(first, even, second), child = _mm512_permutex2var_epi32(first, odd, second);
    __m512i place = _mm512_add_epi32(offset, _mm512_and_si512(test, low16));
    __m512i rank = _mm512_and_si512(_mm512_i32gather_epi32(place, ranks, 2), low16);
    __mmask16 goes_right = _mm512_cmpgt_epu32_mask(rank, _mm512_srli_epi32(test, 16));
    return _mm512_mask_add_epi32(child, goes_right, child, _mm512_set1_epi32(1));
}

/* The leaves that 64 rows reach in one tree, in step: their loads from memory overlap. */
static inline void walk_rows(const e1d_node *node, int32_t root, const uint16_t *ranks, ptrdiff_t stride, int32_t *leaf)
{
    const __m512i row = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i offset[PARTS], at[PARTS];
    __mmask16 moved;
    for (int k = 0; k < PARTS; k++) {
        __m512i number = _mm512_add_epi32(row, _mm512_set1_epi32(16 * k));
        offset[k] = _mm512_mullo_epi32(number, _mm512_set1_epi32((int32_t)stride));
        at[k] = _mm512_set1_epi32(root);
    }
    do {
        moved = 0;
#pragma GCC unroll 8
        for (int k = 0; k < PARTS; k++) {
            __m512i next = step_down(node, ranks, offset[k], at[k]);
            moved |= _mm512_cmpneq_epi32_mask(next, at[k]);
            at[k] = next;
        }
    } while (moved);
    for (int k = 0; k < PARTS; k++) {
        _mm512_storeu_si512(leaf + 16 * k, at[k]);
    }
}
#else
#define LANES 16

/* The leaves that 16 rows reach in one tree, in step: their loads from memory overlap. */
static inline void walk_rows(const e1d_node *restrict node, int32_t root, const uint16_t *restrict ranks,
                             ptrdiff_t stride, int32_t *restrict at)
{
    int32_t moved;
    for (int k = 0; k < LANES; k++) {
        at[k] = root;
    }
    do {
        moved = 0;
        for (int k = 0; k < LANES; k++) {
            e1d_node here = node[at[k]];
            int32_t next = here.child + (ranks[k * stride + here.column] > here.rank);
            moved |= next ^ at[k];
            at[k] = next;
        }
    } while (moved);
}
#endif

/* The leaves that one row reaches in up to 16 trees, in step. */
static void walk_trees(const e1d_node *restrict node, const int32_t *restrict root, int n,
                       const uint16_t *restrict rank, int32_t *restrict at)
{
    int32_t moved;
    for (int k = 0; k < n; k++) {
        at[k] = root[k];
    }
    do {
        moved = 0;
        for (int k = 0; k < n; k++) {
            e1d_node here = node[at[k]];
            int32_t next = here.child + (rank[here.column] > here.rank);
            moved |= next ^ at[k];
            at[k] = next;
        }
    } while (moved);
}

static ptrdiff_t padded_rows(ptrdiff_t n_rows)
{
    return (n_rows + E1D_BLOCK - 1) / E1D_BLOCK * E1D_BLOCK;
}

/* Bytes that e1d_run_trees needs for so many rows, or fewer. */
size_t e1d_trees_scratch(const e1d_trees *t, ptrdiff_t n_rows)
{
    size_t padded = (size_t)padded_rows(n_rows), columns = (size_t)t->n_columns;
    size_t sums = ALIGNED(padded * (size_t)t->n_outputs * 8);
    if (n_rows < E1D_FEW) {
        return sums + ALIGNED(columns * 2);
    }
    /* A gather of two bytes loads four: the last ones lie 64 bytes before the end. */
    return sums + 2 * ALIGNED(padded * columns * 2) + ALIGNED(padded * columns) + (t->n_groups ? 2 * SLOTS : 0) + 64;
}

static void run_few(const e1d_trees *t, e1d_rows x, ptrdiff_t n_rows, uint16_t *rank, void *sum)
{
    int32_t at[TREES], leaf[1];
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        for (int32_t c = 0; c < t->n_columns; c++) {
            rank[c] = (uint16_t)e1d_rank(t->key + t->start[c], t->start[c + 1] - t->start[c], key_of(t, x, r, c));
        }
        for (int32_t tree = 0; tree < t->n_trees; tree += TREES) {
            int n = t->n_trees - tree < TREES ? t->n_trees - tree : TREES;
            walk_trees(t->node, t->root + tree, n, rank, at);
            for (int k = 0; k < n; k++) {
                leaf[0] = t->leaf[at[k]];
                add_leaves(t->value_type, t->value, leaf, 1, n_rows, t->n_outputs, t->width, t->output[tree + k], r,
                           sum);
            }
        }
    }
}

static void run_many(const e1d_trees *t, e1d_rows x, ptrdiff_t n_rows, char *scratch, void *sum)
{
    ptrdiff_t padded = padded_rows(n_rows);
    size_t columns = (size_t)t->n_columns;
    uint16_t *by_column = (uint16_t *)(void *)scratch;
    uint16_t *by_row = (uint16_t *)(void *)(scratch + ALIGNED((size_t)padded * columns * 2));
    int8_t *codes = (int8_t *)(scratch + 2 * ALIGNED((size_t)padded * columns * 2));
    int8_t *slots = codes + ALIGNED((size_t)padded * columns);
    uint8_t number[2 * E1D_BLOCK];
    int32_t leaf[2 * E1D_BLOCK], group = -1;
    rank_rows(t, x, n_rows, padded, t->n_groups ? by_column : NULL, t->n_walks ? by_row : NULL);
    for (int32_t i = 0; t->n_groups && i < E1D_N_CONSTANTS; i++) {
        memset(slots + i * E1D_BLOCK, i, E1D_BLOCK);
        memset(slots + SLOTS + i * E1D_BLOCK, i, E1D_BLOCK);
    }
    for (int32_t tree = 0; tree < t->n_trees; tree++) {
        const e1d_select *op = t->select + t->select_start[tree];
        ptrdiff_t n_ops = t->select_start[tree + 1] - t->select_start[tree];
        if (t->group[tree] >= 0 && t->group[tree] != group) {
            group = t->group[tree];
            narrow_ranks(t, group, padded, by_column, codes);
        }
        for (ptrdiff_t first = 0; first < n_rows; first += 2 * E1D_BLOCK) {
            ptrdiff_t n = n_rows - first < 2 * E1D_BLOCK ? n_rows - first : 2 * E1D_BLOCK;
            if (t->group[tree] >= 0) {
                ptrdiff_t further = n > E1D_BLOCK ? (ptrdiff_t)E1D_BLOCK * t->n_columns : 0;
                select_leaves(op, n_ops, codes + first * t->n_columns, further, slots, number);
                for (int r = 0; r < 2 * E1D_BLOCK; r++) {
                    leaf[r] = t->leaf_base[tree] + number[r];
                }
            } else {
                for (int r = 0; r < n; r += LANES) {
                    walk_rows(t->node, t->root[tree], by_row + (first + r) * t->n_columns, t->n_columns, leaf + r);
                }
                for (int r = 0; r < n; r++) {
                    leaf[r] = t->leaf[leaf[r]];
                }
            }
            add_leaves(t->value_type, t->value, leaf, n, n_rows, t->n_outputs, t->width, t->output[tree], first, sum);
        }
    }
}

/* Answer n rows: doubles, or int32 for integer leaves, n_outputs a row. */
void e1d_run_trees(const e1d_trees *t, e1d_rows x, ptrdiff_t n_rows, void *answer, char *scratch)
{
    char *rest = scratch + ALIGNED((size_t)padded_rows(n_rows) * (size_t)t->n_outputs * 8);
    begin_sums(t->value_type, t->bias, n_rows, t->n_outputs, t->width, scratch);
    if (n_rows < E1D_FEW) {
        run_few(t, x, n_rows, (uint16_t *)(void *)rest, scratch);
    } else {
        run_many(t, x, n_rows, rest, scratch);
    }
    end_sums(t->value_type, scratch, n_rows, t->n_outputs, t->width, t->average ? t->n_trees : 1, answer);
}

/* The same for trees that are walked as they stand, one row and one tree at a time. */
void e1d_run_plain_trees(const e1d_plain_trees *t, e1d_rows x, ptrdiff_t n_rows, void *answer, char *scratch)
{
    begin_sums(t->value_type, t->bias, n_rows, t->n_outputs, t->width, scratch);
    for (ptrdiff_t r = 0; r < n_rows; r++) {
        for (int32_t tree = 0; tree < t->n_trees; tree++) {
            int32_t at = t->root[tree], leaf;
            while (at >= 0) {
                double value = e1d_number(x, r, t->feature[at]);
                int is_missing = x.type == E1D_INT32 ? t->has_missing && value == E1D_MISSING_CODE : value != value;
                int left = t->strict ? value < t->threshold[at] : value <= t->threshold[at];
                at = (is_missing ? t->default_left[at] : left) ? t->left[at] : t->right[at];
            }
            leaf = ~at;
            add_leaves(t->value_type, t->value, &leaf, 1, n_rows, t->n_outputs, t->width, t->output[tree], r, scratch);
        }
    }
    end_sums(t->value_type, scratch, n_rows, t->n_outputs, t->width, t->average ? t->n_trees : 1, answer);
}
