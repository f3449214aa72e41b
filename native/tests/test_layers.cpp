// Steps and scans of every cell with its options.
#include <algorithm>
#include <cmath>

#include "memory.h"
#include "scan.h"
#include "team.h"
#include "testing.h"

namespace throughtime::testing {
namespace {
// The states of a batch as a step wants them, each in memory of its own.
struct States {
  std::vector<Buffer<float>> hidden, cell;
  std::vector<float*> hidden_at, cell_at;

  States(const Layer& layer, const Floats& values, std::size_t n) {
    const auto S = static_cast<std::size_t>(layer.state_size()),
               H = static_cast<std::size_t>(layer.hidden_size());
    for (std::size_t slot = 0; slot < n; ++slot) {
      hidden.emplace_back(static_cast<std::size_t>(layer.padded_state()));
      cell.emplace_back(static_cast<std::size_t>(layer.padded_hidden()));
      std::copy_n(values.data() + slot * (S + H), S, hidden[slot].data());
      std::copy_n(values.data() + slot * (S + H) + S, H, cell[slot].data());
      hidden_at.push_back(hidden[slot].data());
      cell_at.push_back(cell[slot].data());
    }
  }
};

// One step of slots [first, first + n) of x and state: their hidden and cell states after it.
Floats step_once(const Layer& layer, const Floats& x, const Floats& state, std::size_t first, std::size_t n,
                 bool projected, int threads) {
  const auto I = static_cast<std::size_t>(layer.input_size()),
             S = static_cast<std::size_t>(layer.state_size());
  const auto H = static_cast<std::size_t>(layer.hidden_size()),
             rows = static_cast<std::size_t>(layer.gate_rows());
  const Floats mine(state.begin() + static_cast<std::ptrdiff_t>(first * (S + H)), state.end());
  States states(layer, mine, n);
  std::vector<const float*> inputs(n), starts(n);
  Floats pre_activations(n * rows);
  for (std::size_t slot = 0; slot < n; ++slot) {
    inputs[slot] = x.data() + (first + slot) * I;
    starts[slot] = pre_activations.data() + slot * rows;
  }
  Workspace workspace;
  layer.reserve(workspace, n, n, threads);
  run_team(threads, [&](const Member& member) {
    if (projected) layer.project(member, workspace, n, inputs.data(), pre_activations.data());
    layer.ready(member, workspace, n, states.hidden_at.data());
    member.barrier();
    layer.step(member, workspace, n, projected ? starts.data() : nullptr, projected ? nullptr : inputs.data(),
               states.hidden_at.data(), states.cell_at.data());
  });
  Floats after;
  for (std::size_t slot = 0; slot < n; ++slot) {
    after.insert(after.end(), states.hidden[slot].data(), states.hidden[slot].data() + S);
    after.insert(after.end(), states.cell[slot].data(), states.cell[slot].data() + H);
  }
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
  std::vector<double> after(2 * H);
  for (std::size_t u = 0; u < H; ++u) {
    after[H + u] = c[u];
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

void check_layer(const Kernels& kernels, const Options& options, Precision precision, int I, int H) {
  const std::string what =
      std::string(kernels.name) + " " + options.name + " " + std::to_string(I) + " " + std::to_string(H);
  const Network network = make_network(options, I, H);
  const Layer layer(network.tensors, precision, kernels);
  const std::string name = options.name;
  constexpr std::size_t kSlots = 9;
  const auto size = static_cast<std::size_t>(layer.state_size() + layer.hidden_size());
  const Floats x = random_floats(kSlots * static_cast<std::size_t>(I)), state = random_floats(kSlots * size);
  const Floats all = step_once(layer, x, state, 0, kSlots, true, 1);
  for (const int threads : {2, 3})
    check(step_once(layer, x, state, 0, kSlots, true, threads) == all, what + ": threads change the numbers");
  check(step_once(layer, x, state, 0, 0, true, 2).empty(), what + ": an empty batch");
  if (!layer.needs_projection())
    check(step_once(layer, x, state, 0, kSlots, false, 2) == all, what + ": inputs projected ahead differ");
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    const Floats alone = step_once(layer, x, state, slot, 1, true, 1);
    check(std::equal(alone.begin(), alone.end(), all.begin() + static_cast<std::ptrdiff_t>(slot * size)),
          what + ": a slot's numbers depend on its batch");
    if (precision != Precision::kFloat32 || (name != "rnn" && name != "gru" && name != "lstm")) continue;
    const float* h = state.data() + slot * size;
    const std::vector<double> expected =
        plain_step(network.tensors, x.data() + slot * static_cast<std::size_t>(I), h, h + layer.state_size());
    for (std::size_t k = 0; k < size; ++k)
      check(std::abs(alone[k] - expected[k]) < 2e-6, what + ": not the cell");
  }
  // A one-hot input is a column of the weights.
  if (precision != Precision::kFloat32) return;
  Floats one_hot(static_cast<std::size_t>(I)), from_column(static_cast<std::size_t>(layer.gate_rows())),
      product(from_column);
  one_hot.back() = 1;
  layer.project_one_hot(I - 1, network.tensors.weight_ih, from_column.data());
  Workspace workspace;
  layer.reserve(workspace, 1, 1, 1);
  const float* input = one_hot.data();
  layer.project({0, 1, nullptr}, workspace, 1, &input, product.data());
  for (std::size_t row = 0; row < product.size(); ++row)
    check(std::abs(product[row] - from_column[row]) < 1e-6, what + ": a one-hot input's share");
}

// A batch of sequences; each row has to be what it is alone, and backward what the reversed input is forward.
void check_scan(const Kernels& kernels, const Options& options, std::size_t T, std::size_t B, int I, int H) {
  const std::string what =
      std::string("scan ") + options.name + " T " + std::to_string(T) + " B " + std::to_string(B);
  const Network network = make_network(options, I, H);
  const Layer layer(network.tensors, Precision::kFloat32, kernels);
  const auto S = static_cast<std::size_t>(layer.state_size()), width = static_cast<std::size_t>(I),
             units = static_cast<std::size_t>(H);
  const Floats inputs = random_floats(T * B * width);
  Tokens lengths(B);
  for (std::size_t b = 0; b < B; ++b) lengths[b] = static_cast<std::int64_t>((T + b * 7) % (T + 1));
  for (const bool backward : {false, true}) {
    Floats hidden(B * S), cell(B * units), outputs(T * B * S);
    scan(layer, inputs.data(), T, B, lengths.data(), backward, hidden.data(), cell.data(), outputs.data(), 3);
    for (std::size_t b = 0; T > 0 && b < B; ++b) {
      const auto length = static_cast<std::size_t>(lengths[b]);
      Floats own, own_hidden(S), own_cell(units), own_outputs(length * S);
      for (std::size_t t = 0; t < length; ++t) {
        const std::size_t from = backward ? length - 1 - t : t;
        own.insert(own.end(), inputs.data() + (from * B + b) * width,
                   inputs.data() + (from * B + b + 1) * width);
      }
      scan(layer, own.data(), length, 1, nullptr, false, own_hidden.data(), own_cell.data(),
           own_outputs.data(), 1);
      check(std::equal(own_hidden.begin(), own_hidden.end(), hidden.data() + b * S),
            what + ": the last state");
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t k = 0; k < S; ++k) {
          const std::size_t at = backward ? length - 1 - t : t;
          check(outputs[(t * B + b) * S + k] == (t < length ? own_outputs[at * S + k] : 0.0f),
                what + ": an output");
        }
    }
  }
}

}  // namespace

void test_layers() {
  constexpr int kSizes[][2] = {{1, 1}, {5, 33}, {3, 16}};
  for (const Kernels* kernels : versions())
    for (const Options& options : kCells)
      for (const Precision precision : kPrecisions)
        for (const auto& [I, H] : kSizes) check_layer(*kernels, options, precision, I, H);
  for (const Options& options : kCells) {
    check_scan(kernels(), options, 0, 2, 3, 5);
    check_scan(kernels(), options, 2, 0, 3, 5);
    check_scan(kernels(), options, 1, 1, 1, 1);
    check_scan(kernels(), options, 11, 5, 3, 17);
  }
}

}  // namespace throughtime::testing
