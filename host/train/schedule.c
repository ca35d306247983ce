/* Learning rates over time. */
#include "pixelrnn/train.h"
#include <math.h>

double px_learning_rate(const px_config *config, int64_t step) {
    const double rate = config->train.learning_rate;
    const int64_t warmup = config->train.warmup_steps;
    if (step < warmup) return rate * (double)(step + 1) / (double)warmup;
    if (config->train.schedule == PX_SCHEDULE_STEP)
        return rate * pow(config->train.decay_factor, (double)((step - warmup) / config->train.decay_every));
    if (config->train.schedule == PX_SCHEDULE_COSINE) {
        const double left = (double)(config->train.steps - warmup);
        const double progress = left > 0 ? (double)(step - warmup) / left : 1;
        const double wave = 0.5 * (1 + cos(3.141592653589793 * fmin(progress, 1)));
        return rate * (config->train.final_rate + (1 - config->train.final_rate) * wave);
    }
    return rate;
}
