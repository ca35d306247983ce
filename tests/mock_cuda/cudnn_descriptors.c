/* cuDNN's descriptors: attributes by name, each with a type and values, that nobody changes once they are final. */
#include "tests/mock_cuda/cudnn_mock.h"
#include <stdlib.h>
#include <string.h>

static size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_INT64: return sizeof(int64_t);
    case CUDNN_TYPE_FLOAT: return sizeof(float);
    case CUDNN_TYPE_BOOLEAN: return sizeof(bool);
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return sizeof(void *);
    default: return sizeof(cudnnDataType_t); /* all others that are used are enums */
    }
}

static const mock_value *find(const mock_descriptor *d, cudnnBackendAttributeName_t name) {
    const mock_value *v = d ? d->values : NULL;
    while (v && v->name != name) v = v->next;
    return v;
}

const void *mock_values(const mock_descriptor *d, cudnnBackendAttributeName_t name, int64_t count) {
    const mock_value *v = find(d, name);
    return v && v->count >= count ? v->data : NULL;
}

const mock_descriptor *mock_part(const mock_descriptor *d, cudnnBackendAttributeName_t name) {
    const void *values = mock_values(d, name, 1);
    return values ? *(mock_descriptor *const *)values : NULL;
}

int64_t mock_number(const mock_descriptor *d, cudnnBackendAttributeName_t name) {
    const mock_value *v = find(d, name);
    if (!v || v->count < 1) return 0;
    return v->type == CUDNN_TYPE_INT64     ? *(const int64_t *)v->data
           : v->type == CUDNN_TYPE_BOOLEAN ? *(const bool *)v->data
                                           : *(const int *)v->data;
}

int64_t mock_count_of(const mock_descriptor *d, cudnnBackendAttributeName_t name) {
    const mock_value *v = find(d, name);
    return v ? v->count : 0;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made) {
    mock_descriptor *d = mock_memory(sizeof *d);
    *d = (mock_descriptor){.type = type, .users = 1};
    *made = d;
    return CUDNN_STATUS_SUCCESS;
}

static void release_value(mock_value *v) {
    mock_descriptor *const *parts = v->data;
    for (int64_t i = 0; v->type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < v->count; i++)
        cudnnBackendDestroyDescriptor(parts[i]);
    mock_free(v->data);
    mock_free(v);
}

/* A descriptor that others hold lives on as a part of theirs. */
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    mock_descriptor *d = descriptor;
    if (!d) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (--d->users > 0) return CUDNN_STATUS_SUCCESS;
    while (d->values) {
        mock_value *first = d->values;
        d->values = first->next;
        release_value(first);
    }
    mock_free(d);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t mock_put(mock_descriptor *target, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       int64_t count, const void *values) {
    if (find(target, name)) return CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES;
    mock_value *v = mock_memory(sizeof *v);
    *v = (mock_value){target->values, name, type, count, mock_memory((size_t)count * size_of(type))};
    memcpy(v->data, values, (size_t)count * size_of(type));
    mock_descriptor *const *parts = v->data;
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++) parts[i]->users++;
    target->values = v;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    mock_descriptor *d = descriptor;
    if (!d || !values || count < 1) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (d->final) return CUDNN_STATUS_BAD_PARAM;
    const cudnnStatus_t allowed = mock_allows(d->type, name, type, count);
    if (allowed != CUDNN_STATUS_SUCCESS) return allowed;
    mock_descriptor *const *parts = values;
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++)
        if (!parts[i] || !parts[i]->final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    return mock_put(d, name, type, count, values);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    mock_descriptor *d = descriptor;
    if (!d) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    cudnnStatus_t status = mock_complete(d);
    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) status = mock_rank(d);
    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) status = mock_ready(d);
    d->final = status == CUDNN_STATUS_SUCCESS;
    return status;
}

/* A descriptor is read into one that the caller has made, which becomes what that attribute is. */
static void copy_descriptor(mock_descriptor *to, const mock_descriptor *from) {
    for (const mock_value *v = from->values; v; v = v->next) mock_put(to, v->name, v->type, v->count, v->data);
    to->final = true;
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t wanted, int64_t *count, void *values) {
    const mock_descriptor *d = descriptor;
    if (!d || !d->final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    const mock_value *v = find(d, name);
    *count = v ? v->count : 0;
    if (!v) return CUDNN_STATUS_SUCCESS;
    if (v->type != type) return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
    const int64_t given = wanted < v->count ? wanted : v->count;
    if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        memcpy(values, v->data, (size_t)given * size_of(type));
        return CUDNN_STATUS_SUCCESS;
    }
    mock_descriptor *const *from = v->data, *const *to = values;
    for (int64_t i = 0; i < given; i++) {
        if (!to[i] || to[i]->type != from[i]->type || to[i]->final) return CUDNN_STATUS_BAD_PARAM;
        copy_descriptor(to[i], from[i]);
    }
    return CUDNN_STATUS_SUCCESS;
}
