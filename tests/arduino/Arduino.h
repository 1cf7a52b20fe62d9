/* As much of Arduino.h as exported sketches use: text to the serial port of an AVR, elsewhere to stdout. */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <math.h>
#include <stdint.h>

class __FlashStringHelper;

#ifdef __AVR__
#include <avr/pgmspace.h>
#define F(text) (reinterpret_cast<const __FlashStringHelper *>(PSTR(text)))
#else
#define F(text) (reinterpret_cast<const __FlashStringHelper *>(text))
#endif

class SerialPort
{
public:
    void begin(unsigned long rate);
    operator bool() const { return true; }
    void print(const char *text);
    void print(const __FlashStringHelper *text);
    void print(int number) { print(static_cast<long>(number)); }
    void print(long number);
    void print(double number, int digits);
    template <typename T> void println(T what)
    {
        print(what);
        print("\n");
    }
    void println(double number, int digits)
    {
        print(number, digits);
        print("\n");
    }
};

extern SerialPort Serial;

void setup();
void loop();

#endif
