/* The table of config keys. To add a key: a field in px_config and a row here; parsing, --set, `pixelrnn keys` and
 * completion read the table. */
#include "host/config/keys.h"
#include "pixelrnn/source.h"
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const devices[] = {
    [PX_DEVICE_AUTO] = "auto", [PX_DEVICE_CPU] = "cpu", [PX_DEVICE_CUDA] = "cuda", NULL};
static const char *const precisions[] = {
    [PX_PRECISION_FLOAT32] = "float32", [PX_PRECISION_TF32] = "tf32", [PX_PRECISION_BFLOAT16] = "bfloat16", NULL};
static const char *const paths[] = {[PX_PATHS_AUTO] = "auto", [PX_PATHS_PLAIN] = "plain", NULL};
static const char *const kinds[] = {[PX_MODEL_PIXELCNN] = "pixelcnn",
                                    [PX_MODEL_ROW_LSTM] = "row_lstm",
                                    [PX_MODEL_DIAGONAL_BILSTM] = "diagonal_bilstm",
                                    NULL};
static const char *const conditions[] = {
    [PX_CONDITION_NONE] = "none", [PX_CONDITION_CLASS] = "class", [PX_CONDITION_IMAGE] = "image", NULL};
static const char *const optimizers[] = {
    [PX_OPTIMIZER_SGD] = "sgd", [PX_OPTIMIZER_RMSPROP] = "rmsprop", [PX_OPTIMIZER_ADAM] = "adam", NULL};
static const char *const schedules[] = {
    [PX_SCHEDULE_CONSTANT] = "constant", [PX_SCHEDULE_STEP] = "step", [PX_SCHEDULE_COSINE] = "cosine", NULL};

static const char *const values[] = {
    [PX_VALUES_AUTO] = "auto", [PX_VALUES_INTENSITY] = "intensity", [PX_VALUES_LEVELS] = "levels", NULL};

/* The largest number of steps of a run: the names of checkpoint folders have nine digits. */
enum { MAX_STEPS = 999999999 };

/* clang-format off */

/* A row of the table. Name, type and offset are derived from the field of px_config. */
#define KEY(field, initial_, ...)                                                                                      \
    {.name = #field,                                                                                                   \
     .type = _Generic(((px_config *)NULL)->field, char *: PX_KEY_STRING, int64_t: PX_KEY_INTEGER,                      \
                      double: PX_KEY_REAL, bool: PX_KEY_BOOLEAN, int: PX_KEY_WORD),                                    \
     .offset = offsetof(px_config, field),                                                                             \
     .initial = initial_,                                                                                              \
     __VA_ARGS__}

