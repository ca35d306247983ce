/* PX_HOST_DEVICE: small functions that the host and CUDA kernels share. PX_UNROLL: before a loop that a kernel unrolls.
 */
#ifndef PIXELRNN_INLINE_H
#define PIXELRNN_INLINE_H

#ifdef __CUDACC__
#define PX_HOST_DEVICE static __host__ __device__ inline
#else
#define PX_HOST_DEVICE static inline
#endif

#ifdef __CUDA_ARCH__
#define PX_UNROLL _Pragma("unroll")
#else
#define PX_UNROLL
#endif

#endif
