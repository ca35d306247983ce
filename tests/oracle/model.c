/* The three models as scalar operations on an autodiff tape: one operation for each pixel, tap and weight. */
#include "tests/oracle/oracle.h"
#include "tests/oracle/tape.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Tensors ---- */

enum { GATES = 4, GATE_O = 0, GATE_F, GATE_I, GATE_G };

static const oracle_tap here[] = {{0, 0}};
static const oracle_tap left_and_centre[] = {{0, -1}, {0, 0}};
static const oracle_tap row_above[] = {{-1, -1}, {-1, 0}, {-1, 1}};
static const oracle_tap above_and_left[] = {{-1, 0}, {0, -1}};
static const oracle_tap above_and_right[] = {{-1, 0}, {0, 1}};

/* A formatted name, returned by value so that it lives until the end of the calling statement. */
typedef struct label {
    char text[64];
} label;

__attribute__((format(printf, 1, 2))) static label name_of(const char *format, ...) {
    label name;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name.text, sizeof name.text, format, arguments);
    va_end(arguments);
    return name;
}

static oracle_tensor *add_tensor(oracle_model *m, const char *layer, const char *part) {
    if (m->count == ORACLE_TENSORS) abort();
    oracle_tensor *t = &m->tensor[m->count++];
    *t = (oracle_tensor){.offset = m->elements};
    strcpy(t->name, name_of("%s.%s", layer, part).text);
    return t;
}

/* Adds a weight [out, rows, columns, in]. */
static oracle_tensor *add_weight(oracle_model *m, const char *layer, int out, int rows, int columns, int in, char mask,
                                 double gain) {
    oracle_tensor *t = add_tensor(m, layer, "weight");
    t->outputs = t->period = out;
    t->taps = t->live = rows * columns;
    t->inputs = in;
    t->mask = mask;
    t->gain = gain;
    t->count = (size_t)out * (size_t)t->taps * (size_t)in;
    m->elements += t->count;
    return t;
}

static void add_bias(oracle_model *m, const char *layer, int out, int ones_first, int ones_count) {
    oracle_tensor *t = add_tensor(m, layer, "bias");
    t->count = (size_t)out;
    t->ones_first = ones_first;
    t->ones_count = ones_count;
    m->elements += t->count;
}

static void add_point(oracle_model *m, const char *layer, int out, int in, double gain) {
    add_weight(m, layer, out, 1, 1, in, 'B', gain)->tap[0] = here[0];
    add_bias(m, layer, out, 0, 0);
}

/* Adds the top half of a square kernel, whose last row ends at the centre. */
static void add_half(oracle_model *m, const char *layer, int out, int rows, int columns, int in, char mask,
                     double gain) {
    oracle_tensor *t = add_weight(m, layer, out, rows, columns, in, mask, gain);
    t->live = (rows - 1) * columns + columns / 2 + 1;
    for (int k = 0; k < t->taps; k++) t->tap[k] = (oracle_tap){k / columns - (rows - 1), k % columns - columns / 2};
    add_bias(m, layer, out, 0, 0);
}

static void add_lstm(oracle_model *m, const char *name, int input_taps, const oracle_tap *input, int state_taps,
                     const oracle_tap *state) {
    const int h = m->hidden;
    const label layer = name_of("%s.input_to_state", name);
    oracle_tensor *t = add_weight(m, layer.text, GATES * h, 1, input_taps, 2 * h, 'B', 1);
    memcpy(t->tap, input, (size_t)input_taps * sizeof *input);
    t->period = h;
    add_bias(m, layer.text, GATES * h, GATE_F * h, h);
    t = add_weight(m, name_of("%s.state_to_state", name).text, GATES * h, 1, state_taps, h, 0, 1);
    memcpy(t->tap, state, (size_t)state_taps * sizeof *state);
}

static void add_block(oracle_model *m, int l) {
    const int h = m->hidden;
    const double gain = m->kind == PX_MODEL_PIXELCNN ? 2 : 1;
    if (m->kind == PX_MODEL_PIXELCNN) {
        add_point(m, name_of("blocks.%d.reduce", l).text, h, 2 * h, gain);
        add_half(m, name_of("blocks.%d.conv", l).text, h, 2, 3, h, 'B', gain);
    } else if (m->kind == PX_MODEL_ROW_LSTM) {
        add_lstm(m, name_of("blocks.%d", l).text, 2, left_and_centre, 3, row_above);
    } else {
        add_lstm(m, name_of("blocks.%d.left", l).text, 1, here, 2, above_and_left);
        add_lstm(m, name_of("blocks.%d.right", l).text, 1, here, 2, above_and_right);
    }
    add_point(m, name_of("blocks.%d.expand", l).text, 2 * h, h, gain);
    if (m->skip) add_point(m, name_of("skip.%d", l).text, 2 * h, 2 * h, 1);
}

