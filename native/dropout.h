// Dropout whose mask is computed again where it is needed, and never kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace throughtime {

// Rows of a tensor (outer, rows, inner) without gaps that are here, of `of` rows in all: [start, start +
// here).
struct RowsHere {
  std::size_t outer, of, start, here, inner;
};

// to = from / (1 - probability), and 0 for a share of the elements. An element's place among all rows and the
// key decide whether it is one of them: neither the threads nor who computes it. 0 <= probability < 1.
void drop_out(const Kernels& kernels, const float* from, float* to, const RowsHere& rows,
              const std::array<std::uint32_t, 2>& key, double probability, int threads);

}  // namespace throughtime
