// A layer over whole sequences.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layer.h"

namespace throughtime {

// Carries a layer over a batch of sequences, in place.
//
//   inputs    (T, B, I)
//   lengths   (B,), each in [0, T]; steps past a sequence's length are passed over; null is T for all
//   backward  from each sequence's last step to its first
//   hidden    (B, S), the state before, then after; cell (B, H) where the layer has one
//   outputs   (T, B, S), zeros at first: what is past a length stays as it is
void scan(const Layer& layer, const float* inputs, std::size_t T, std::size_t B, const std::int64_t* lengths,
          bool backward, float* hidden, float* cell, float* outputs, int threads);

}  // namespace throughtime
