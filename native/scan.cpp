#include "scan.h"

#include <algorithm>
#include <vector>

namespace throughtime {
namespace {

// Pre-activations that are computed ahead: enough steps to share the weights, few enough to stay in the
// cache.
constexpr std::size_t kFloatsAhead = std::size_t{1} << 20;

}  // namespace

void scan(const Layer& layer, const float* inputs, std::size_t T, std::size_t B, const std::int64_t* lengths,
          bool backward, float* hidden, float* cell, float* outputs, int threads) {
  if (T == 0 || B == 0) return;
  const auto I = static_cast<std::size_t>(layer.input_size()),
             S = static_cast<std::size_t>(layer.state_size());
  const auto H = static_cast<std::size_t>(layer.hidden_size()),
             rows = static_cast<std::size_t>(layer.gate_rows());
  const auto padded_state = static_cast<std::size_t>(layer.padded_state());
  const auto padded_hidden = static_cast<std::size_t>(layer.padded_hidden());
  const std::size_t piece = std::clamp<std::size_t>(kFloatsAhead / (rows * B), 1, T);
  Buffer<float> projected(piece * B * rows), states(B * padded_state), cells(B * padded_hidden);
  for (std::size_t b = 0; b < B; ++b) {
    std::copy_n(hidden + b * S, S, states.data() + b * padded_state);
    if (layer.has_cell_state()) std::copy_n(cell + b * H, H, cells.data() + b * padded_hidden);
  }
  Workspace workspace;
  layer.reserve(workspace, B, piece * B, threads);
  std::vector<const float*> x(piece * B), starts(B);
  std::vector<float*> active_hidden(B), active_cell(B);
  std::vector<std::size_t> active(B);
  std::size_t active_count = 0;
  run_team(threads, [&](const Member& member) {
    for (std::size_t done = 0; done < T; done += piece) {
      const std::size_t steps = std::min(piece, T - done);
      const std::size_t first = backward ? T - done - steps : done;
      const std::size_t all = steps * B;
      for (std::size_t row = member.begin(all); row < member.end(all); ++row)
        x[row] = inputs + (first * B + row) * I;
      layer.project(member, workspace, all, x.data(), projected.data());
      for (std::size_t k = 0; k < steps; ++k) {
        const std::size_t t = backward ? steps - 1 - k : k;
        if (member.index == 0) {
          active_count = 0;
          for (std::size_t b = 0; b < B; ++b) {
            if (lengths != nullptr && first + t >= static_cast<std::size_t>(lengths[b])) continue;
            active[active_count] = b;
            starts[active_count] = projected.data() + (t * B + b) * rows;
            active_hidden[active_count] = states.data() + b * padded_state;
            active_cell[active_count] = cells.data() + b * padded_hidden;
            ++active_count;
          }
        }
        member.barrier();
        layer.ready(member, workspace, active_count, active_hidden.data());
        member.barrier();
        layer.step(member, workspace, active_count, starts.data(), nullptr, active_hidden.data(),
                   active_cell.data());
        for (std::size_t slot = member.begin(active_count); slot < member.end(active_count); ++slot)
          std::copy_n(active_hidden[slot], S, outputs + ((first + t) * B + active[slot]) * S);
        member.barrier();
      }
    }
  });
  for (std::size_t b = 0; b < B; ++b) {
    std::copy_n(states.data() + b * padded_state, S, hidden + b * S);
    if (layer.has_cell_state()) std::copy_n(cells.data() + b * padded_hidden, H, cell + b * H);
  }
}

}  // namespace throughtime
