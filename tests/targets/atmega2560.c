/* An ATmega2560: rows lie in flash beyond the first 64 KB, answers leave as hexadecimal text by the serial port. */
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>

#include "board.h"

extern const uint8_t rows[];

static void send(char character)
{
    while (!(UCSR0A & _BV(UDRE0))) {
    }
    UDR0 = (uint8_t)character;
}

static void send_digit(uint8_t digit)
{
    send((char)(digit < 10 ? '0' + digit : 'a' - 10 + digit));
}

void board_read(void *to, uint16_t n_bytes)
{
    static uint32_t position;
    uint8_t *byte = to;
    for (; n_bytes > 0; n_bytes--) {
        *byte++ = pgm_read_byte_far(pgm_get_far_address(rows) + position);
        position++;
    }
}

/* A byte a line: simavr prints whole lines, and loses the 256th character of one. */
void board_write(const void *from, uint16_t n_bytes)
{
    const uint8_t *byte = from;
    UCSR0A = _BV(U2X0); /* the fastest there is */
    UCSR0B = _BV(TXEN0);
    for (; n_bytes > 0; n_bytes--) {
        send(':');
        send_digit((uint8_t)(*byte >> 4));
        send_digit((uint8_t)(*byte & 15));
        send('\n');
        byte++;
    }
}

/* Asleep without interrupts, nothing can wake it: the emulator ends. */
void board_exit(void)
{
    cli();
    sleep_mode();
}
