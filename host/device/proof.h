/* A proof that a fast path computes what the plain path computes, on the device at hand and on the inputs at hand.
 *
 * Both paths run from the same state: the tensors that they change. The proof keeps copies of the state on the host:
 *
 *     px_proof_begin(&proof, device, &state, PX_PROOF_FAST);   saves the state before
 *     ... the plain path ...
 *     px_proof_save(&proof, device, PX_PROOF_PLAIN);
 *     px_proof_load(&proof, device, PX_PROOF_BEFORE);
 *     ... the fast path ...
 *     px_proof_save(&proof, device, PX_PROOF_FAST);
 *     if (px_proof_difference(&proof, PX_PROOF_PLAIN) > tolerance)
 *         px_proof_load(&proof, device, PX_PROOF_PLAIN);  the plain results count
 *     px_proof_end(&proof);
 */
#ifndef PIXELRNN_DEVICE_PROOF_H
#define PIXELRNN_DEVICE_PROOF_H

#include "host/device/backend.h"

/* The tensors that a path changes. All that a path reads and then changes must be among them. `temporary` are others,
 * which a path writes before it reads them. They are cleared with each return to the state before, so that a path which
 * lacks an operation does not find its result there. */
enum { PX_PROOF_TENSORS = 8, PX_PROOF_TEMPORARIES = 3 };
typedef struct px_proof_state {
    int count;
    px_tensor tensor[PX_PROOF_TENSORS];
    bool output[PX_PROOF_TENSORS]; /* written and never read: begins as NaN, so that a missing write is found */
    int temporaries;
    px_tensor temporary[PX_PROOF_TEMPORARIES];
} px_proof_state;

/* PX_PROOF_AGAIN: the fast path a second time. */
typedef enum { PX_PROOF_BEFORE, PX_PROOF_PLAIN, PX_PROOF_FAST, PX_PROOF_AGAIN, PX_PROOF_COPIES } px_proof_copy;

/* Zero-initialise. */
typedef struct px_proof {
    px_proof_state state;
    char *copy[PX_PROOF_COPIES]; /* NULL: not asked for */
} px_proof;

/* Allocates the copies up to `last`, and saves the state before. PX_ERR_MEMORY if the host has no memory for them;
 * after a failure the px_proof is zero. The functions below allocate nothing. */
px_status px_proof_begin(px_proof *proof, px_device *device, const px_proof_state *state, px_proof_copy last);
px_status px_proof_save(px_proof *proof, px_device *device, px_proof_copy which);
px_status px_proof_load(px_proof *proof, px_device *device, px_proof_copy which);
/* The largest difference of PX_PROOF_FAST from another copy, relative to the largest magnitude of its tensor. */
double px_proof_difference(const px_proof *proof, px_proof_copy other);
/* Whether two copies have the same bytes. */
bool px_proof_is_equal(const px_proof *proof, px_proof_copy one, px_proof_copy other);
/* Frees the copies; the px_proof is zero again. */
void px_proof_end(px_proof *proof);

#endif
