/* program.c: the steps of a Program, tile by tile, and strip by strip within a tile. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNED(size) (((size) + 63) / 64 * 64)

enum { ANSWERED = 0, NO_MEMORY = 1, REFUSED = 2 };

static size_t size_of(int32_t type)
{
    return type == E1D_FLOAT64 ? sizeof(double) : 4;
}

/* Whether a value is infinite, or (where refuse is 2) missing: the caller then explains. */
static int holds_refused(const float *x, size_t n, int32_t refuse)
{
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffffU;
        found |= refuse == 2 ? bits >= 0x7f800000U : bits == 0x7f800000U;
    }
    return found != 0;
}

static size_t scratch_of(const e1d_op *op, ptrdiff_t n_rows)
{
    if (op->kind == E1D_TREES) {
        return e1d_trees_scratch(op->table[0], n_rows);
    }
    return op->kind == E1D_PLAIN_TREES ? ALIGNED((size_t)n_rows * (size_t)op->n_out * 8) : 0;
}

static void run_step(const e1d_program *p, const e1d_op *op, e1d_rows x, ptrdiff_t n_rows, void *answer, char *scratch)
{
    ptrdiff_t stride = p->reg[op->target].width;
    if (op->kind == E1D_TREES) {
        e1d_run_trees(op->table[0], x, n_rows, answer, scratch);
    } else if (op->kind == E1D_PLAIN_TREES) {
        e1d_run_plain_trees(op->table[0], x, n_rows, answer, scratch);
    } else if (p->reg[op->target].type == E1D_INT32) {
        e1d_run_integer(op, x, n_rows, answer, stride);
    } else {
        e1d_run_float(op, x, n_rows, answer, stride);
    }
}

/* Where the numbers of a register for row `row` of the tile stand; register 0 is the input. */
static char *place(const e1d_program *p, char **base, int32_t index, ptrdiff_t row)
{
    const e1d_register *reg = p->reg + index;
    size_t size = index == 0 && p->input_type == E1D_INT32 ? sizeof(int16_t) : size_of(reg->type);
    return base[index] + (reg->is_local ? 0 : (size_t)row * (size_t)reg->width * size);
}

static void run_steps(const e1d_program *p, int32_t begin, int32_t end, ptrdiff_t row, ptrdiff_t n_rows, char **base,
                      char *scratch)
{
    for (const e1d_op *op = p->op + begin; op < p->op + end; op++) {
        const e1d_register *source = p->reg + op->source;
        e1d_rows x = {source->type, source->width, place(p, base, op->source, row)};
        run_step(p, op, x, n_rows, place(p, base, op->target, row), scratch);
    }
}

/* Answer n rows of float32, or of int16 codes where input_type says so; returns ANSWERED, NO_MEMORY or REFUSED. */
int32_t e1d_run(const e1d_program *p, const void *input, int64_t n_rows, void *output)
{
    ptrdiff_t tile = n_rows < p->tile ? (ptrdiff_t)n_rows : p->tile;
    ptrdiff_t strip = tile < p->strip ? tile : p->strip;
    size_t size = 64, scratch = 0;
    char *bases[64], **base = bases, *memory, *free_from;
    size_t item = size_of(p->reg[p->answer].type), width = (size_t)p->reg[p->answer].width;
    if (p->refuse && holds_refused(input, (size_t)n_rows * (size_t)p->n_features, p->refuse)) {
        return REFUSED;
    }
    for (int32_t i = 0; i < p->n_ops; i++) {
        size_t need = scratch_of(p->op + i, i < p->n_early ? tile : strip);
        scratch = need > scratch ? need : scratch;
    }
    for (int32_t i = 1; i < p->n_registers; i++) {
        ptrdiff_t rows = p->reg[i].is_local ? strip : tile;
        size += ALIGNED((size_t)rows * (size_t)p->reg[i].width * size_of(p->reg[i].type));
    }
    if (p->n_registers > 64) {
        size += ALIGNED((size_t)p->n_registers * sizeof *base);
    }
    memory = malloc(size + scratch);
    if (!memory) {
        return NO_MEMORY;
    }
    free_from = memory + (64 - (uintptr_t)memory % 64);
    if (p->n_registers > 64) {
        base = (char **)(void *)free_from;
        free_from += ALIGNED((size_t)p->n_registers * sizeof *base);
    }
    for (int32_t i = 1; i < p->n_registers; i++) {
        ptrdiff_t rows = p->reg[i].is_local ? strip : tile;
        base[i] = free_from;
        free_from += ALIGNED((size_t)rows * (size_t)p->reg[i].width * size_of(p->reg[i].type));
    }
    for (int64_t first = 0; first < n_rows; first += tile) {
        ptrdiff_t n = n_rows - first < tile ? (ptrdiff_t)(n_rows - first) : tile;
        size_t input_item = p->input_type == E1D_INT32 ? sizeof(int16_t) : sizeof(float);
        base[0] = (char *)(uintptr_t)input + (size_t)first * (size_t)p->n_features * input_item;
        run_steps(p, 0, p->n_early, 0, n, base, free_from);
        for (ptrdiff_t row = 0; row < n; row += strip) {
            ptrdiff_t here = n - row < strip ? n - row : strip;
            run_steps(p, p->n_early, p->n_ops, row, here, base, free_from);
            memcpy((char *)output + (size_t)(first + row) * width * item, place(p, base, p->answer, row),
                   (size_t)here * width * item);
        }
    }
    free(memory);
    return ANSWERED;
}
