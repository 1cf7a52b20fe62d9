/* A stand-in: printk prints to stdout. */
#include <stdio.h>
#define printk(...) ((void)printf(__VA_ARGS__))