static int group(int feature, int features, int colours) { return feature * colours / features; }

static bool connected(const oracle_model *m, const oracle_tensor *t, int out, int tap, int in) {
    if (tap >= t->live) return false;
    if (!t->mask || tap < t->live - 1) return true;
    const int from = group(in, t->inputs, m->channels), to = group(out % t->period, t->period, m->channels);
    return t->mask == 'A' ? from < to : from <= to;
}

bool oracle_live(const oracle_model *m, const oracle_tensor *t, size_t element) {
    if (t->taps == 0) return true;
    const int e = (int)element;
    return connected(m, t, e / (t->taps * t->inputs), e / t->inputs % t->taps, e % t->inputs);
}

double oracle_deviation(const oracle_model *m, const oracle_tensor *t, size_t element) {
    if (t->taps == 0 || !oracle_live(m, t, element)) return 0;
    const size_t row = (size_t)(t->taps * t->inputs), first = element / row * row;
    int fan_in = 0;
    for (size_t e = first; e < first + row; e++) fan_in += oracle_live(m, t, e);
    return sqrt(t->gain / fan_in);
}

static void initialise(oracle_model *m, uint64_t seed) {
    m->weights = calloc(m->elements, sizeof *m->weights);
    if (!m->weights) abort();
    for (int i = 0; i < m->count; i++) {
        const oracle_tensor *t = &m->tensor[i];
        double *w = m->weights + t->offset;
        for (int k = 0; k < t->ones_count; k++) w[t->ones_first + k] = 1;
        for (size_t e = 0; e < t->count; e++) {
            const double deviation = oracle_deviation(m, t, e);
            if (deviation > 0) w[e] = deviation * oracle_normal(seed, (uint64_t)i, e);
        }
    }
}

oracle_model oracle_model_create(const px_config *config, const oracle_images *images) {
    oracle_model m = {.kind = (px_model_kind)config->model.kind,
                      .layers = (int)config->model.layers,
                      .hidden = (int)config->model.hidden,
                      .head = (int)config->model.head,
                      .residual = config->model.residual,
                      .skip = config->model.skip,
                      .height = images->height,
                      .width = images->width,
                      .channels = images->channels,
                      .levels = (int)config->data.levels};
    add_half(&m, "stem", 2 * m.hidden, 4, 7, m.channels, 'A', 1);
    for (int l = 0; l < m.layers; l++) add_block(&m, l);
    add_point(&m, "head.0", m.head, 2 * m.hidden, 2);
    add_point(&m, "head.1", m.head, m.head, 2);
    add_point(&m, "head.2", m.channels * m.levels, m.head, 0.1);
    initialise(&m, (uint64_t)config->seed);
    return m;
}

typedef struct loading {
    oracle_model *model;
    int found;
} loading;

static void load_tensor(void *context, const char *name, const double *values, size_t count) {
    loading *l = context;
    for (int i = 0; i < l->model->count; i++) {
        const oracle_tensor *t = &l->model->tensor[i];
        if (strcmp(t->name, name) != 0 || t->count != count) continue;
        memcpy(l->model->weights + t->offset, values, count * sizeof *values);
        l->found++;
    }
}

void oracle_model_load(oracle_model *m, const char *path) {
    loading l = {.model = m};
    oracle_read_safetensors(path, load_tensor, NULL, &l);
    if (l.found == m->count) return;
    fprintf(stderr, "%s: found %d tensors of the model, expected %d\n", path, l.found, m->count);
    abort();
}

/* ---- The network ---- */

/* A feature of a pixel is v[(row * W + column) * F + feature]. The weights are the first nodes of the tape. */

static const oracle_tensor *tensor(const oracle_model *m, const char *name) {
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->tensor[i].name, name) == 0) return &m->tensor[i];
    fprintf(stderr, "oracle: found no tensor %s\n", name);
    abort();
}

static var *features(const oracle_model *m, int count) {
    var *v = malloc((size_t)(m->height * m->width * count) * sizeof *v);
    if (!v) abort();
    return v;
}

