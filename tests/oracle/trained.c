/* Models that the program has trained. */
#include "tests/oracle/trained.h"
#include "tests/oracle/cases.h"
#include "tests/oracle/program.h"
#include "tests/oracle/settings.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

trained trained_base = {.name = "base", .settings = BASE_SETTINGS};
trained trained_colour = {.name = "colour",
                          .settings = "seed=41 model.kind=diagonal_bilstm model.layers=1 model.hidden=3 model.head=4 "
                                      "data.levels=4 data.train=@colour data.test=@colour_test train.steps=3 "
                                      "train.batch_size=4 train.learning_rate=0.05 train.epsilon=0.01 train.samples=2"};
trained trained_binary = {.name = "binary",
                          .settings = "seed=42 model.kind=pixelcnn model.layers=1 model.hidden=4 model.head=4 "
                                      "data.levels=2 data.binarize=true data.train=@grey data.test=@grey_test "
                                      "train.steps=3 train.batch_size=4 train.learning_rate=0.05 train.epsilon=0.01 "
                                      "train.samples=0 train.ema_decay=0.5"};
trained trained_worse = {.name = "worse",
                         .settings = BASE_SETTINGS " train.optimizer=sgd train.learning_rate=300 train.clip_norm=0 "
                                                   "train.ema_decay=0 train.keep_checkpoints=1 train.steps=6"};
trained trained_ising = {.name = "ising",
                         .settings = "seed=43 model.kind=row_lstm model.layers=1 model.hidden=2 model.head=2 "
                                     "data.levels=2 data.size=2 data.train=builtin:ising data.test=builtin:ising "
                                     "train.steps=1 train.batch_size=50 train.learning_rate=0.05 train.samples=0"};

int trained_make(void **state) { return program_find() == 0 ? settings_make(state) : -1; }

static void write_config(const px_config *config, const char *name) {
    char *text = px_config_text(config);
    FILE *file = fopen(settings_path(name), "w");
    assert_non_null(text);
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    free(text);
}

void trained_run(trained *t) {
    char name[64];
    t->config = settings_config(t->settings, "");
    snprintf(name, sizeof name, "%s.yaml", t->name);
    write_config(&t->config, name);
    pixelrnn(0, "train %s -o %s", name, t->name);
    snprintf(t->file, sizeof t->file, "%s/%s/checkpoints/%09d/model.safetensors", settings_folder, t->name,
             (int)t->config.train.steps);
    if (strncmp(t->config.data.train, "builtin:", 8) == 0) return;
    t->test = oracle_read_images(t->config.data.test);
    t->model = oracle_model_create(&t->config, &t->test);
    oracle_model_load(&t->model, t->file);
}

trained *trained_once(trained *t) {
    if (!t->file[0]) trained_run(t);
    return t;
}
