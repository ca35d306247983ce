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

static const standin_value *find(const standin_descriptor *d, cudnnBackendAttributeName_t name) {
    const standin_value *v = d ? d->values : NULL;
    while (v && v->name != name) v = v->next;
    return v;
}

const void *standin_values(const standin_descriptor *d, cudnnBackendAttributeName_t name, int64_t count) {
    const standin_value *v = find(d, name);
    return v && v->count >= count ? v->data : NULL;
}

const standin_descriptor *standin_part(const standin_descriptor *d, cudnnBackendAttributeName_t name) {
    const void *values = standin_values(d, name, 1);
    return values ? *(standin_descriptor *const *)values : NULL;
}

int64_t standin_number(const standin_descriptor *d, cudnnBackendAttributeName_t name) {
    const standin_value *v = find(d, name);
    if (!v || v->count < 1) return 0;
    return v->type == CUDNN_TYPE_INT64     ? *(const int64_t *)v->data
           : v->type == CUDNN_TYPE_BOOLEAN ? *(const bool *)v->data
                                           : *(const int *)v->data;
}

int64_t standin_count_of(const standin_descriptor *d, cudnnBackendAttributeName_t name) {
    const standin_value *v = find(d, name);
    return v ? v->count : 0;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made) {
    standin_descriptor *d = standin_memory(sizeof *d);
    *d = (standin_descriptor){.type = type, .users = 1};
    *made = d;
    return CUDNN_STATUS_SUCCESS;
}

static void release_value(standin_value *v) {
    standin_descriptor *const *parts = v->data;
    for (int64_t i = 0; v->type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < v->count; i++)
        cudnnBackendDestroyDescriptor(parts[i]);
    standin_free(v->data);
    standin_free(v);
}

/* A descriptor that others hold lives on as a part of theirs. */
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    standin_descriptor *d = descriptor;
    if (!d) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (--d->users > 0) return CUDNN_STATUS_SUCCESS;
    while (d->values) {
        standin_value *first = d->values;
        d->values = first->next;
        release_value(first);
    }
    standin_free(d);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t standin_put(standin_descriptor *target, cudnnBackendAttributeName_t name,
                          cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    if (find(target, name)) return CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES;
    standin_value *v = standin_memory(sizeof *v);
    *v = (standin_value){target->values, name, type, count, standin_memory((size_t)count * size_of(type))};
    memcpy(v->data, values, (size_t)count * size_of(type));
    standin_descriptor *const *parts = v->data;
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++) parts[i]->users++;
    target->values = v;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    standin_descriptor *d = descriptor;
    if (!d || !values || count < 1) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (d->final) return CUDNN_STATUS_BAD_PARAM;
    const cudnnStatus_t allowed = standin_allows(d->type, name, type, count);
    if (allowed != CUDNN_STATUS_SUCCESS) return allowed;
    standin_descriptor *const *parts = values;
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++)
        if (!parts[i] || !parts[i]->final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    return standin_put(d, name, type, count, values);
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    standin_descriptor *d = descriptor;
    if (!d) return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    cudnnStatus_t status = standin_complete(d);
    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) status = standin_rank(d);
    if (status == CUDNN_STATUS_SUCCESS && d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) status = standin_ready(d);
    d->final = status == CUDNN_STATUS_SUCCESS;
    return status;
}

/* A descriptor is read into one that the caller has made, which becomes what that attribute is. */
static void copy_descriptor(standin_descriptor *to, const standin_descriptor *from) {
    for (const standin_value *v = from->values; v; v = v->next) standin_put(to, v->name, v->type, v->count, v->data);
    to->final = true;
}

cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t wanted, int64_t *count, void *values) {
    const standin_descriptor *d = descriptor;
    if (!d || !d->final) return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    const standin_value *v = find(d, name);
    *count = v ? v->count : 0;
    if (!v) return CUDNN_STATUS_SUCCESS;
    if (v->type != type) return CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE;
    const int64_t given = wanted < v->count ? wanted : v->count;
    if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        memcpy(values, v->data, (size_t)given * size_of(type));
        return CUDNN_STATUS_SUCCESS;
    }
    standin_descriptor *const *from = v->data, *const *to = values;
    for (int64_t i = 0; i < given; i++) {
        if (!to[i] || to[i]->type != from[i]->type || to[i]->final) return CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE;
        copy_descriptor(to[i], from[i]);
    }
    return CUDNN_STATUS_SUCCESS;
}