/* Returns sum + one output of a convolution at one pixel. Pixels outside the image and masked weights add nothing. */
static var add_convolution(const oracle_model *m, const oracle_tensor *t, const var *x, int row, int column, int out,
                           var sum) {
    for (int tap = 0; tap < t->live; tap++) {
        const int i = row + t->tap[tap].down, j = column + t->tap[tap].right;
        if (i < 0 || j < 0 || i >= m->height || j >= m->width) continue;
        for (int in = 0; in < t->inputs; in++)
            if (connected(m, t, out, tap, in))
                sum = tape_multiply_add(sum, (var)t->offset + (out * t->taps + tap) * t->inputs + in,
                                        x[(i * m->width + j) * t->inputs + in]);
    }
    return sum;
}

static var *layer(const oracle_model *m, const char *name, const var *x) {
    const oracle_tensor *weight = tensor(m, name_of("%s.weight", name).text);
    const var bias = (var)tensor(m, name_of("%s.bias", name).text)->offset;
    var *y = features(m, weight->outputs);
    for (int pixel = 0; pixel < m->height * m->width; pixel++)
        for (int out = 0; out < weight->outputs; out++)
            y[pixel * weight->outputs + out] = add_convolution(m, weight, x, pixel / m->width, pixel % m->width, out,
                                                               bias + out);
    return y;
}

static var *relu(const oracle_model *m, const var *x, int count) {
    var *y = features(m, count);
    for (int i = 0; i < m->height * m->width * count; i++) y[i] = tape_relu(x[i]);
    return y;
}

static var *relu_layer(const oracle_model *m, const char *name, const var *x, int count) {
    var *relu_out = relu(m, x, count), *y = layer(m, name, relu_out);
    free(relu_out);
    return y;
}

/* y += x (down = 0), or y += x of the row above (down = 1). */
static void add_to(const oracle_model *m, var *y, const var *x, int count, int down) {
    for (int i = down * m->width * count; i < m->height * m->width * count; i++)
        y[i] = tape_add(y[i], x[i - down * m->width * count]);
}

static var *pixelcnn_block(const oracle_model *m, const char *block, const var *u) {
    var *reduced = relu_layer(m, name_of("%s.reduce", block).text, u, 2 * m->hidden);
    var *convolved = relu_layer(m, name_of("%s.conv", block).text, reduced, m->hidden);
    var *y = relu(m, convolved, m->hidden);
    free(reduced);
    free(convolved);
    return y;
}

/* One LSTM over an image. direction: 1 visits each row from left to right, -1 from right to left. before: the offset of
 * the previous cell. */
static var *lstm(const oracle_model *m, const char *name, const var *u, int direction, oracle_tap before) {
    const int h = m->hidden;
    const oracle_tensor *weight = tensor(m, name_of("%s.state_to_state.weight", name).text);
    var *a = layer(m, name_of("%s.input_to_state", name).text, u), *state = features(m, h), *cell = features(m, h);
    const var none = tape_leaf(0);
    for (int row = 0; row < m->height; row++)
        for (int n = 0; n < m->width; n++) {
            const int column = direction > 0 ? n : m->width - 1 - n, pixel = row * m->width + column;
            const int i = row + before.down, j = column + before.right;
            const bool inside = i >= 0 && j >= 0 && j < m->width;
            var gate[GATES];
            for (int k = 0; k < h; k++) {
                for (int g = 0; g < GATES; g++)
                    gate[g] = add_convolution(m, weight, state, row, column, g * h + k,
                                              a[pixel * GATES * h + g * h + k]);
                const var c = inside ? cell[(i * m->width + j) * h + k] : none;
                const var kept = tape_multiply(tape_sigmoid(gate[GATE_F]), c);
                const var next = tape_multiply_add(kept, tape_sigmoid(gate[GATE_I]), tape_tanh(gate[GATE_G]));
                cell[pixel * h + k] = next;
                state[pixel * h + k] = tape_multiply(tape_sigmoid(gate[GATE_O]), tape_tanh(next));
            }
        }
    free(a);
    free(cell);
    return state;
}

static var *diagonal_block(const oracle_model *m, const char *block, const var *u) {
    var *left = lstm(m, name_of("%s.left", block).text, u, 1, (oracle_tap){0, -1});
    var *right = lstm(m, name_of("%s.right", block).text, u, -1, (oracle_tap){0, 1});
    add_to(m, left, right, m->hidden, 1);
    free(right);
    return left;
}

static var *block_forward(const oracle_model *m, int l, const var *u) {
    const label block = name_of("blocks.%d", l);
    var *inner = m->kind == PX_MODEL_PIXELCNN   ? pixelcnn_block(m, block.text, u)
                 : m->kind == PX_MODEL_ROW_LSTM ? lstm(m, block.text, u, 1, (oracle_tap){-1, 0})
                                                : diagonal_block(m, block.text, u);
    var *y = layer(m, name_of("%s.expand", block.text).text, inner);
    if (m->residual) add_to(m, y, u, 2 * m->hidden, 0);
    free(inner);
    return y;
}

