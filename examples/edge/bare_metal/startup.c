/* Start of a Cortex-M: vectors, initial values of variables, main. */
#include <stdint.h>

typedef void (*vector)(void);

/* Addresses of the linker script. */
extern uint32_t data_start[], data_end[], data_in_flash[], bss_start[], bss_end[];
void stack_top(void);

int main(void);
void reset(void);
void fault(void);
void stop(int status);

void reset(void)
{
    /* Volatile, lest the loops become calls of memcpy and memset, which are not there. */
    volatile uint32_t *to;
    const uint32_t *from = data_in_flash;
    for (to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    stop(main());
}

void fault(void)
{
    stop(1);
}

static const vector vectors[16] __attribute__((section(".vectors"), used)) = {
    stack_top, reset, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault,
};