const px_key px_keys[] = {
KEY(name, "run", .min = 1, .max = 255, .help = "what the run is called"),
KEY(seed, "1", .fixed = true, .min = 0, .max = INFINITY, .help = "of every random number: weights, order of images, samples"),
KEY(device, "auto", .words = devices, .help = "auto takes CUDA where it can be had"),
KEY(precision, "float32", .words = precisions, .help = "of activations and matrix products; tf32: float32 with TF32 products on CUDA"),
KEY(paths, "auto", .words = paths,
    .help = "auto: fast paths that agree with the plain ones on this device; plain: the reference, slower"),

KEY(model.kind, "diagonal_bilstm", .fixed = true, .words = kinds, .help = "of the blocks between stem and head"),
KEY(model.layers, "7", .fixed = true, .min = 1, .max = 1000, .unit = "blocks", .help = "depth"),
KEY(model.hidden, "16", .fixed = true, .min = 1, .max = 16384, .unit = "features",
    .help = "h; activations between blocks carry 2h features"),
KEY(model.head, "32", .fixed = true, .min = 1, .max = 65536, .unit = "features", .help = "q, width of the output layers"),
KEY(model.residual, "true", .fixed = true, .help = "add each block's input to its output"),
KEY(model.skip, "false", .fixed = true, .help = "feed every block's output to the head, too"),

KEY(model.condition, "none", .fixed = true, .words = conditions,
    .help = "class: p(image | label); image: p(image | the image at 1 / scale of its size)"),
KEY(model.classes, "10", .fixed = true, .min = 1, .max = 65536, .unit = "classes", .help = "condition class: labels are 0 to classes - 1"),
KEY(model.scale, "2", .fixed = true, .min = 2, .max = 64,
    .help = "condition image: a power of two that divides height and width"),

KEY(data.train, "", .min = 0, .max = PX_CONFIG_STRING - 1, .list = true,
    .help = "images to train on: a file, a folder, builtin:NAME, or a list of them"),
KEY(data.validation, "", .min = 0, .max = PX_CONFIG_STRING - 1, .list = true,
    .help = "images that are evaluated during training and choose the best checkpoint, likewise; empty: data.test does"),
KEY(data.test, "", .min = 0, .max = PX_CONFIG_STRING - 1, .list = true,
    .help = "images on which the best checkpoint is evaluated at the end, likewise"),
KEY(data.train_labels, "", .min = 0, .max = PX_CONFIG_STRING - 1, .list = true,
    .help = "condition class: labels of data.train, .npy of integers or MNIST's idx, or a list; empty: those beside the images"),
KEY(data.validation_labels, "", .min = 0, .max = PX_CONFIG_STRING - 1, .list = true,
    .help = "labels of data.validation, likewise"),
KEY(data.test_labels, "", .min = 0, .max = PX_CONFIG_STRING - 1, .list = true, .help = "labels of data.test, likewise"),
KEY(data.levels, "256", .fixed = true, .min = 2, .max = 256, .help = "L, values that a pixel's colour can take"),
KEY(data.values, "auto", .words = values,
    .help = "intensity: bytes 0 to 255 become levels; levels: bytes are levels; auto: intensity, but refused if all are level 0"),
KEY(data.size, "0", .min = 0, .max = 4096, .unit = "pixels",
    .help = "side: images are cropped and averaged down to it; 0: as stored (builtin digits 28, ising 8)"),
KEY(data.channels, "0", .min = 0, .max = 3, .help = "1: grey, 3: colour, 0: as stored (folders and tars: 3)"),
KEY(data.shuffle, "true", .help = "a new order each epoch; false: the file's order, wrapping around"),
KEY(data.flip, "false", .help = "mirror training images left to right, half of the time"),
KEY(data.binarize, "false", .help = "level 1 with probability value / 255, anew each epoch; levels must be 2"),

KEY(train.steps, "20000", .min = 0, .max = MAX_STEPS, .unit = "steps", .help = "length of the run"),
KEY(train.batch_size, "16", .fixed = true, .min = 1, .max = 1000000, .unit = "images", .help = "of a step, over all ranks"),
KEY(train.accumulate, "1", .min = 1, .max = 1000000,
    .help = "micro-batches a step, whose gradients are summed before the update; divides batch_size; saves memory"),
KEY(train.optimizer, "rmsprop", .fixed = true, .words = optimizers, .help = "what turns gradients into updates"),
KEY(train.learning_rate, "0.001", .min = 0, .above = true, .max = INFINITY, .help = "before the schedule"),
KEY(train.rho, "0.95", .min = 0, .max = 1, .below = true, .help = "rmsprop: decay of the mean square"),
KEY(train.beta1, "0.9", .min = 0, .max = 1, .below = true, .help = "adam: decay of the mean"),
KEY(train.beta2, "0.999", .min = 0, .max = 1, .below = true, .help = "adam: decay of the mean square"),
KEY(train.epsilon, "1e-8", .min = 0, .above = true, .max = INFINITY, .help = "rmsprop, adam: added to the root"),
KEY(train.clip_norm, "1", .min = 0, .max = INFINITY, .help = "longest gradient, all parameters together; 0: off"),
KEY(train.ema_decay, "0", .min = 0, .max = 1, .below = true, .help = "of the averaged weights; 0: off"),
KEY(train.schedule, "constant", .words = schedules, .help = "course of the learning rate after the warm-up"),
KEY(train.warmup_steps, "0", .min = 0, .max = MAX_STEPS, .unit = "steps", .help = "the rate rises from 0 for as long"),
KEY(train.decay_every, "10000", .min = 1, .max = MAX_STEPS, .unit = "steps", .help = "schedule step: between two drops"),
KEY(train.decay_factor, "0.5", .min = 0, .above = true, .max = 1, .help = "schedule step: rate after a drop / before"),
KEY(train.final_rate, "0", .min = 0, .max = 1, .help = "schedule cosine: rate at the last step / learning_rate"),
KEY(train.log_every, "10", .min = 0, .max = MAX_STEPS, .unit = "steps", .help = "between two lines; 0: only at the end"),
KEY(train.evaluate_every, "1000", .min = 0, .max = MAX_STEPS, .unit = "steps", .help = "0: only at the end"),
KEY(train.evaluate_images, "0", .min = 0, .max = 1e9, .unit = "images", .help = "of an evaluation during training, chosen by the seed; 0: all"),
KEY(train.sample_every, "1000", .min = 0, .max = MAX_STEPS, .unit = "steps", .help = "0: only at the end"),
KEY(train.checkpoint_every, "1000", .min = 0, .max = MAX_STEPS, .unit = "steps", .help = "0: only at the end"),
KEY(train.samples, "16", .min = 0, .max = 65536, .unit = "images",
    .help = "drawn at each sample_every; condition class: rounded up to a multiple of classes, a class a row; condition image: each "
            "beside the smaller image, of images that the seed chooses"),
KEY(train.keep_checkpoints, "3", .min = 0, .max = 1000000, .help = "newest ones kept besides the best; 0: all"),

KEY(eval.batch_size, "0", .min = 0, .max = 1000000, .unit = "images", .help = "of a pass; 0: train.batch_size"),

KEY(parallel.bucket_mib, "0.25", .min = 0, .above = true, .max = 1024, .unit = "MiB",
    .help = "gradients that leave together for the other ranks"),
KEY(parallel.silence_s, "15", .min = 0.1, .max = 86400, .unit = "seconds",
    .help = "a rank that stops answering for as long ends the job"),
KEY(parallel.stall_s, "1800", .min = 0.1, .max = 31536000, .unit = "seconds",
    .help = "a rank that answers but keeps the others waiting for as long ends the job"),
{.name = NULL}};
/* clang-format on */

