/* builtin:digits: grey images of the digits 0 to 9, drawn with pen strokes that vary from image to image.
 *
 * A digit is one or two strokes in the unit square, with y downward. For each image the points of the strokes are
 * jittered, and the digit is slanted, scaled and moved. A pixel's value is its coverage by the pen: 0 paper, 255 ink.
 */
#include "host/data/formats.h"
#include "kernels/portable/random.h"
#include <math.h>
#include <stdlib.h>

enum { MIN_SIZE = 8, DEFAULT_SIZE = 28, MAX_SIZE = 64 };
static const size_t images[] = {[PX_SPLIT_TRAIN] = 60000, [PX_SPLIT_TEST] = 1000, [PX_SPLIT_VALID] = 1000};

typedef struct point {
    double x, y;
} point;

/* LINES joins its points by straight lines, CURVE by a Catmull-Rom spline; LOOP is a closed CURVE. A stroke without
 * points is empty. */
enum { MAX_POINTS = 10, MAX_STROKES = 2 };
typedef struct stroke {
    enum { LINES, CURVE, LOOP } kind;
    int points;
    point at[MAX_POINTS];
} stroke;

/* clang-format off */
static const stroke glyphs[10][MAX_STROKES] = {
    [0] = {{LOOP,  8, {{.5, 0}, {.83, .13}, {.95, .5}, {.83, .87}, {.5, 1}, {.17, .87}, {.05, .5}, {.17, .13}}}},
    [1] = {{LINES, 3, {{.3, .2}, {.55, 0}, {.55, 1}}}},
    [2] = {{CURVE, 7, {{.08, .25}, {.2, .07}, {.5, 0}, {.82, .09}, {.88, .3}, {.62, .6}, {.08, 1}}},
           {LINES, 2, {{.08, 1}, {.95, 1}}}},
    [3] = {{CURVE, 5, {{.1, .1}, {.45, 0}, {.83, .12}, {.8, .37}, {.4, .48}}},
           {CURVE, 6, {{.4, .48}, {.8, .57}, {.93, .77}, {.75, .96}, {.42, 1}, {.05, .88}}}},
    [4] = {{LINES, 4, {{.7, 1}, {.7, 0}, {.05, .68}, {.98, .68}}}},
    [5] = {{LINES, 3, {{.88, 0}, {.2, 0}, {.13, .46}}},
           {CURVE, 6, {{.13, .46}, {.5, .36}, {.87, .5}, {.9, .8}, {.55, 1}, {.08, .9}}}},
    [6] = {{CURVE, 9, {{.75, 0}, {.35, .2}, {.1, .62}, {.22, .93}, {.55, 1}, {.88, .85}, {.86, .58}, {.52, .45},
                       {.14, .62}}}},
    [7] = {{LINES, 3, {{.05, 0}, {.93, 0}, {.38, 1}}}},
    [8] = {{LOOP,  8, {{.5, .47}, {.14, .27}, {.5, 0}, {.86, .27}, {.5, .47}, {.06, .74}, {.5, 1}, {.94, .74}}}},
    [9] = {{CURVE, 9, {{.25, 1}, {.65, .8}, {.9, .38}, {.78, .07}, {.45, 0}, {.12, .15}, {.14, .42}, {.48, .55},
                       {.86, .38}}}},
};
/* clang-format on */

typedef struct digits_source {
    px_source base;
    px_split split;
    uint64_t seed;
} digits_source;

/* The random numbers of one image, and how many of them were used. */
typedef struct number_stream {
    uint64_t seed, item, used;
    px_random4 random;
} number_stream;

/* The next number, uniform from low to high. */
static double uniform(number_stream *d, double low, double high) {
    if (d->used % 2 == 0) d->random = px_random(d->seed, PX_RANDOM_DATA, d->item, d->used / 2);
    const uint32_t *word = d->random.word + d->used++ % 2 * 2;
    return low + (high - low) * px_uniform(word[0], word[1]);
}

/* The map from the unit square to pixels, x' = a x + b y + left, y' = height y + top, and the pen's radius in pixels.
 */
typedef struct placement {
    double a, b, left, height, top, radius;
} placement;

static placement sample_placement(number_stream *d, int size) {
    double height = uniform(d, 0.66, 0.74) * size, width = uniform(d, 0.43, 0.55) * size;
    double slant = uniform(d, -0.12, 0.22) * height; /* mostly to the right, as in handwriting */
    double across = (0.5 + uniform(d, -0.05, 0.05)) * size, down = (0.5 + uniform(d, -0.03, 0.03)) * size;
    double pen = fmax(uniform(d, 0.042, 0.058) * size, 0.6); /* thinner lines have gaps in two levels */
    return (placement){.a = width,
                       .b = -slant,
                       .left = across - (width - slant) / 2,
                       .height = height,
                       .top = down - height / 2,
                       .radius = pen};
}

