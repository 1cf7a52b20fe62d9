/* Reads rows of floats, writes their codes and answers: the C side of a comparison with Python. */
#include E1D_HEADER
#include <stdio.h>

int main(void)
{
    static float x[MODEL_N_FEATURES];
    static int16_t q[MODEL_N_CODES];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        int32_t answer;
        model_quantize_input(x, q);
        answer = model_predict(q);
        if (fwrite(q, sizeof q, 1, stdout) != 1 || fwrite(&answer, sizeof answer, 1, stdout) != 1) {
            return 1;
        }
#ifdef MODEL_N_CLASSES
        {
            static uint16_t p[MODEL_N_CLASSES];
            model_predict_proba(q, p);
            if (fwrite(p, sizeof p, 1, stdout) != 1) {
                return 1;
            }
        }
#endif
    }
    return 0;
}
