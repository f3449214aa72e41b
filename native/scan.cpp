#include "scan.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "memory.h"

namespace throughtime {
namespace {

// Pre-activations that are computed ahead: enough steps to share the weights, few enough to stay in the
// cache.
constexpr std::size_t kFloatsAhead = std::size_t{1} << 20;

}  // namespace

void scan(const RecurrentLayer& layer, const float* inputs, std::size_t T, std::size_t B,
          const std::int64_t* lengths, bool backward, const std::vector<float*>& state, float* outputs,
          int threads) {
  if (T == 0 || B == 0) return;
  const auto I = static_cast<std::size_t>(layer.input_size()),
             O = static_cast<std::size_t>(layer.output_size());
  const std::size_t rows = layer.projected_floats(), width = RecurrentLayer::padded(layer.input_size()),
                    parts = layer.state_sizes().size();
  const std::size_t piece = std::clamp<std::size_t>(kFloatsAhead / ((rows + width) * B), 1, T);
  Buffer<float> projected(piece * B * rows), padded_inputs(piece * B * width);
  std::vector<Buffer<float>> states;
  for (std::size_t part = 0; part < parts; ++part) {
    const int size = layer.state_sizes()[part];
    states.emplace_back(B * RecurrentLayer::padded(size));
    for (std::size_t b = 0; b < B; ++b)
      std::copy_n(state[part] + b * size, size, states[part].data() + b * RecurrentLayer::padded(size));
  }
  const std::unique_ptr<RecurrentLayer::Room> room = layer.room();
  layer.reserve(*room, B, piece * B, threads);
  std::vector<const float*> x(piece * B), starts(B);
  std::vector<float*> active_states(parts * B);
  std::vector<std::size_t> active(B);
  std::size_t n = 0;
  for (std::size_t row = 0; row < piece * B; ++row) x[row] = padded_inputs.data() + row * width;
  run_team(threads, [&](const Member& member) {
    for (std::size_t done = 0; done < T; done += piece) {
      const std::size_t steps = std::min(piece, T - done);
      const std::size_t first = backward ? T - done - steps : done;
      const std::size_t all = steps * B;
      for (std::size_t row = member.begin(all); row < member.end(all); ++row)
        std::copy_n(inputs + (first * B + row) * I, I, padded_inputs.data() + row * width);
      member.barrier();  // few rows are made ready by every member
      layer.project(member, *room, all, x.data(), projected.data());
      for (std::size_t k = 0; k < steps; ++k) {
        const std::size_t t = backward ? steps - 1 - k : k;
        if (member.index == 0) {
          n = 0;
          for (std::size_t b = 0; b < B; ++b) {
            if (lengths != nullptr && first + t >= static_cast<std::size_t>(lengths[b])) continue;
            active[n] = b;
            starts[n++] = projected.data() + (t * B + b) * rows;
          }
          for (std::size_t part = 0; part < parts; ++part)
            for (std::size_t slot = 0; slot < n; ++slot)
              active_states[part * n + slot] =
                  states[part].data() + active[slot] * RecurrentLayer::padded(layer.state_sizes()[part]);
        }
        member.barrier();
        layer.ready(member, *room, n, active_states.data());
        member.barrier();
        layer.step(member, *room, n, starts.data(), nullptr, active_states.data());
        for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot)
          std::copy_n(layer.output(member, *room, n, slot, active_states.data()), O,
                      outputs + ((first + t) * B + active[slot]) * O);
        member.barrier();
      }
    }
  });
  for (std::size_t part = 0; part < parts; ++part) {
    const int size = layer.state_sizes()[part];
    for (std::size_t b = 0; b < B; ++b)
      std::copy_n(states[part].data() + b * RecurrentLayer::padded(size), size, state[part] + b * size);
  }
}

}  // namespace throughtime
