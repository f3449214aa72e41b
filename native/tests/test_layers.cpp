// Steps and scans of every cell with its options.
#include <algorithm>
#include <cmath>
#include <utility>

#include "layer.h"
#include "memory.h"
#include "scan.h"
#include "team.h"
#include "testing.h"

namespace throughtime::testing {
namespace {
// Floats of a state, its tensors one behind the other.
std::size_t state_floats(const RecurrentLayer& layer) {
  std::size_t size = 0;
  for (const int part : layer.state_sizes()) size += static_cast<std::size_t>(part);
  return size;
}

// The states of a batch as a step wants them, each in memory of its own.
struct States {
  std::vector<Buffer<float>> memory;
  std::vector<float*> at;

  States(const RecurrentLayer& layer, const float* values, std::size_t n) {
    std::size_t before = 0;
    for (const int size : layer.state_sizes()) {
      for (std::size_t slot = 0; slot < n; ++slot) {
        memory.emplace_back(RecurrentLayer::padded(size));
        std::copy_n(values + slot * state_floats(layer) + before, size, memory.back().data());
        at.push_back(memory.back().data());
      }
      before += static_cast<std::size_t>(size);
    }
  }
};

// One step of slots [first, first + n) of x and state: their states after it.
Floats step_once(const RecurrentLayer& layer, const Floats& x, const Floats& state, std::size_t first,
                 std::size_t n, bool projected, int threads) {
  const auto I = static_cast<std::size_t>(layer.input_size());
  const std::size_t rows = layer.projected_floats();
  States states(layer, state.data() + first * state_floats(layer), n);
  std::vector<Buffer<float>> padded;
  std::vector<const float*> inputs(n), starts(n);
  Floats pre_activations(n * rows);
  for (std::size_t slot = 0; slot < n; ++slot) {
    padded.emplace_back(RecurrentLayer::padded(layer.input_size()));
    std::copy_n(x.data() + (first + slot) * I, I, padded.back().data());
    inputs[slot] = padded.back().data();
    starts[slot] = pre_activations.data() + slot * rows;
  }
  const std::unique_ptr<RecurrentLayer::Room> room = layer.room();
  layer.reserve(*room, n, n, threads);
  run_team(threads, [&](const Member& member) {
    if (projected) layer.project(member, *room, n, inputs.data(), pre_activations.data());
    layer.ready(member, *room, n, states.at.data());
    member.barrier();
    layer.step(member, *room, n, projected ? starts.data() : nullptr, projected ? nullptr : inputs.data(),
               states.at.data());
  });
  Floats after;
  for (std::size_t slot = 0; slot < n; ++slot)
    for (std::size_t part = 0; part < layer.state_sizes().size(); ++part)
      after.insert(after.end(), states.at[part * n + slot],
                   states.at[part * n + slot] + layer.state_sizes()[part]);
  return after;
}

// The equations as in throughtime/cells, in double, for the cells without options: h, then c.
std::vector<double> plain_step(const LayerTensors& t, const float* x, const float* h, const float* c) {
  const auto H = static_cast<std::size_t>(t.hidden_size), I = static_cast<std::size_t>(t.input_size);
  const auto sum = [](const float* weights, const float* values, std::size_t n) {
    double total = 0;
    for (std::size_t k = 0; k < n; ++k) total += static_cast<double>(weights[k]) * values[k];
    return total;
  };
  const auto of_input = [&](std::size_t row) { return t.bias_ih[row] + sum(t.weight_ih + row * I, x, I); };
  const auto of_state = [&](std::size_t row) { return t.bias_hh[row] + sum(t.weight_hh + row * H, h, H); };
  const auto both = [&](std::size_t row) { return of_input(row) + of_state(row); };
  const auto sigmoid = [](double a) { return 1 / (1 + std::exp(-a)); };
  std::vector<double> after(t.kind == CellKind::kLstm ? 2 * H : H);
  for (std::size_t u = 0; u < H; ++u) {
    if (t.kind == CellKind::kLstm) after[H + u] = c[u];
    if (t.kind == CellKind::kRnn) {
      after[u] = std::tanh(both(u));
    } else if (t.kind == CellKind::kGru) {
      const double r = sigmoid(both(u)), z = sigmoid(both(H + u));
      const double n = std::tanh(of_input(2 * H + u) + r * of_state(2 * H + u));
      after[u] = (1 - z) * n + z * h[u];
    } else {
      after[H + u] = sigmoid(both(H + u)) * c[u] + sigmoid(both(u)) * std::tanh(both(2 * H + u));
      after[u] = sigmoid(both(3 * H + u)) * std::tanh(after[H + u]);
    }
  }
  return after;
}

}  // namespace

void check_steps(const RecurrentLayer& layer, const Floats& x, const Floats& state, const Floats& all,
                 const std::string& what) {
  const std::size_t size = state_floats(layer), n = state.size() / size;
  for (const int threads : {2, 3})
    check(step_once(layer, x, state, 0, n, true, threads) == all, what + ": threads change the numbers");
  check(step_once(layer, x, state, 0, 0, true, 2).empty(), what + ": an empty batch");
  if (!layer.needs_projection())
    check(step_once(layer, x, state, 0, n, false, 2) == all, what + ": inputs projected ahead differ");
  for (std::size_t slot = 0; slot < n; ++slot) {
    const Floats alone = step_once(layer, x, state, slot, 1, true, 1);
    check(std::equal(alone.begin(), alone.end(), all.begin() + static_cast<std::ptrdiff_t>(slot * size)),
          what + ": a slot's numbers depend on its batch");
  }
}

void check_steps(const RecurrentLayer& layer, const std::string& what) {
  constexpr std::size_t kSlots = 9;
  const Floats x = random_floats(kSlots * static_cast<std::size_t>(layer.input_size())),
               state = random_floats(kSlots * state_floats(layer));
  check_steps(layer, x, state, step_once(layer, x, state, 0, kSlots, true, 1), what);
}

namespace {

void check_layer(const Kernels& kernels, const Options& options, Precision precision, int I, int H) {
  const std::string what =
      std::string(kernels.name) + " " + options.name + " " + std::to_string(I) + " " + std::to_string(H);
  const Network network = make_network(options, I, H);
  const Layer layer(network.tensors, precision, kernels);
  const std::string name = options.name;
  constexpr std::size_t kSlots = 9;
  const std::size_t size = state_floats(layer);
  const Floats x = random_floats(kSlots * static_cast<std::size_t>(I)), state = random_floats(kSlots * size);
  const Floats all = step_once(layer, x, state, 0, kSlots, true, 1);
  check_steps(layer, x, state, all, what);
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    if (precision != Precision::kFloat32 || (name != "rnn" && name != "gru" && name != "lstm")) break;
    const float* now = all.data() + slot * size;
    const float* h = state.data() + slot * size;
    const std::vector<double> expected =
        plain_step(network.tensors, x.data() + slot * static_cast<std::size_t>(I), h, h + H);
    for (std::size_t k = 0; k < size; ++k)
      check(std::abs(now[k] - expected[k]) < 2e-6, what + ": not the cell");
  }
  // A one-hot input is a column of the weights.
  if (precision != Precision::kFloat32) return;
  Floats one_hot(static_cast<std::size_t>(I)), from_column(layer.projected_floats()), product(from_column);
  one_hot.back() = 1;
  layer.project_one_hot(I - 1, network.tensors.weight_ih, from_column.data());
  const std::unique_ptr<RecurrentLayer::Room> room = layer.room();
  layer.reserve(*room, 1, 1, 1);
  const float* input = one_hot.data();
  layer.project({0, 1, nullptr}, *room, 1, &input, product.data());
  for (std::size_t row = 0; row < product.size(); ++row)
    check(std::abs(product[row] - from_column[row]) < 1e-6, what + ": a one-hot input's share");
}

std::vector<float*> pointers(std::vector<Floats>& parts) {
  std::vector<float*> at;
  for (Floats& part : parts) at.push_back(part.data());
  return at;
}

}  // namespace

