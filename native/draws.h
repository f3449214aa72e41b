// How a stream's tokens are drawn: options, a random generator, and the tokens that end a call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sampler.h"

namespace throughtime {

// NumPy's PCG64, bit for bit: PCG XSL RR 128/64 of O'Neill 2014.
class Pcg64 {
 public:
  // State and increment, the upper 64 bits of each first; the default is
  // PCG64(SeedSequence(0, spawn_key=(0,))).
  using Words = std::array<std::uint64_t, 4>;

  Pcg64() : Pcg64(kSeedZero) {}
  explicit Pcg64(const Words& words)
      : state_(whole(words[0], words[1])), increment_(whole(words[2], words[3])) {}

  Words words() const {
    return {static_cast<std::uint64_t>(state_ >> 64), static_cast<std::uint64_t>(state_),
            static_cast<std::uint64_t>(increment_ >> 64), static_cast<std::uint64_t>(increment_)};
  }

  // The next of `Generator.random()`: 53 bits in [0, 1).
  double uniform() {
    state_ = state_ * whole(0x2360ED051FC65DA4, 0x4385DF649FCCF645) + increment_;
    const std::uint64_t mixed = static_cast<std::uint64_t>(state_ >> 64) ^ static_cast<std::uint64_t>(state_);
    const auto turns = static_cast<unsigned>(state_ >> 122);
    const std::uint64_t drawn = mixed >> turns | mixed << (-turns & 63);
    return static_cast<double>(drawn >> 11) * 0x1p-53;
  }

 private:
  __extension__ using Wide = unsigned __int128;

  static constexpr Wide whole(std::uint64_t upper, std::uint64_t lower) {
    return static_cast<Wide>(upper) << 64 | lower;
  }
  static constexpr Words kSeedZero = {0x9DC7E5C5548209EF, 0xE5F1B57E8273DB25, 0xCD7472B7376A4446,
                                      0xDF3664221FC3C153};

  Wide state_, increment_;
};

struct Draws {
  SamplingOptions sampling{};
  double repetition_penalty = 1.0;  // 1 is off
  Pcg64 generator{};
  std::vector<std::int64_t> stop{};  // a row that has drawn one of these leaves its call

  bool penalises() const { return repetition_penalty != 1.0; }
};

inline constexpr std::size_t kMostStops = 64;

// Why a row has left a call.
enum class Ended : std::int8_t {
  kLimit = 0,   // it has its tokens
  kStop = 1,    // it has drawn one that ends it
  kFailed = 2,  // there was nothing to draw from: it is as before the call
};

}  // namespace throughtime
