/* A stand-in: the sample takes fixed-width integers from it. */
#include <stdint.h>
