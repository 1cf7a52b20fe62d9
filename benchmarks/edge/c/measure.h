/* Where counting begins and ends; a board with a clock of its own returns the cycles between the two. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>

void measure_begin(void);
uint32_t measure_end(void);

#endif
