// The cross entropy of a softmax over many logits, and its gradient in their place.
#pragma once

#include <cstdint>

#include "kernels.h"

namespace throughtime {

// What is wanted of each row of logits, and how much it counts.
struct Wanted {
  const std::int64_t* tokens;
  std::int64_t ignored;  // a row that wants it has no loss, and a gradient of 0
  float weight;          // of each other row in the mean
  float smoothing;       // share of the wanted probability that is spread over all logits
};

// Turns each row of logits into the gradient of its share of the mean, weight * (softmax - wanted).
//
// Args:
//   losses   of each row, not weighted, in nats
//   plain    the same without smoothing
// The same bits for any number of threads. Throws std::out_of_range where a token is none, before a logit is
// changed.
void softmax_gradients(const Kernels& kernels, float* logits, int rows, int kinds, const Wanted& wanted,
                       float* losses, float* plain, int threads);

}  // namespace throughtime
