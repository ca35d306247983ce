/* The loader: a thread prepares the next batch while the caller uses the last two. */
#include "pixelrnn/loader.h"
#include "host/device/backend.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A batch, and the status of preparing it. */
typedef struct slot {
    int64_t step; /* NO_STEP: the slot has no valid batch */
    px_batch batch;
    uint8_t *levels; /* memory for batch_size images and then their conditions, allocated by the device */
    px_status status;
    px_context ctx; /* the thread's message */
} slot;

enum { NO_STEP = -1, SLOTS = 3 };

struct px_loader {
    px_context *ctx;
    px_device *device;
    px_source *source;
    px_loader_options options;
    size_t image_bytes, condition_bytes;

    slot slots[SLOTS]; /* used in turn */
    int next;          /* the slot of the next batch; the others hold the last two */

    /* Protected by lock. wanted is the slot that the thread is filling, and that nobody else may access; NULL: none. */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    slot *wanted;
    bool stop;
};

/* ---- Filling a slot, in the loader's thread ---- */

/* The epoch and the image of the source at a position of the endless order. */
typedef struct location {
    size_t epoch, index;
} location;

static location locate(const px_loader *loader, size_t position) {
    size_t count = loader->source->count;
    location p = {position / count, position % count};
    if (loader->options.order == PX_LOADER_SHUFFLED)
        p.index = px_permute(loader->options.seed, p.epoch, count, p.index);
    if (loader->options.subset) p.index = loader->options.subset[position];
    return p;
}

static int parts_of(const px_loader *loader) { return loader->options.parts > 0 ? loader->options.parts : 1; }

/* The number of images of a full micro-batch that this loader reads. */
static int part_images(const px_loader *loader) {
    const px_loader_options *o = &loader->options;
    return o->share > 0 ? o->share : o->batch_size / parts_of(loader);
}

/* The number of images of a full batch that this loader reads. */
static size_t max_images(const px_loader *loader) { return (size_t)(part_images(loader) * parts_of(loader)); }

/* The position in the endless order of image n of the images that this loader reads of batch `step`. */
static size_t position_of(const px_loader *loader, int64_t step, int n) {
    const px_loader_options *o = &loader->options;
    const int part = n / part_images(loader), within = part * (o->batch_size / parts_of(loader)) + o->first;
    return (size_t)step * (size_t)o->batch_size + (size_t)(within + n % part_images(loader));
}

static int images_from(const px_loader *loader, size_t first) {
    size_t count = loader->options.subset ? loader->options.subset_count : loader->source->count;
    size_t images = max_images(loader);
    if (loader->options.order == PX_LOADER_PASS) {
        size_t left = first < count ? count - first : 0;
        if (left < images) images = left;
    }
    return (int)images;
}

void px_loader_prepare(const px_source *source, const px_loader_options *o, uint64_t epoch, size_t index,
                       uint8_t *pixels, uint8_t *condition) {
    const size_t bytes = (size_t)source->height * (size_t)source->width * (size_t)source->channels;
    if (o->flip) px_augment_flip(pixels, source->height, source->width, source->channels, o->seed, epoch, index);
    if (o->binarize) {
        px_augment_binarize(pixels, bytes, o->seed, epoch, index);
        for (size_t i = 0; i < bytes; i++) pixels[i] = pixels[i] ? 255 : 0;
    }
    px_source_condition(source, index, pixels, &o->condition, o->levels, condition);
    for (size_t i = 0; i < bytes; i++) pixels[i] = px_quantise(pixels[i], o->levels);
}

static px_status fill(const px_loader *loader, slot *s) {
    const size_t first = position_of(loader, s->step, 0);
    int images = images_from(loader, first);
    uint8_t *conditions = s->levels + max_images(loader) * loader->image_bytes;
    for (int n = 0; n < images; n++) {
        uint8_t *pixels = s->levels + (size_t)n * loader->image_bytes;
        location p = locate(loader, position_of(loader, s->step, n));
        PX_TRY(loader->source->read(loader->source, &s->ctx, p.index, pixels));
        px_loader_prepare(loader->source, &loader->options, p.epoch, p.index, pixels,
                          conditions + (size_t)n * loader->condition_bytes);
    }
    s->batch = (px_batch){.images = images,
                          .levels = s->levels,
                          .conditions = loader->condition_bytes > 0 ? conditions : NULL,
                          .first = first};
    return PX_OK;
}