static_assert(sizeof px_keys / sizeof px_keys[0] <= PX_MAX_KEYS, "PX_MAX_KEYS is too small");

const px_key *px_key_find(const char *name) {
    for (const px_key *key = px_keys; key->name; key++)
        if (strcmp(key->name, name) == 0) return key;
    return NULL;
}

const px_key *px_key_section(const char *name) {
    size_t length = strlen(name);
    for (const px_key *key = px_keys; key->name; key++)
        if (strncmp(key->name, name, length) == 0 && key->name[length] == '.') return key;
    return NULL;
}

const char *px_key_leaf(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

enum { MAX_NAME = 63 }; /* characters of a name that are compared */

/* The Levenshtein distance between the first `length` characters of a and the first MAX_NAME characters of b. */
static int distance(const char *a, size_t length, const char *b) {
    int row[MAX_NAME + 1];
    int columns = (int)strnlen(b, MAX_NAME);
    for (int j = 0; j <= columns; j++) row[j] = j;
    for (size_t i = 0; i < length; i++) {
        int corner = row[0]; /* the row above, one column to the left */
        row[0] = (int)i + 1;
        for (int j = 1; j <= columns; j++) {
            int best = corner + (a[i] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[columns];
}

static int min_of(int a, int b) { return a < b ? a : b; }

/* The key whose name is nearest to `name`: misspelt, or in the wrong section; of a misspelt section the first key. NULL
 * if more than half of the name would have to change. */
static const px_key *nearest_key(const char *name) {
    const px_key *nearest = NULL;
    int smallest = (int)strnlen(name, MAX_NAME) / 2 + 1;
    for (const px_key *key = px_keys; key->name; key++) {
        const char *leaf = px_key_leaf(key->name);
        int far = distance(key->name, strlen(key->name), name);
        far = min_of(far, distance(leaf, strlen(leaf), px_key_leaf(name)) + 1); /* the right key in the wrong section */
        if (leaf > key->name) far = min_of(far, distance(key->name, (size_t)(leaf - key->name - 1), name));
        if (far >= smallest) continue;
        smallest = far;
        nearest = key;
    }
    return nearest;
}

/* Names that other programs use, in any section, and the keys that they stand for here. */
static const struct {
    const char *names; /* separated by blanks */
    const char *key, *note;
} synonyms[] = {
    {"lr learningrate base_lr", "train.learning_rate", ""},
    {"batch bs batchsize minibatch", "train.batch_size", ""},
    {"epochs epoch max_epochs num_epochs n_epochs", "train.steps", " = epochs x images / train.batch_size"},
    {"iterations iters max_steps num_steps total_steps", "train.steps", ""},
    {"opt optim", "train.optimizer", ""},
    {"momentum alpha", "train.rho", ""},
    {"eps", "train.epsilon", ""},
    {"clip grad_clip max_norm clip_grad_norm gradient_clip", "train.clip_norm", ""},
    {"ema", "train.ema_decay", ""},
    {"warmup", "train.warmup_steps", ""},
    {"scheduler lr_schedule lr_scheduler", "train.schedule", ""},
    {"save_every ckpt_every save_steps", "train.checkpoint_every", ""},
    {"eval_every val_every eval_steps", "train.evaluate_every", ""},
    {"log_interval print_every", "train.log_every", ""},
    {"dtype amp fp16 bf16 fp32", "precision", ""},
    {"gpu cuda", "device", ""},
    {"random_seed manual_seed", "seed", ""},
    {"arch architecture", "model.kind", ""},
    {"depth n_layers num_layers num_blocks", "model.layers", ""},
    {"h dim width hidden_size hidden_dim n_hidden num_hidden", "model.hidden", ""},
    {"q", "model.head", ""},
    {"dataset train_data", "data.train", ""},
    {"val valid val_data", "data.validation", ""},
    {"grad_accum accumulate_grad_batches gradient_accumulation_steps micro_batches", "train.accumulate", ""},
    {"img_size image_size resolution", "data.size", ""},
    {"hflip horizontal_flip", "data.flip", ""},
    {"n_levels num_levels bits", "data.levels", ""},
};
enum { SYNONYMS = sizeof synonyms / sizeof *synonyms };

/* Whether `names`, separated by blanks, contains `name`, in any case. */
static bool names_contain(const char *names, const char *name) {
    const size_t length = strlen(name);
    for (; *names; names += strspn(names, " ")) {
        const size_t bytes = strcspn(names, " ");
        if (bytes == length && strncasecmp(names, name, length) == 0) return true;
        names += bytes;
    }
    return false;
}

void px_key_suggest(const char *name, char phrase[PX_KEY_PHRASE]) {
    for (int i = 0; i < SYNONYMS; i++)
        if (names_contain(synonyms[i].names, px_key_leaf(name))) {
            snprintf(phrase, PX_KEY_PHRASE, "nearest: %s%s", synonyms[i].key, synonyms[i].note);
            return;
        }
    const px_key *nearest = nearest_key(name);
    if (nearest)
        snprintf(phrase, PX_KEY_PHRASE, "nearest: %s", nearest->name);
    else
        snprintf(phrase, PX_KEY_PHRASE, "pixelrnn keys lists them");
}

const char *px_config_word(const char *name, int value) {
    const px_key *key = px_key_find(name);
    for (int i = 0; key && key->words && key->words[i]; i++)
        if (i == value) return key->words[i];
    return NULL;
}

void px_config_default(px_config *config) {
    memset(config, 0, sizeof *config);
    for (const px_key *key = px_keys; key->name; key++) {
        px_context ctx;
        px_status status = px_key_read(&ctx, "default", key, key->initial, config);
        assert(status == PX_OK); /* a default of the table is not valid */
        (void)status;
    }
}
