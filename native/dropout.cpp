#include "dropout.h"

#include <cmath>

#include "team.h"

namespace throughtime {
namespace {

// With fewer elements more threads do not pay.
constexpr std::size_t kSmall = 1 << 15;
// Random numbers are made so many at a time.
constexpr std::size_t kGroup = 64;

}  // namespace

void drop_out(const Kernels& kernels, const float* from, float* to, const RowsHere& rows,
              const std::array<std::uint32_t, 2>& key, double probability, int threads) {
  const std::size_t run = rows.here * rows.inner;
  if (rows.outer * run < kSmall) threads = 1;
  const auto threshold = static_cast<std::uint32_t>(std::floor(probability * 0x1p32));
  const auto scale = static_cast<float>(1.0 / (1.0 - probability));
  const bool whole = rows.here == rows.of;
  run_team_beside_torch(threads, [&](const Member& member) {
    if (whole) {
      const std::size_t all = rows.outer * run, groups = (all + kGroup - 1) / kGroup;
      const std::size_t begin = member.begin(groups) * kGroup;
      const std::size_t end = member.end(groups) * kGroup < all ? member.end(groups) * kGroup : all;
      if (begin < end)
        kernels.drop(from + begin, to + begin, begin, end - begin, key.data(), threshold, scale);
      return;
    }
    for (std::size_t k = member.begin(rows.outer); k < member.end(rows.outer); ++k)
      kernels.drop(from + k * run, to + k * run, (k * rows.of + rows.start) * rows.inner, run, key.data(),
                   threshold, scale);
  });
}

}  // namespace throughtime
