/* Classifies a few rows, and prints classes and probabilities. */
#include "classify.h"
#include "rows.h"
#include "semihosting.h"

int main(void)
{
    static uint16_t probabilities[N_CLASSES];
    uint32_t i;
    uint32_t k;
    for (i = 0; i < N_ROWS; i++) {
        const int32_t class_index = classify(rows[i], probabilities);
        print_text("row ");
        print_number(i);
        print_text(": class ");
        print_number((uint32_t)class_index);
        print_text(", Q15");
        for (k = 0; k < N_CLASSES; k++) {
            print_text(" ");
            print_number(probabilities[k]);
        }
        print_text("\n");
    }
    return 0;
}
