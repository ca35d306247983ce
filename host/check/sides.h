/* The harness of checks that compare two devices ("sides"): the same tensors on both, the same operation, and their
 * results. Side 0 is the reference, the CPU on its plain paths; side 1 is the device that is checked.
 *
 * Outputs begin as NaN, so that elements that an operation does not write are found. The first failure of a check is
 * kept in px_sides.failure. All that follows it does nothing, so that checks need not look at statuses. */
#ifndef PIXELRNN_CHECK_SIDES_H
#define PIXELRNN_CHECK_SIDES_H

#include "host/check/check.h"
#include "host/device/backend.h"
#include "host/device/compare.h"
#include "pixelrnn/model.h"

enum { PX_SIDES = 2, PX_SIDES_POOL = 1 << 30 }; /* bytes of device memory a side, for the tensors of a case */

/* The same tensor on both sides. If the precisions differ, an activation has the same values in two types. */
typedef struct px_pair {
    px_tensor on[PX_SIDES];
} px_pair;
static const px_pair px_pair_absent = {{{NULL, 0, 0, PX_REAL}, {NULL, 0, 0, PX_REAL}}};

typedef enum { PX_POISONED, PX_RANDOM, PX_POSITIVE, PX_ZERO } px_content;

typedef struct px_sides {
    px_context ctx;
    px_device *device[PX_SIDES];
    const px_check_mode *mode;
    bool brief;           /* fewer and smaller cases */
    char *pool[PX_SIDES]; /* device memory */
    size_t used;
    char *host[PX_SIDES]; /* host copies of a tensor */
    uint64_t seed;
    int skewed;   /* half of the cases run on tensors some of which only their elements align: a bit for every fourth
                     tensor */
    int made;     /* tensors of this case */
    double scale; /* of the random numbers of the next tensors, 1; a power of 2 */
    int cases;
    double worst;      /* the largest difference found */
    double tolerance;  /* of the last comparison */
    char note[160];    /* the case, for messages */
    char failure[512]; /* "" if none */
} px_sides;

/* Opens both sides; px_sides_close also after a failure. */
px_status px_sides_open(px_sides *sides, const px_check_mode *mode, px_device_kind kind, bool brief);
void px_sides_close(px_sides *sides);

/* Keeps the first failure: "OPERATION [CASE]: ...". */
void px_sides_fail(px_sides *sides, const char *operation, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Whether a call succeeded; if not, keeps its message as the failure. */
bool px_sides_ok(px_sides *sides, const char *operation, px_status status);

/* Begins a case and invalidates all tensors of the previous one. */
void px_sides_case(px_sides *sides, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Tensors on both sides, in order: of these types, of the mode's activations, PX_REAL, PX_FLOAT64, and image levels
 * below `count`. Activations have values that bfloat16 represents exactly, on both sides. */
px_pair px_sides_make(px_sides *sides, size_t rows, int columns, px_type first, px_type second, px_content what);
px_pair px_sides_activations(px_sides *sides, size_t rows, int columns, px_content what);
px_pair px_sides_reals(px_sides *sides, size_t rows, int columns, px_content what);
px_pair px_sides_doubles(px_sides *sides, size_t rows, int columns, px_content what);
px_pair px_sides_levels(px_sides *sides, size_t rows, int columns, int count);
/* A random weight whose taps that are not live are 0, as masked weights are. */
px_pair px_sides_weight(px_sides *sides, int out, int in, const px_taps *taps);

/* Fails if the sides differ by more than the tolerance, relative to the largest value. `name` and `what` say what was
 * computed and which of its results this is. */
void px_sides_within(px_sides *sides, const px_pair *pair, double tolerance, const char *name, const char *what);
/* Fails if the sides differ by more than the operation's tolerance in this mode. Each side is the reference once, so
 * that NaN on either is found. */
void px_sides_expect(px_sides *sides, const px_pair *pair, int operation, const char *what);

/* Runs an operation on both sides; the arguments refer to tensors as NAME.on[side]. */
#define PX_BOTH(sides, op, ...)                                                                                        \
    do {                                                                                                               \
        for (int side = 0; side < PX_SIDES && !(sides)->failure[0]; side++)                                            \
            px_sides_ok(sides, #op, px_run((sides)->device[side], op, __VA_ARGS__));                                   \
        (sides)->cases++;                                                                                              \
    } while (0)
#define PX_EXPECT(sides, op, pair) px_sides_expect(sides, &(pair), PX_OP_##op, #pair)

/* ---- Recurrences: recurrences.c ---- */

/* The tensors of a recurrence, and its descriptor on each side. */
typedef struct px_recurrence_pair {
    px_recurrence_args on[PX_SIDES];
    px_pair weight, gates[PX_MAX_DIRECTIONS], c[PX_MAX_DIRECTIONS], h[PX_MAX_DIRECTIONS], dh[PX_MAX_DIRECTIONS];
} px_recurrence_pair;

/* Makes a recurrence. The weights are such that sums of products have magnitudes of about 1, so that errors of one step
 * do not grow in the next. `reversed` stores the second direction's weights before the first's. */
px_recurrence_pair px_recurrence_pair_make(px_sides *sides, px_recurrence_args args, bool reversed,
                                           px_content of_outputs);
/* Runs the recurrence on both sides. */
void px_recurrence_pair_run(px_sides *sides, const px_recurrence_pair *pair, bool backward);

/* The fused and the cluster recurrence of CUDA, in a mode of bfloat16 compared with float32: paths.c. Odd shapes,
 * forward and backward, each `repeats` times with the same bits. px_device.paths is changed. */
void px_check_fused_path(px_sides *sides, int repeats);
void px_check_cluster_path(px_sides *sides, int repeats);
/* Seconds of a step of training's largest recurrence on side 1 (px_cluster_trial.timed), forward and backward, by this
 * px_path. 0 after a failure. */
double px_check_path_seconds(px_sides *sides, unsigned path);

/* The models that are checked: models.c. */
typedef struct px_model_case {
    const char *name;
    px_model_kind kind;
    int width; /* of the images: one that is even, for an image condition */
    px_condition condition;
} px_model_case;
enum { PX_MODEL_CASES = 5 };
extern const px_model_case px_model_cases[PX_MODEL_CASES];

/* Losses, gradients, weights after a few steps, and the likelihood of samples of one model. */
void px_check_model(px_sides *sides, const px_model_case *c);

/* ---- One check an operation ---- */

#define PX_DECLARE_CHECK(name) void px_check_##name(px_sides *sides);
PX_DEVICE_OPS(PX_DECLARE_CHECK)

#endif
