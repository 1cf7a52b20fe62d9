/* Runs a sketch once: setup, loop, and the end of the program. */
#include "Arduino.h"

#ifdef __AVR__
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

static void put(char character)
{
    while (!(UCSR0A & _BV(UDRE0))) {
    }
    UDR0 = static_cast<uint8_t>(character);
}

static char at(const char *flash)
{
    return static_cast<char>(pgm_read_byte(flash));
}

void SerialPort::begin(unsigned long)
{
    UCSR0A = _BV(U2X0);
    UCSR0B = _BV(TXEN0);
}

/* Asleep without interrupts, nothing can wake it: the emulator ends. */
static void end()
{
    cli();
    sleep_mode();
}
#else
#include <stdio.h>

static void put(char character)
{
    putchar(character);
}

static char at(const char *flash)
{
    return *flash;
}

void SerialPort::begin(unsigned long)
{
}

static void end()
{
}
#endif

SerialPort Serial;

void SerialPort::print(const char *text)
{
    while (*text != '\0') {
        put(*text++);
    }
}

void SerialPort::print(const __FlashStringHelper *text)
{
    const char *from = reinterpret_cast<const char *>(text);
    while (at(from) != '\0') {
        put(at(from++));
    }
}

void SerialPort::print(long number)
{
    char digits[12];
    char *first = digits + sizeof digits - 1;
    unsigned long rest = number < 0 ? 0ul - static_cast<unsigned long>(number) : static_cast<unsigned long>(number);
    *first = '\0';
    do {
        *--first = static_cast<char>('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (number < 0) {
        *--first = '-';
    }
    print(first);
}

void SerialPort::print(double number, int digits)
{
    double rest = fabs(number);
    double half = 0.5;
    for (int i = 0; i < digits; i++) {
        half /= 10;
    }
    rest += half;
    if (number < 0) {
        put('-');
    }
    print(static_cast<long>(rest));
    put('.');
    for (int i = 0; i < digits; i++) {
        rest = (rest - floor(rest)) * 10;
        put(static_cast<char>('0' + static_cast<int>(rest)));
    }
}

int main()
{
    setup();
    loop();
    end();
    return 0;
}
