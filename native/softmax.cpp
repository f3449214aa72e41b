#include "softmax.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "team.h"

namespace throughtime {
namespace {

// With fewer logits more threads do not pay.
constexpr double kSmall = 1 << 15;

}  // namespace

void softmax_gradients(const Kernels& kernels, float* logits, int rows, int kinds, const Wanted& wanted,
                       float* losses, float* plain, int threads) {
  for (int row = 0; row < rows; ++row) {
    const std::int64_t token = wanted.tokens[row];
    if (token != wanted.ignored && (token < 0 || token >= kinds))
      throw std::out_of_range("Target " + std::to_string(token) + " is out of bounds: there are " +
                              std::to_string(kinds) + " kinds");
  }
  if (static_cast<double>(rows) * kinds < kSmall) threads = 1;
  const float spread = wanted.smoothing / static_cast<float>(kinds);
  run_team_beside_torch(threads, [&](const Member& member) {
    const auto all = static_cast<std::size_t>(rows);
    for (std::size_t row = member.begin(all); row < member.end(all); ++row) {
      float* mine = logits + row * static_cast<std::size_t>(kinds);
      losses[row] = plain[row] = 0.0f;
      if (wanted.tokens[row] == wanted.ignored) {
        std::fill_n(mine, kinds, 0.0f);
        continue;
      }
      float& own = mine[wanted.tokens[row]];
      const float picked = own;
      float sums[3];
      kernels.softmax_gradient(mine, kinds, wanted.weight, wanted.weight * spread, sums);
      own -= (1.0f - wanted.smoothing) * wanted.weight;
      const double distance = static_cast<double>(picked) - sums[0];
      const double loss = std::log(static_cast<double>(sums[1])) - distance;
      plain[row] = static_cast<float>(loss);
      losses[row] =
          static_cast<float>(loss + wanted.smoothing * distance - static_cast<double>(spread) * sums[2]);
    }
  });
}

}  // namespace throughtime
