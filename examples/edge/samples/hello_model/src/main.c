/* Classifies a few rows, and prints classes and probabilities. */
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

#include "classify.h"
#include "rows.h"

int main(void)
{
    static uint16_t probabilities[N_CLASSES];
    for (int i = 0; i < N_ROWS; i++) {
        printk("row %d: class %d, Q15", i, (int)classify(rows[i], probabilities));
        for (int k = 0; k < N_CLASSES; k++) {
            printk(" %u", (unsigned int)probabilities[k]);
        }
        printk("\n");
    }
    return 0;
}
