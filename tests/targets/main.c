/* Answers rows of codes, then turns rows of floats into codes; how many of each comes first. */
#include "board.h"
#include "model.h"

int main(void)
{
    static float x[MODEL_N_FEATURES];
    static int16_t q[MODEL_N_CODES];
    static int32_t n_rows[2];
    board_read(n_rows, sizeof n_rows);
    for (; n_rows[0] > 0; n_rows[0]--) {
        int32_t answer;
        board_read(q, sizeof q);
        answer = model_predict(q);
        board_write(&answer, sizeof answer);
#ifdef MODEL_N_CLASSES
        {
            static uint16_t p[MODEL_N_CLASSES];
            model_predict_proba(q, p);
            board_write(p, sizeof p);
        }
#endif
    }
    for (; n_rows[1] > 0; n_rows[1]--) {
        board_read(x, sizeof x);
        model_quantize_input(x, q);
        board_write(q, sizeof q);
    }
    board_exit();
    return 0;
}
