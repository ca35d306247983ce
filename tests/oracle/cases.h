/* One case for each config key, with the way in which its effect is tested. The tests visit the config's own table of
 * keys, so each new key needs a row here.
 *
 * A case applies BASE_SETTINGS, then `with`, then sets the key to `value`. Settings are KEY=VALUE, separated by spaces.
 * A value @NAME is the path of NAME.npy, one of the files that settings_make writes. */
#ifndef PIXELRNN_TESTS_ORACLE_CASES_H
#define PIXELRNN_TESTS_ORACLE_CASES_H

typedef enum key_effect {
    SEEN_IN_RUN,      /* the key changes the oracle's report, and a run of the program reports the same: test_oracle */
    SEEN_IN_BUCKETS,  /* the number of buckets that gradients are reduced in: test_oracle */
    SEEN_IN_COMMANDS, /* what commands print, refuse and write: a function of test_oracle_keys */
} key_effect;

typedef struct key_case {
    const char *key, *value, *with;
    key_effect effect;
} key_case;

/* A few updates of a tiny model that use every part of training. */
#define BASE_SETTINGS                                                                                                  \
    "seed=11 model.kind=row_lstm model.layers=1 model.hidden=3 model.head=4 data.train=@grey data.test=@grey_test "    \
    "data.levels=5 train.steps=5 train.batch_size=3 train.learning_rate=0.03 train.rho=0.8 train.epsilon=0.01 "        \
    "train.clip_norm=0.2 train.ema_decay=0.6 train.warmup_steps=2 train.log_every=2 train.evaluate_every=2 "           \
    "train.sample_every=3 train.checkpoint_every=2 train.samples=2 train.keep_checkpoints=2"

#define ADAM   "train.optimizer=adam train.beta1=0.8 train.beta2=0.95"
#define COSINE "train.schedule=cosine train.final_rate=0.3"
#define STEPS  "train.schedule=step train.decay_every=1 train.decay_factor=0.7"

static const key_case key_cases[] = {
    {"name", "another", "", SEEN_IN_COMMANDS},
    {"seed", "12", "", SEEN_IN_RUN},
    {"device", "cuda", "", SEEN_IN_COMMANDS},
    {"precision", "bfloat16", "", SEEN_IN_COMMANDS},
    {"paths", "plain", "", SEEN_IN_COMMANDS},
    {"model.kind", "pixelcnn", "", SEEN_IN_RUN},
    {"model.layers", "2", "", SEEN_IN_RUN},
    {"model.hidden", "4", "", SEEN_IN_RUN},
    {"model.head", "5", "", SEEN_IN_RUN},
    {"model.residual", "false", "", SEEN_IN_RUN},
    {"model.skip", "true", "seed=13", SEEN_IN_RUN},
    {"model.condition", "image", "", SEEN_IN_COMMANDS},
    {"model.classes", "3", "model.condition=class", SEEN_IN_COMMANDS},
    {"model.scale", "4", "model.condition=image", SEEN_IN_COMMANDS},
    {"data.train", "@other", "", SEEN_IN_RUN},
    {"data.validation", "@other_test", "", SEEN_IN_RUN},
    {"data.test", "@other_test", "", SEEN_IN_RUN},
    {"data.train_labels", "three.idx", "", SEEN_IN_COMMANDS},
    {"data.validation_labels", "three.idx", "", SEEN_IN_COMMANDS},
    {"data.test_labels", "three.idx", "", SEEN_IN_COMMANDS},
    {"data.levels", "3", "", SEEN_IN_RUN},
    {"data.size", "2", "data.train=@blocks data.test=@blocks", SEEN_IN_RUN},
    {"data.channels", "3", "data.levels=2", SEEN_IN_RUN},
    {"data.values", "levels", "data.train=@codes data.test=@codes_test", SEEN_IN_RUN},
    {"data.shuffle", "false", "", SEEN_IN_RUN},
    {"data.flip", "true", "", SEEN_IN_RUN},
    {"data.binarize", "true", "data.levels=2", SEEN_IN_RUN},
    {"train.steps", "7", "", SEEN_IN_RUN},
    {"train.batch_size", "2", "", SEEN_IN_RUN},
    {"train.accumulate", "3", "", SEEN_IN_COMMANDS},
    {"train.optimizer", "sgd", "", SEEN_IN_RUN},
    {"train.learning_rate", "0.02", "", SEEN_IN_RUN},
    {"train.rho", "0.5", "", SEEN_IN_RUN},
    {"train.beta1", "0.5", ADAM, SEEN_IN_RUN},
    {"train.beta2", "0.7", ADAM, SEEN_IN_RUN},
    {"train.epsilon", "0.05", "", SEEN_IN_RUN},
    {"train.clip_norm", "0.05", "train.optimizer=sgd seed=13", SEEN_IN_RUN},
    {"train.ema_decay", "0.3", "", SEEN_IN_RUN},
    {"train.schedule", "cosine", "", SEEN_IN_RUN},
    {"train.warmup_steps", "4", "", SEEN_IN_RUN},
    {"train.decay_every", "2", STEPS, SEEN_IN_RUN},
    {"train.decay_factor", "0.4", STEPS, SEEN_IN_RUN},
    {"train.final_rate", "0.8", COSINE, SEEN_IN_RUN},
    {"train.log_every", "3", "", SEEN_IN_RUN},
    {"train.evaluate_every", "3", "", SEEN_IN_RUN},
    {"train.evaluate_images", "2", "", SEEN_IN_RUN},
    {"train.sample_every", "2", "", SEEN_IN_RUN},
    {"train.checkpoint_every", "3", "train.keep_checkpoints=0", SEEN_IN_RUN},
    {"train.samples", "3", "", SEEN_IN_RUN},
    {"train.keep_checkpoints", "1", "", SEEN_IN_RUN},
    {"eval.batch_size", "3", "", SEEN_IN_COMMANDS},
    {"parallel.bucket_mib", "0.001", "", SEEN_IN_BUCKETS},
    {"parallel.silence_s", "0.5", "", SEEN_IN_COMMANDS},
    {"parallel.stall_s", "0.2", "", SEEN_IN_COMMANDS},
};
enum { KEY_CASES = sizeof key_cases / sizeof *key_cases };

#endif