/* Returns the logits [H, W, C, L] of an image, which the caller frees. The weights must be on the tape. */
static var *network(const oracle_model *m, const uint8_t *levels) {
    const int f = 2 * m->hidden;
    var *image = features(m, m->channels), *skips[16] = {NULL};
    for (int i = 0; i < m->height * m->width * m->channels; i++)
        image[i] = tape_leaf(2.0 * levels[i] / (m->levels - 1) - 1);
    var *u = layer(m, "stem", image);
    free(image);
    for (int l = 0; l < m->layers; l++) {
        var *next = block_forward(m, l, u);
        free(u);
        u = next;
        if (m->skip) skips[l] = layer(m, name_of("skip.%d", l).text, u);
    }
    for (int l = 0; l < m->layers && m->skip; l++) {
        add_to(m, u, skips[l], f, 0);
        free(skips[l]);
    }
    for (int i = 0; i < 3; i++) {
        var *next = relu_layer(m, name_of("head.%d", i).text, u, i == 0 ? f : m->head);
        free(u);
        u = next;
    }
    return u;
}

static void weights_on_tape(const oracle_model *m, const double *weights) {
    tape_clear();
    for (size_t e = 0; e < m->elements; e++) tape_leaf(weights[e]);
}

/* Returns the sum of -ln p over the values of an image. */
static var image_nats(const oracle_model *m, const uint8_t *levels, double *nll) {
    var *logits = network(m, levels), sum = tape_leaf(0);
    for (int i = 0; i < m->height * m->width * m->channels; i++) {
        const var value = tape_softmax_nll(logits + i * m->levels, m->levels, levels[i]);
        if (nll) nll[i] = tape_value(value);
        sum = tape_add(sum, value);
    }
    free(logits);
    return sum;
}

double oracle_nats(const oracle_model *m, const double *weights, const uint8_t *levels, double *nll) {
    weights_on_tape(m, weights);
    return tape_value(image_nats(m, levels, nll));
}

double oracle_gradient(const oracle_model *m, const double *weights, const uint8_t *levels, int images,
                       double *gradient) {
    const int values = m->height * m->width * m->channels;
    double nats = 0;
    memset(gradient, 0, m->elements * sizeof *gradient);
    for (int n = 0; n < images; n++) {
        weights_on_tape(m, weights);
        const var root = image_nats(m, levels + n * values, NULL);
        nats += tape_value(root);
        tape_backward(root);
        for (size_t e = 0; e < m->elements; e++) gradient[e] += tape_gradient((var)e) / (images * values);
    }
    return nats / images;
}

/* ---- Sampling ---- */

static double margin = INFINITY;

double oracle_sample_margin(void) {
    const double found = margin;
    margin = INFINITY;
    return found;
}

/* Returns the smallest level whose cumulative probability is above a uniform number. */
static int sample_level(const var *logits, int levels, double temperature, double uniform) {
    double largest = tape_value(logits[0]), total = 0, below = 0;
    for (int l = 1; l < levels; l++) largest = fmax(largest, tape_value(logits[l]));
    for (int l = 0; l < levels; l++) total += exp((tape_value(logits[l]) - largest) / temperature);
    int level = levels - 1;
    for (int l = levels - 2; l >= 0; l--) {
        below = 0;
        for (int k = 0; k <= l; k++) below += exp((tape_value(logits[k]) - largest) / temperature) / total;
        margin = fmin(margin, fabs(below - uniform));
        if (uniform < below) level = l;
    }
    return level;
}

void oracle_sample(const oracle_model *m, const double *weights, uint64_t seed, uint64_t image, double temperature,
                   const uint8_t *keep, uint8_t *levels) {
    for (int i = 0; i < m->height * m->width * m->channels; i++) {
        const int pixel = i / m->channels;
        if (keep && keep[pixel]) continue;
        uint32_t word[4];
        const uint64_t row = (uint64_t)(pixel / m->width), column = (uint64_t)(pixel % m->width);
        oracle_random(seed, ORACLE_SAMPLE, image, row << 32 | column << 8 | (uint64_t)(i % m->channels), word);
        levels[i] = 0; /* the logits of this value do not depend on it */
        weights_on_tape(m, weights);
        var *logits = network(m, levels);
        levels[i] = (uint8_t)sample_level(logits + i * m->levels, m->levels, temperature,
                                          oracle_uniform(word[0], word[1]));
        free(logits);
    }
}
