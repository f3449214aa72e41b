// Large products in bf16 with fp32 sums and fp32 results: those over all steps of a chunk.
#pragma once

#include <cstddef>

#include "kernels.h"

namespace throughtime {

// A matrix of floats as it lies: element (i, j) at data + i * down + j * right. Where `down` is 1 its rows
// lie beside each other, as those of a transposed matrix do.
struct ProductOperand {
  const float* data;
  std::ptrdiff_t down, right;
};

// out = rows matrix^T (+ bias) with rows (M, K), matrix (N, K), both rounded to bf16, and out (M, N), all
// above 0.
//
// Args:
//   bias   N floats, or null
//   adds   to what stands in `out`; then there is no bias
// One chain of sums a result: neither the threads nor M and N change a bit.
void multiply_rounded(const Kernels& kernels, const ProductOperand& rows, const ProductOperand& matrix,
                      const float* bias, float* out, int M, int N, int K, bool adds, int threads);

}  // namespace throughtime