void check_scan(const RecurrentLayer& layer, std::size_t T, std::size_t B, const std::string& name) {
  const std::string what = "scan " + name + " T " + std::to_string(T) + " B " + std::to_string(B);
  const auto O = static_cast<std::size_t>(layer.output_size()),
             width = static_cast<std::size_t>(layer.input_size());
  const Floats inputs = random_floats(T * B * width);
  Tokens lengths(B);
  for (std::size_t b = 0; b < B; ++b) lengths[b] = static_cast<std::int64_t>((T + b * 7) % (T + 1));
  for (const bool backward : {false, true}) {
    std::vector<Floats> state, own_state;
    for (const int size : layer.state_sizes()) state.emplace_back(B * static_cast<std::size_t>(size));
    Floats outputs(T * B * O);
    scan(layer, inputs.data(), T, B, lengths.data(), backward, pointers(state), outputs.data(), 3);
    for (std::size_t b = 0; T > 0 && b < B; ++b) {
      const auto length = static_cast<std::size_t>(lengths[b]);
      Floats own, own_outputs(length * O);
      own_state.clear();
      for (const int size : layer.state_sizes()) own_state.emplace_back(static_cast<std::size_t>(size));
      for (std::size_t t = 0; t < length; ++t) {
        const std::size_t from = backward ? length - 1 - t : t;
        own.insert(own.end(), inputs.data() + (from * B + b) * width,
                   inputs.data() + (from * B + b + 1) * width);
      }
      scan(layer, own.data(), length, 1, nullptr, false, pointers(own_state), own_outputs.data(), 1);
      for (std::size_t part = 0; part < state.size(); ++part)
        check(std::equal(own_state[part].begin(), own_state[part].end(),
                         state[part].data() + b * own_state[part].size()),
              what + ": the last state");
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t k = 0; k < O; ++k) {
          const std::size_t at = backward ? length - 1 - t : t;
          check(outputs[(t * B + b) * O + k] == (t < length ? own_outputs[at * O + k] : 0.0f),
                what + ": an output");
        }
    }
  }
}

void test_layers() {
  constexpr int kSizes[][2] = {{1, 1}, {5, 33}, {3, 16}};
  for (const Kernels* kernels : versions())
    for (const Options& options : kCells)
      for (const Precision precision : kPrecisions)
        for (const auto& [I, H] : kSizes) check_layer(*kernels, options, precision, I, H);
  for (const Options& options : kCells) {
    for (const auto& [I, H] : {std::pair(1, 1), std::pair(3, 17)}) {
      const Network network = make_network(options, I, H);
      const Layer layer(network.tensors, Precision::kFloat32, kernels());
      for (const auto& [T, B] : {std::pair(0, 2), std::pair(2, 0), std::pair(1, 1), std::pair(11, 5)})
        check_scan(layer, static_cast<std::size_t>(T), static_cast<std::size_t>(B), options.name);
    }
  }
}

}  // namespace throughtime::testing
