/* PX_HOST_DEVICE: small functions that the host and CUDA kernels share. */
#ifndef PIXELRNN_INLINE_H
#define PIXELRNN_INLINE_H

#ifdef __CUDACC__
#define PX_HOST_DEVICE static __host__ __device__ inline
#else
#define PX_HOST_DEVICE static inline
#endif

#endif
