/* What the program needs of a board: a stream of rows in, a stream of answers out, and an end. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

void board_read(void *to, uint16_t n_bytes);
void board_write(const void *from, uint16_t n_bytes);
void board_exit(void);

#endif
