/* Models that the program has trained, with what the oracle needs to recompute their results. */
#ifndef PIXELRNN_TESTS_ORACLE_TRAINED_H
#define PIXELRNN_TESTS_ORACLE_TRAINED_H

#include "tests/oracle/oracle.h"

typedef struct trained {
    const char *name, *settings; /* the run folder, and its settings as in settings.h */
    px_config config;
    char file[256]; /* the model file of the last step; "" before trained_run */
    oracle_model model;
    oracle_images test; /* images of data.test */
} trained;

extern trained trained_base;   /* the settings of cases.h */
extern trained trained_colour; /* Diagonal BiLSTM, colour images */
extern trained trained_binary; /* PixelCNN, binarized images, moving average */
extern trained trained_worse;  /* a learning rate that makes the last step worse than an earlier one */
extern trained trained_ising;  /* Row LSTM on builtin:ising; it has neither model nor test */

/* The set-up of a test group: finds the program and writes the files of settings.h. */
int trained_make(void **state);

/* Runs `pixelrnn train`; what it printed stays in the files out and err. */
void trained_run(trained *t);
/* Runs it unless this process has done so, and returns t. */
trained *trained_once(trained *t);

#endif
