/* Start of a RISC-V hart: stack, faults, main. */
    .option arch, +zicsr
    .section .start, "ax"
    .global _start
_start:
    la sp, stack_top
    la t0, fault
    csrw mtvec, t0
    call main
    .balign 4
fault:
    call board_fault
