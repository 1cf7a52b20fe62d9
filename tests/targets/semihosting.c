/* Boards under QEMU: rows.bin is read and answers.bin written by semihosting, which ARM and RISC-V share. */
#include "board.h"

enum { OPEN = 0x01, WRITE = 0x05, READ = 0x06, EXIT = 0x20 };
enum { FOR_READING = 1, FOR_WRITING = 5 };

#define APPLICATION_EXIT 0x20026

static intptr_t call(intptr_t operation, const intptr_t *arguments)
{
#ifdef __arm__
    register intptr_t r0 __asm__("r0") = operation;
    register const intptr_t *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#else
    register intptr_t a0 __asm__("a0") = operation;
    register const intptr_t *a1 __asm__("a1") = arguments;
    /* The three instructions must be uncompressed and on one page. */
    __asm__ volatile(".option push\n.option norvc\n.balign 16\n"
                     "slli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
#endif
}

static void stop(intptr_t status)
{
    const intptr_t arguments[2] = {APPLICATION_EXIT, status};
    call(EXIT, arguments);
}

static intptr_t opened(const char *name, intptr_t length, intptr_t mode)
{
    const intptr_t arguments[3] = {(intptr_t)name, mode, length};
    const intptr_t handle = call(OPEN, arguments);
    if (handle < 0) {
        stop(1);
    }
    return handle;
}

/* Both operations return how many bytes are left over. */
static void transfer(intptr_t operation, intptr_t handle, intptr_t bytes, intptr_t n_bytes)
{
    const intptr_t arguments[3] = {handle, bytes, n_bytes};
    if (call(operation, arguments) != 0) {
        stop(2);
    }
}

void board_read(void *to, uint16_t n_bytes)
{
    static intptr_t handle;
    if (handle == 0) {
        handle = opened("rows.bin", 8, FOR_READING);
    }
    transfer(READ, handle, (intptr_t)to, n_bytes);
}

void board_write(const void *from, uint16_t n_bytes)
{
    static intptr_t handle;
    if (handle == 0) {
        handle = opened("answers.bin", 11, FOR_WRITING);
    }
    transfer(WRITE, handle, (intptr_t)from, n_bytes);
}

void board_exit(void)
{
    stop(0);
}

/* Where every processor exception ends. */
void board_fault(void);
void board_fault(void)
{
    stop(3);
}