static void *run_thread(void *argument) {
    px_loader *loader = argument;
    pthread_mutex_lock(&loader->lock);
    while (!loader->stop) {
        slot *s = loader->wanted;
        if (!s) {
            pthread_cond_wait(&loader->changed, &loader->lock);
            continue;
        }
        pthread_mutex_unlock(&loader->lock);
        s->status = fill(loader, s);
        pthread_mutex_lock(&loader->lock);
        loader->wanted = NULL;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* ---- Requesting a batch, in the caller's thread ---- */

static void start_filling(px_loader *loader, slot *s, int64_t step) {
    s->step = step;
    pthread_mutex_lock(&loader->lock);
    loader->wanted = s;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
}

static void wait_for_thread(px_loader *loader) {
    pthread_mutex_lock(&loader->lock);
    while (loader->wanted) pthread_cond_wait(&loader->changed, &loader->lock);
    pthread_mutex_unlock(&loader->lock);
}

px_status px_loader_next(px_loader *loader, int64_t step, px_batch *batch) {
    wait_for_thread(loader);
    slot *s = &loader->slots[loader->next];
    if (s->step != step) {
        start_filling(loader, s, step);
        wait_for_thread(loader);
    }
    if (s->status != PX_OK) {
        s->step = NO_STEP; /* the next call tries again */
        return px_fail(loader->ctx, s->status, "%s", s->ctx.message);
    }
    loader->next = (loader->next + 1) % SLOTS;
    if (s->batch.images > 0) start_filling(loader, &loader->slots[loader->next], step + 1);
    *batch = s->batch;
    return PX_OK;
}

/* ---- Opening and closing ---- */

static px_status allocate_slots(px_loader *loader) {
    const size_t each = loader->image_bytes + loader->condition_bytes;
    size_t bytes;
    bool overflow = __builtin_mul_overflow(each, max_images(loader), &bytes);
    for (int i = 0; i < SLOTS; i++) {
        void *memory = NULL;
        px_status status = overflow ? PX_ERR_MEMORY
                                    : loader->device->ops->allocate_host(loader->device, bytes, &memory);
        if (status == PX_ERR_MEMORY)
            return px_fail(
                loader->ctx, status,
                "out of memory: cannot hold three batches of %d images of %zu bytes of %s; lower the batch size",
                loader->options.batch_size, each, loader->source->name);
        PX_TRY(status);
        loader->slots[i] = (slot){.step = NO_STEP, .levels = memory};
    }
    return PX_OK;
}

static void destroy(px_loader *loader) {
    for (int i = 0; i < SLOTS; i++)
        if (loader->slots[i].levels) loader->device->ops->free_host(loader->device, loader->slots[i].levels);
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    free(loader);
}

px_status px_loader_open(px_context *ctx, px_device *device, px_source *source, const px_loader_options *options,
                         px_loader **loader) {
    *loader = NULL;
    px_loader *created = calloc(1, sizeof *created);
    if (!created) return px_fail_memory(ctx, source->name, sizeof *created);
    *created = (px_loader){
        .ctx = ctx,
        .device = device,
        .source = source,
        .options = *options,
        .image_bytes = (size_t)source->height * (size_t)source->width * (size_t)source->channels,
        .condition_bytes = px_condition_bytes(&options->condition, source->height, source->width, source->channels),
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
    };
    px_status status = allocate_slots(created);
    if (status == PX_OK) {
        int error = pthread_create(&created->thread, NULL, run_thread, created);
        if (error)
            status = px_fail(ctx, PX_ERR_MEMORY, "%s: no thread for its loader: %s", source->name, strerror(error));
    }
    if (status != PX_OK) {
        destroy(created);
        return status;
    }
    *loader = created;
    return PX_OK;
}

void px_loader_close(px_loader *loader) {
    if (!loader) return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    pthread_join(loader->thread, NULL);
    destroy(loader);
}
