/* What firmware sees of the model: one function, compiled once. */
#ifndef CLASSIFY_H
#define CLASSIFY_H

#include <stdint.h>

/* Returns the class of one row of features, and stores the probability of every class in Q15: 32768 is one. */
int32_t classify(const float *features, uint16_t *probabilities);

#endif
