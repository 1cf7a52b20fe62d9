/* Start of a Cortex-M: stack, reset, and an end for every fault. */
#include <stdint.h>

typedef void (*vector)(void);

int main(void);
void board_fault(void);
void board_reset(void);
void stack_top(void); /* an address of the linker script */

void board_reset(void)
{
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20; /* CPACR: the floating-point unit is off until here */
    __asm__ volatile("dsb\nisb");
#endif
    main();
}

static const vector vectors[16] __attribute__((section(".vectors"), used)) = {
    stack_top,   board_reset, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault,
    board_fault, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault, board_fault,
};
