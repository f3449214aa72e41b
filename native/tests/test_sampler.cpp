// Rows, options and numbers at the edge of what can be drawn from.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "sampler.h"
#include "testing.h"

namespace throughtime::testing {
namespace {

std::int64_t draw(const Floats& logits, double uniform, const SamplingOptions& options) {
  check_options(options);
  return Sampler(logits.size()).sample(logits.data(), uniform, options, 0);
}

}  // namespace

void test_sampler() {
  const double almost_one = std::nextafter(1.0, 0.0);
  const Floats row = {-kInfinity, 1, 3, 3, -1e30f, 2};
  for (const double uniform : {0.0, 0.5, almost_one}) {
    check(draw({4.0f}, uniform, {}) == 0, "the only token");
    check(draw(row, uniform, {.temperature = 0}) == 2, "the first of the largest");
    check(draw(row, uniform, {.top_k = 1}) == 2, "the first of the largest is what top-k keeps");
    check(draw(row, uniform, {.top_k = 99}) > 0, "a token of probability 0");
    check(draw(row, uniform, {.top_p = 1e-300}) == 2, "top-p keeps one");
    const std::int64_t peak = draw(row, uniform, {.temperature = 1e-320, .min_p = 1});
    check(peak == 2 || peak == 3, "a temperature next to 0");
  }
  Floats wide = random_floats(5000, 4.0f);
  for (const std::int64_t top_k : {0, 1, 40, 4000, 5000, 6000})
    for (const double top_p : {0.3, 1.0}) {
      const std::int64_t token = draw(wide, 0.7, {.top_k = top_k, .top_p = top_p, .min_p = 0.01});
      check(token >= 0 && token < 5000, "a token outside the vocabulary");
    }
  constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
  const SamplingOptions wrong[] = {{.temperature = -1},
                                   {.temperature = kNotANumber},
                                   {.top_k = -1},
                                   {.top_p = 0},
                                   {.top_p = kNotANumber},
                                   {.min_p = 1.1},
                                   {.top_k = std::numeric_limits<std::int64_t>::min()}};
  for (const SamplingOptions& options : wrong)
    check_throws<std::invalid_argument>([&] { draw(row, 0.5, options); }, "an option out of range");
  for (const Floats& logits :
       {Floats{kNaN}, Floats{1, kInfinity}, Floats{-kInfinity, -kInfinity}, Floats(9, kNaN)})
    check_throws<std::invalid_argument>([&] { draw(logits, 0.5, {}); }, "a row that is not fit to draw from");
  for (const double uniform : {1.0, -0.1, kNotANumber})
    check_throws<std::invalid_argument>([&] { draw(row, uniform, {}); }, "a uniform outside [0, 1)");
  sample_batch(nullptr, nullptr, 0, 0, {}, nullptr);
  const double half = 0.5;
  std::int64_t token = 0;
  check_throws<std::invalid_argument>([&] { sample_batch(row.data(), &half, 1, 0, {}, &token); },
                                      "no columns");
}

}  // namespace throughtime::testing
