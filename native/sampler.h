// Drawing tokens from logits: the part without Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace throughtime {

struct SamplingOptions {
  double temperature = 1.0;  // 0 is greedy: the largest logit, the lowest token on a tie
  std::int64_t top_k = 0;    // 0 is off
  double top_p = 1.0;        // 1 is off
  double min_p = 0.0;        // 0 is off
};

// Draws one token for each row.
//
//   logits    rows x vocabulary_size, row after row; -inf is a token of probability 0
//   uniforms  rows, each in [0, 1); not read when temperature is 0
//   tokens    rows, written
//
// Temperature, then top-k, softmax, top-p, min-p, and the inverse of the cumulative distribution, walked
// in token order. All sums are in double and in a fixed order, so the same input gives the same tokens
// on every machine whose exp() rounds alike. `reference_sample` in
// src/throughtime/runtime/sampling.py is the readable definition.
//
// Throws std::invalid_argument, naming the row, for NaN or +inf logits, a row with nothing but -inf, or a
// uniform outside [0, 1); naming the option, for an option out of range.
//
// Sources: top-k Fan et al. 2018; top-p Holtzman et al. 2020; min-p Nguyen et al. 2024.
void sample_batch(const float* logits, const double* uniforms, std::size_t rows, std::size_t vocabulary_size,
                  const SamplingOptions& options, std::int64_t* tokens);

// Throws std::invalid_argument, naming the option, for one out of range.
void check_options(const SamplingOptions& options);

// The same, a row at a time, each with options of its own that have been checked.
class Sampler {
 public:
  explicit Sampler(std::size_t vocabulary_size);
  Sampler(Sampler&&) noexcept;
  ~Sampler();
  // row: what an error calls it.
  std::int64_t sample(const float* logits, double uniform, const SamplingOptions& options, std::size_t row);

 private:
  class Row;
  std::unique_ptr<Row> row_;
};

}  // namespace throughtime
