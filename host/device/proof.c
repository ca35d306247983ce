#include "host/device/proof.h"
#include "host/device/compare.h"
#include <stdlib.h>
#include <string.h>

static size_t state_bytes(const px_proof_state *state) {
    size_t bytes = 0;
    for (int i = 0; i < state->count; i++) bytes += px_tensor_bytes(&state->tensor[i]);
    return bytes;
}

px_status px_proof_save(px_proof *proof, px_device *device, px_proof_copy which) {
    char *to = proof->copy[which];
    for (int i = 0; i < proof->state.count; i++) {
        const size_t bytes = px_tensor_bytes(&proof->state.tensor[i]);
        if (which == PX_PROOF_BEFORE && proof->state.output[i])
            memset(to, 0xff, bytes); /* NaN */
        else
            PX_TRY(device->ops->download(device, to, proof->state.tensor[i].data, bytes));
        to += bytes;
    }
    return PX_OK;
}

px_status px_proof_load(px_proof *proof, px_device *device, px_proof_copy which) {
    const px_proof_state *state = &proof->state;
    const char *from = proof->copy[which];
    for (int i = 0; i < state->temporaries && which == PX_PROOF_BEFORE; i++)
        PX_TRY(device->ops->clear(device, state->temporary[i].data, px_tensor_bytes(&state->temporary[i])));
    for (int i = 0; i < state->count; i++) {
        const size_t bytes = px_tensor_bytes(&state->tensor[i]);
        PX_TRY(device->ops->upload(device, state->tensor[i].data, from, bytes));
        from += bytes;
    }
    return device->ops->synchronize(device); /* the copies may be freed then */
}

px_status px_proof_begin(px_proof *proof, px_device *device, const px_proof_state *state, px_proof_copy last) {
    const size_t bytes = state_bytes(state);
    px_status status = PX_OK;
    *proof = (px_proof){.state = *state};
    for (int i = 0; i <= (int)last && status == PX_OK; i++) {
        proof->copy[i] = malloc(bytes > 0 ? bytes : 1);
        if (!proof->copy[i]) status = px_fail_memory(device->ctx, "proof of a fast path", bytes);
    }
    if (status == PX_OK) status = px_proof_save(proof, device, PX_PROOF_BEFORE);
    if (status != PX_OK) px_proof_end(proof);
    return status;
}

double px_proof_difference(const px_proof *proof, px_proof_copy other) {
    const char *fast = proof->copy[PX_PROOF_FAST], *plain = proof->copy[other];
    double worst = 0;
    for (int i = 0; i < proof->state.count; i++) {
        const px_tensor *tensor = &proof->state.tensor[i];
        const px_element_reader reader = px_element_reader_of(tensor->type);
        const double relative = px_compare(px_tensor_elements(tensor), reader, fast, reader, plain).relative;
        if (!(relative <= worst)) worst = relative;
        fast += px_tensor_bytes(tensor), plain += px_tensor_bytes(tensor);
    }
    return worst;
}

bool px_proof_is_equal(const px_proof *proof, px_proof_copy one, px_proof_copy other) {
    return memcmp(proof->copy[one], proof->copy[other], state_bytes(&proof->state)) == 0;
}

void px_proof_end(px_proof *proof) {
    for (int i = 0; i < PX_PROOF_COPIES; i++) free(proof->copy[i]);
    *proof = (px_proof){0};
}
