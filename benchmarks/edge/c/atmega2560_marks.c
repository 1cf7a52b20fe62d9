/* An ATmega2560: one timer counts cycles, of which it keeps 16 bits; another counts 1024 of them, which tells the rest. */
#include <avr/io.h>

#include "measure.h"

void measure_begin(void)
{
    TCCR1A = TCCR1B = TCCR3A = TCCR3B = 0;
    TCNT1 = TCNT3 = 0;
    TCCR3B = _BV(CS32) | _BV(CS30);
    TCCR1B = _BV(CS10);
}

uint32_t measure_end(void)
{
    const uint16_t low = TCNT1;
    const uint32_t rough = (uint32_t)TCNT3 << 10;
    /* The only number with these low bits that is nearer to the rough one than half of 65536. */
    return low + ((rough - low + 32768) & 0xFFFF0000);
}
