#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace throughtime {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// How many candidates top-p sorts first: enough for a peaked distribution to need one short sort; the blocks
// grow when it is flatter. A plausible size, not tuned.
constexpr std::size_t kFirstSortedBlock = 64;
constexpr std::size_t kBlockGrowth = 4;

// Independent maxima: one running maximum is a chain of dependent steps that the compiler may not reorder;
// eight fill two SSE registers (measured 99 -> 19 to 36 us for 32 000 logits).
constexpr std::size_t kLanes = 8;

// Up to this many times fewer than the vocabulary, a heap of the k largest beats selecting among all: nearly
// every logit is then turned away by one comparison (at the limit, k = 500 of 32 000: 216 against 321 us).
constexpr std::size_t kHeapShare = 64;

struct Candidate {
  float logit;
  std::uint32_t token;
  double weight;  // proportional to the probability; the largest logit's is exactly 1
};

// Descending probability; equal logits go by the lower token. Logits are compared rather than weights,
// because exp() rounds neighbours to the same weight.
bool ranks_before(const Candidate& left, const Candidate& right) {
  return left.logit > right.logit || (left.logit == right.logit && left.token < right.token);
}

[[noreturn]] void fail_option(const char* name, const char* range, double value) {
  std::ostringstream message;
  message << name << " must be " << range << ", not " << value;
  throw std::invalid_argument(message.str());
}

[[noreturn]] void fail_row(const float* logits, std::size_t vocabulary_size, std::size_t row) {
  for (std::size_t token = 0; token < vocabulary_size; ++token) {
    if (std::isnan(logits[token]) || logits[token] == kInfinity) {
      throw std::invalid_argument("logits row " + std::to_string(row) + " holds " +
                                  (std::isnan(logits[token]) ? "NaN" : "+inf") + " at token " +
                                  std::to_string(token));
    }
  }
  throw std::invalid_argument("logits row " + std::to_string(row) + " is -inf everywhere: no token is left");
}

// The largest logit of a row that is fit to sample from; throws otherwise.
float checked_largest(const float* logits, std::size_t vocabulary_size, std::size_t row) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, -kInfinity);
  std::int32_t unfit[kLanes] = {};
  std::size_t token = 0;
  for (; token + kLanes <= vocabulary_size; token += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float logit = logits[token + lane];
      lanes[lane] = logit > lanes[lane] ? logit : lanes[lane];
      unfit[lane] |= !(logit < kInfinity);  // NaN, too
    }
  }
  for (; token < vocabulary_size; ++token) {
    lanes[0] = std::max(lanes[0], logits[token]);
    unfit[0] |= !(logits[token] < kInfinity);
  }
  const float largest = *std::max_element(lanes, lanes + kLanes);
  const bool any_unfit = std::any_of(unfit, unfit + kLanes, [](std::int32_t lane) { return lane != 0; });
  if (any_unfit || largest == -kInfinity) fail_row(logits, vocabulary_size, row);
  return largest;
}

// Samples row after row; the buffers live as long as the batch, so that only its first row allocates.
class RowSampler {
 public:
  explicit RowSampler(std::size_t vocabulary_size) : vocabulary_size_(vocabulary_size) {}

  std::int64_t sample(const float* logits, double uniform, const SamplingOptions& options, std::size_t row) {
    options_ = options;
    const float largest = checked_largest(logits, vocabulary_size_, row);
    if (options_.temperature == 0.0) return std::find(logits, logits + vocabulary_size_, largest) - logits;
    if (!(uniform >= 0.0 && uniform < 1.0)) {
      throw std::invalid_argument("uniforms row " + std::to_string(row) + " is " + std::to_string(uniform) +
                                  ", which is outside [0, 1)");
    }
    collect_top_k(logits);
    weigh(largest);
    if (options_.top_p < 1.0) keep_top_p();
    // The largest weight is exactly 1, so the threshold min_p x largest is min_p itself.
    if (options_.min_p > 0.0) {
      std::erase_if(candidates_, [this](const Candidate& c) { return c.weight < options_.min_p; });
    }
    return walk(uniform);
  }

 private:
  void collect_top_k(const float* logits) {
    const auto top_k = static_cast<std::uint64_t>(options_.top_k);
    candidates_.clear();
    if (top_k == 0 || top_k >= vocabulary_size_) {
      candidates_.resize(vocabulary_size_);
      for (std::size_t token = 0; token < vocabulary_size_; ++token) {
        candidates_[token] = {logits[token], static_cast<std::uint32_t>(token), 0.0};
      }
      return;
    }
    // Selecting the k-th largest value and scanning once keeps the candidates in token order without a sort.
    const auto before_kth = static_cast<std::ptrdiff_t>(top_k - 1);
    if (top_k <= vocabulary_size_ / kHeapShare) {
      selection_.resize(top_k);
      std::partial_sort_copy(logits, logits + vocabulary_size_, selection_.begin(), selection_.end(),
                             std::greater<>());
    } else {
      selection_.assign(logits, logits + vocabulary_size_);
      std::nth_element(selection_.begin(), selection_.begin() + before_kth, selection_.end(),
                       std::greater<>());
    }
    const auto kth = selection_.begin() + before_kth;
    const float threshold = *kth;
    auto ties_left = 1 + std::count(selection_.begin(), kth, threshold);
    for (std::size_t token = 0; token < vocabulary_size_; ++token) {
      const bool above = logits[token] > threshold;
      if (above || (logits[token] == threshold && ties_left > 0)) {
        if (!above) --ties_left;
        candidates_.push_back({logits[token], static_cast<std::uint32_t>(token), 0.0});
      }
    }
  }

