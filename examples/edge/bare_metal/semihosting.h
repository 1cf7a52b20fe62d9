/* What the program needs of its surroundings: text out, and an end. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

void print_text(const char *text);
void print_number(uint32_t number);
void stop(int status);

#endif
