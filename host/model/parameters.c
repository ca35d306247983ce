/* The list of parameters, their masks and their initial values. */
#include "host/model/parameters.h"
#include "kernels/portable/random.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PX_PARAMETER_ALIGN = 64 }; /* elements: parameters start at multiples of 256 bytes in float32 */

px_status px_parameters_add(px_context *ctx, px_parameters *parameters, const px_parameter *parameter, int *index) {
    if (parameters->count == parameters->capacity) {
        const int capacity = parameters->capacity ? 2 * parameters->capacity : 32;
        px_parameter *items = realloc(parameters->items, (size_t)capacity * sizeof *items);
        if (!items) return px_fail_memory(ctx, "model", (size_t)capacity * sizeof *items);
        parameters->items = items;
        parameters->capacity = capacity;
    }
    px_parameter *item = &parameters->items[parameters->count];
    *item = *parameter;
    item->offset = 0;
    if (parameters->count > 0) {
        const px_parameter *previous = item - 1;
        item->offset = (previous->offset + previous->count + PX_PARAMETER_ALIGN - 1) / PX_PARAMETER_ALIGN *
                       PX_PARAMETER_ALIGN;
    }
    parameters->elements = (item->offset + item->count + PX_FLAT_COLUMNS - 1) / PX_FLAT_COLUMNS * PX_FLAT_COLUMNS;
    *index = parameters->count++;
    return PX_OK;
}

void px_parameters_free(px_parameters *parameters) {
    free(parameters->items);
    *parameters = (px_parameters){0};
}

size_t px_parameters_rows(const px_parameters *parameters) { return parameters->elements / PX_FLAT_COLUMNS; }

px_tensor px_parameter_tensor(const px_parameter *parameter, px_tensor flat) {
    px_tensor tensor = {NULL, 1, (int)parameter->count, flat.type};
    if (parameter->rank > 1) {
        tensor.rows = (size_t)parameter->outputs;
        tensor.columns = parameter->taps * parameter->inputs;
    }
    tensor.data = px_element(flat.data, flat.type, (ptrdiff_t)parameter->offset);
    return tensor;
}

/* Whether the mask keeps a weight of the centre tap. */
static bool centre_live(const px_parameters *parameters, const px_parameter *p, int output, int input) {
    const int from = input * parameters->colours / p->inputs;
    const int to = output % p->period * parameters->colours / p->period;
    return p->mask == PX_MASK_NONE || (p->mask == PX_MASK_A ? from < to : from <= to);
}

bool px_parameter_live(const px_parameters *parameters, const px_parameter *p, size_t element) {
    if (p->rank == 1) return true;
    const size_t row = (size_t)p->taps * (size_t)p->inputs, column = element % row;
    const int tap = (int)(column / (size_t)p->inputs), input = (int)(column % (size_t)p->inputs);
    if (tap != p->live - 1) return tap < p->live;
    return centre_live(parameters, p, (int)(element / row), input);
}

static int live_fan_in(const px_parameters *parameters, const px_parameter *p, int output) {
    int fan_in = (p->live - 1) * p->inputs;
    for (int input = 0; input < p->inputs; input++) fan_in += centre_live(parameters, p, output, input);
    return fan_in;
}

size_t px_parameter_live_count(const px_parameters *parameters, const px_parameter *p) {
    size_t live = 0;
    if (p->rank == 1) return p->count;
    for (int output = 0; output < p->outputs; output++) live += (size_t)live_fan_in(parameters, p, output);
    return live;
}

size_t px_parameters_live(const px_parameters *parameters) {
    size_t live = 0;
    for (int i = 0; i < parameters->count; i++) live += px_parameter_live_count(parameters, &parameters->items[i]);
    return live;
}

/* A standard normal number, by the method of Box and Muller. */
static double normal(uint64_t seed, uint64_t tensor, uint64_t element) {
    const px_random4 r = px_random(seed, PX_RANDOM_WEIGHTS, tensor, element);
    const double radius = sqrt(-2 * log(px_uniform(r.word[0], r.word[1])));
    return radius * cos(6.283185307179586 * px_uniform(r.word[2], r.word[3]));
}

static void initialise_weight(const px_parameters *parameters, int index, uint64_t seed, px_real *to) {
    const px_parameter *p = &parameters->items[index];
    const size_t row = (size_t)p->taps * (size_t)p->inputs;
    for (int output = 0; output < p->outputs; output++) {
        const int fan_in = live_fan_in(parameters, p, output);
        const double deviation = fan_in ? sqrt(p->gain / fan_in) : 0;
        for (size_t element = (size_t)output * row; element < (size_t)(output + 1) * row; element++)
            if (px_parameter_live(parameters, p, element))
                to[element] = (px_real)(deviation * normal(seed, (uint64_t)index, element));
    }
}

void px_parameters_initialise(const px_parameters *parameters, uint64_t seed, px_real *flat) {
    memset(flat, 0, parameters->elements * sizeof *flat);
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        if (p->rank > 1) initialise_weight(parameters, i, seed, flat + p->offset);
        for (int f = 0; f < p->forget_count; f++) flat[p->offset + (size_t)(p->forget_first + f)] = 1;
    }
}