  void weigh(float largest) {
    // (logit - largest) / temperature rather than logit / temperature - largest / temperature: nothing
    // overflows to inf - inf, however small the temperature.
    for (Candidate& candidate : candidates_) {
      const double below_largest = static_cast<double>(candidate.logit) - static_cast<double>(largest);
      candidate.weight = std::exp(below_largest / options_.temperature);
    }
  }

  void keep_top_p() {
    const double total = total_weight();
    const double enough = options_.top_p * total;
    // Tokens below this weight hold less than half of 1 - top_p together, so the others are sure to reach
    // top_p without them, rounding included, unless top_p is next to 1.
    const double left_out = 1.0 - options_.top_p;
    const double negligible =
        left_out > 1e-6 ? 0.5 * left_out * total / static_cast<double>(candidates_.size()) : 0.0;
    ranked_.clear();
    std::copy_if(candidates_.begin(), candidates_.end(), std::back_inserter(ranked_),
                 [negligible](const Candidate& c) { return c.weight >= negligible; });
    double running = 0.0;
    std::size_t sorted = 0;
    for (std::size_t block = kFirstSortedBlock; sorted < ranked_.size(); block *= kBlockGrowth) {
      const auto begin = ranked_.begin() + static_cast<std::ptrdiff_t>(sorted);
      const std::size_t length = std::min(block, ranked_.size() - sorted);
      const auto end = begin + static_cast<std::ptrdiff_t>(length);
      if (end != ranked_.end()) std::nth_element(begin, end, ranked_.end(), ranks_before);
      std::sort(begin, end, ranks_before);
      for (auto last = begin; last != end; ++last) {
        running += last->weight;
        if (running >= enough) {
          std::erase_if(candidates_, [last](const Candidate& c) { return ranks_before(*last, c); });
          return;
        }
      }
      sorted += length;
    }
    // Two orders of summation round differently, so the running sum can end just short: everything stays.
  }

  double total_weight() const {
    double total = 0.0;
    for (const Candidate& candidate : candidates_) total += candidate.weight;
    return total;
  }

  // Inverse cumulative distribution, in token order.
  std::int64_t walk(double uniform) const {
    const double target = uniform * total_weight();
    double running = 0.0;
    std::int64_t last_possible = 0;
    for (const Candidate& candidate : candidates_) {
      running += candidate.weight;
      if (running > target) return candidate.token;
      if (candidate.weight > 0.0) last_possible = candidate.token;
    }
    // uniform x total can round up to the total itself.
    return last_possible;
  }

  std::size_t vocabulary_size_;
  SamplingOptions options_;
  std::vector<Candidate> candidates_;  // always in token order
  std::vector<Candidate> ranked_;
  std::vector<float> selection_;
};

}  // namespace

class Sampler::Row : public RowSampler {
 public:
  using RowSampler::RowSampler;
};

void check_options(const SamplingOptions& options) {
  // Each condition is written so that NaN fails it.
  if (!(options.temperature >= 0.0 && std::isfinite(options.temperature)))
    fail_option("temperature", "finite and at least 0", options.temperature);
  if (options.top_k < 0) fail_option("top_k", "at least 0", static_cast<double>(options.top_k));
  if (!(options.top_p > 0.0 && options.top_p <= 1.0))
    fail_option("top_p", "above 0 and at most 1", options.top_p);
  if (!(options.min_p >= 0.0 && options.min_p <= 1.0)) fail_option("min_p", "from 0 to 1", options.min_p);
}

Sampler::Sampler(std::size_t vocabulary_size) : row_(std::make_unique<Row>(vocabulary_size)) {}

Sampler::Sampler(Sampler&&) noexcept = default;

Sampler::~Sampler() = default;

std::int64_t Sampler::sample(const float* logits, double uniform, const SamplingOptions& options,
                             std::size_t row) {
  return row_->sample(logits, uniform, options, row);
}

void sample_batch(const float* logits, const double* uniforms, std::size_t rows, std::size_t vocabulary_size,
                  const SamplingOptions& options, std::int64_t* tokens) {
  check_options(options);
  if (rows > 0 && vocabulary_size == 0)
    throw std::invalid_argument("logits have no columns: no token to draw");
  if (vocabulary_size > std::numeric_limits<std::uint32_t>::max())
    throw std::invalid_argument("logits have more than 2^32 - 1 columns");
  RowSampler sampler(vocabulary_size);
  for (std::size_t row = 0; row < rows; ++row) {
    tokens[row] = sampler.sample(logits + row * vocabulary_size, uniforms[row], options, row);
  }
}

}  // namespace throughtime
