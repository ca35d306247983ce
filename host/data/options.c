/* The options for opening the data of a config. */
#include "pixelrnn/config.h"
#include "pixelrnn/source.h"

px_source_options px_source_options_of(const px_config *config, px_split split, px_access access) {
    return (px_source_options){.split = split,
                               .size = (int)config->data.size,
                               .seed = (uint64_t)config->seed,
                               .channels = (int)config->data.channels,
                               .access = access,
                               .levels = (int)config->data.levels,
                               .values = (px_values)config->data.values};
}
