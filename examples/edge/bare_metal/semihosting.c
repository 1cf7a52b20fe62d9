/* Text to the debugger or emulator, and the end of the program; on a board of your own, a serial port takes its place. */
#include "semihosting.h"

enum { WRITE0 = 0x04, EXIT = 0x18 };
enum { RUN_TIME_ERROR = 0x20023, APPLICATION_EXIT = 0x20026 };

static void call(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void print_text(const char *text)
{
    call(WRITE0, text);
}

void print_number(uint32_t number)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    print_text(first);
}

void stop(int status)
{
    /* On 32 bits, this operation takes the reason itself, not its address. */
    call(EXIT, (const void *)(uintptr_t)(status == 0 ? APPLICATION_EXIT : RUN_TIME_ERROR));
}
