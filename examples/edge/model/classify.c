/* The one file that includes the exported header. */
#include "classify.h"
#include "model.h"

int32_t classify(const float *features, uint16_t *probabilities)
{
    int16_t codes[MODEL_N_CODES];
    model_quantize_input(features, codes);
    model_predict_proba(codes, probabilities);
    return model_predict(codes);
}
