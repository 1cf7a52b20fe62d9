/* Rows of any size in flash, behind the program: no C array holds more than 32 KB here. */
    .section .text.rows, "ax"
    .global rows
rows:
    .incbin "rows.bin"