/* Draws the segment from p to q, in pixel units. Visits only the pixels of a box around it. */
static void draw_segment(uint8_t *pixels, int size, point p, point q, double radius) {
    double dx = q.x - p.x, dy = q.y - p.y, length2 = dx * dx + dy * dy;
    double per_length2 = length2 > 0 ? 1 / length2 : 0;
    int x0 = (int)fmax(0, fmin(p.x, q.x) - radius - 1), x1 = (int)fmin(size - 1, fmax(p.x, q.x) + radius + 1);
    int y0 = (int)fmax(0, fmin(p.y, q.y) - radius - 1), y1 = (int)fmin(size - 1, fmax(p.y, q.y) + radius + 1);
    for (int y = y0; y <= y1; y++)
        for (int x = x0; x <= x1; x++) {
            double px = x + 0.5 - p.x, py = y + 0.5 - p.y;
            double t = fmin(fmax((px * dx + py * dy) * per_length2, 0), 1);
            double ex = px - t * dx, ey = py - t * dy;
            double cover = fmin(radius + 0.5 - sqrt(ex * ex + ey * ey), 1);
            int ink = cover > 0 ? (int)(255 * cover + 0.5) : 0;
            uint8_t *pixel = &pixels[y * size + x];
            if (ink > *pixel) *pixel = (uint8_t)ink;
        }
}

/* The point at parameter t, 0 at b and 1 at c, of the Catmull-Rom spline through a, b, c, d. */
static point spline(point a, point b, point c, point d, double t) {
    double t2 = t * t, t3 = t2 * t;
    double wa = -t3 + 2 * t2 - t, wb = 3 * t3 - 5 * t2 + 2, wc = -3 * t3 + 4 * t2 + t, wd = t3 - t2;
    return (point){(wa * a.x + wb * b.x + wc * c.x + wd * d.x) / 2, (wa * a.y + wb * b.y + wc * c.y + wd * d.y) / 2};
}

/* Point i of a stroke. The index wraps around in a loop, and is clamped in a curve. */
static point neighbour(const stroke *s, int i) {
    if (s->kind == LOOP) return s->at[(i + s->points) % s->points];
    return s->at[i < 0 ? 0 : i < s->points ? i : s->points - 1];
}

/* Draws a stroke whose points are in pixel units. */
static void draw_stroke(uint8_t *pixels, int size, const stroke *s, double radius) {
    int spans = s->kind == LOOP ? s->points : s->points - 1;
    int pieces = s->kind == LINES ? 1 : 5;
    for (int i = 0; i < spans; i++) {
        point a = neighbour(s, i - 1), b = neighbour(s, i), c = neighbour(s, i + 1), d = neighbour(s, i + 2);
        point from = b;
        for (int k = 1; k <= pieces; k++) {
            point to = k == pieces ? c : spline(a, b, c, d, (double)k / pieces);
            draw_segment(pixels, size, from, to, radius);
            from = to;
        }
    }
}

/* The digit of an image, which takes the first of its random numbers. */
static int sample_digit(number_stream *d) { return (int)uniform(d, 0, 10); }

static px_status read_image(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)ctx;
    const digits_source *self = (const digits_source *)source;
    int size = source->width;
    const double jitter = 0.027;
    number_stream d = {.seed = self->seed, .item = px_source_item(self->split, index)};
    const stroke *digit = glyphs[sample_digit(&d)];
    placement h = sample_placement(&d, size);
    for (size_t i = 0; i < px_source_image_bytes(source); i++) pixels[i] = 0;
    for (int n = 0; n < MAX_STROKES; n++) {
        stroke s = digit[n];
        for (int i = 0; i < s.points; i++) {
            double x = s.at[i].x + uniform(&d, -jitter, jitter), y = s.at[i].y + uniform(&d, -jitter, jitter);
            s.at[i] = (point){h.a * x + h.b * y + h.left, h.height * y + h.top};
        }
        draw_stroke(pixels, size, &s, h.radius);
    }
    return PX_OK;
}

static px_status label_images(px_context *ctx, digits_source *self) {
    const size_t count = self->base.count;
    uint16_t *labels = malloc(count * sizeof *labels);
    if (!labels) return px_fail_memory(ctx, self->base.name, count * sizeof *labels);
    for (size_t n = 0; n < count; n++) {
        number_stream d = {.seed = self->seed, .item = px_source_item(self->split, n)};
        labels[n] = (uint16_t)sample_digit(&d);
    }
    self->base.labels = labels;
    return PX_OK;
}

px_status px_digits_open(px_context *ctx, const char *spec, const px_source_options *options, px_source **source) {
    int size = options->size ? options->size : DEFAULT_SIZE;
    if (size < MIN_SIZE || size > MAX_SIZE)
        return px_fail(ctx, PX_ERR_CONFIG, "%s: size is %d, expected %d to %d", spec, size, MIN_SIZE, MAX_SIZE);
    size_t side = (size_t)size;
    px_extent extent = {images[options->split], side, side, 1};
    px_source *created;
    PX_TRY(px_source_create(ctx, sizeof(digits_source), spec, extent, &created));
    digits_source *self = (digits_source *)created;
    self->split = options->split;
    self->seed = options->seed;
    self->base.concurrent = true;
    self->base.read = read_image;
    return px_source_finish(options->labels ? label_images(ctx, self) : PX_OK, created, source);
}
