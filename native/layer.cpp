#include "layer.h"

#include <algorithm>
#include <cmath>

namespace throughtime {
namespace {

// torch.nn.LayerNorm's.
constexpr double kNormEpsilon = 1e-5;
// Rows that a member works on at once: four gates and the cell's tanh.
constexpr int kRows = 5;

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

int gates_of(const LayerTensors& tensors) {
  switch (tensors.kind) {
    case CellKind::kRnn:
      return 1;
    case CellKind::kGru:
      return 3;
    case CellKind::kLstm:
      return tensors.coupled ? 3 : 4;
  }
  return 0;
}

// Values a row has in the order of torch.nn, brought into a packed order.
Buffer<float> reordered(const float* values, const std::vector<int>& order) {
  Buffer<float> packed(order.size());
  for (std::size_t row = 0; row < order.size(); ++row)
    if (values != nullptr && order[row] >= 0) packed[row] = values[order[row]];
  return packed;
}

std::vector<float> reordered_vector(const float* values, const std::vector<int>& order) {
  if (values == nullptr) return {};
  const Buffer<float> packed = reordered(values, order);
  return {packed.data(), packed.data() + packed.size()};
}

}  // namespace

Layer::Layer(const LayerTensors& tensors, Precision precision, const Kernels& kernels)
    : RecurrentLayer(tensors.input_size, tensors.state_size,
                     tensors.kind == CellKind::kLstm
                         ? std::vector<int>{tensors.state_size, tensors.hidden_size}
                         : std::vector<int>{tensors.state_size}),
      kernels_(kernels),
      kind_(tensors.kind),
      relu_(tensors.relu),
      coupled_(tensors.coupled),
      reset_after_(tensors.reset_after),
      keep_hidden_(tensors.keep_hidden),
      keep_cell_(tensors.keep_cell),
      hidden_size_(tensors.hidden_size),
      state_size_(tensors.state_size),
      gates_(gates_of(tensors)) {
  const bool plain = kind_ == CellKind::kRnn;
  const std::vector<int> order = plain ? plain_rows(hidden_size_) : interleaved_rows(gates_, hidden_size_);
  const int vectors = plain ? kPlainVectors : gates_;
  padded_hidden_ = round_up(hidden_size_, plain ? kPlainVectors * kLanes : kLanes);
  padded_state_ =
      tensors.weight_hr != nullptr ? round_up(state_size_, kPlainVectors * kLanes) : padded_hidden_;
  input_ = PackedMatrix(tensors.weight_ih, input_size(), order, vectors, precision);
  start_bias_ = reordered(tensors.bias_ih, order);
  recurrent_bias_ = reordered(tensors.bias_hh, order);
  if (kind_ != CellKind::kGru)
    for (std::size_t row = 0; row < order.size(); ++row) start_bias_[row] += recurrent_bias_[row];
  if (kind_ == CellKind::kGru && !reset_after_) {
    // The candidate's product waits for the reset gate, so it is a matrix of its own.
    recurrent_ =
        PackedMatrix(tensors.weight_hh, state_size_, interleaved_rows(2, hidden_size_), 2, precision);
    candidate_ = PackedMatrix(tensors.weight_hh + static_cast<std::size_t>(2) * hidden_size_ * state_size_,
                              state_size_, plain_rows(hidden_size_), kPlainVectors, precision);
  } else {
    recurrent_ = PackedMatrix(tensors.weight_hh, state_size_, order, vectors, precision);
  }
  if (tensors.weight_hr != nullptr)
    projection_ =
        PackedMatrix(tensors.weight_hr, hidden_size_, plain_rows(state_size_), kPlainVectors, precision);
  if (tensors.weight_peephole != nullptr)
    peephole_ = reordered(tensors.weight_peephole, interleaved_rows(gates_ - 1, hidden_size_));
  norm_ih_ = reordered_vector(tensors.norm_ih, order);
  norm_hh_ = reordered_vector(tensors.norm_hh, order);
  if (tensors.norm_cell != nullptr) {
    norm_cell_.assign(tensors.norm_cell, tensors.norm_cell + hidden_size_);
    norm_cell_bias_.assign(tensors.norm_cell_bias, tensors.norm_cell_bias + hidden_size_);
  }
}

std::size_t Layer::weight_bytes(bool with_input) const {
  return (with_input ? input_.bytes() : 0) + recurrent_.bytes() + candidate_.bytes() + projection_.bytes();
}

void Layer::reserve(Room& room, std::size_t slots, std::size_t rows, int members) const {
  auto& workspace = static_cast<Workspace&>(room);
  const std::size_t gate_floats = projected_floats();
  const std::size_t places = Readying::places(slots, members);
  workspace.x.reserve(input_.view(), std::max(places, rows));
  workspace.h.reserve(recurrent_.view(), places);
  workspace.raw.reserve(slots * std::max(gate_floats, static_cast<std::size_t>(padded_hidden_)));
  if (projection_.bytes() > 0) workspace.inner.reserve(projection_.view(), slots);
  if (candidate_.bytes() > 0) workspace.inner.reserve(candidate_.view(), slots);
  workspace.inner_raw.reserve(slots *
                              static_cast<std::size_t>(std::max(projection_.rows(), candidate_.rows())));
  // The rows that `step_normalised` and `step_reset_before` work on.
  if (!norm_ih_.empty() || candidate_.bytes() > 0)
    workspace.rows.reserve(static_cast<std::size_t>(members) * kRows * padded_hidden_);
  if (workspace.outputs.size() < places) {
    workspace.outputs.resize(places);
    workspace.starts.resize(places);
  }
}

void Layer::add_bias(float* row) const {
  for (std::size_t k = 0; k < start_bias_.size(); ++k) row[k] += start_bias_[k];
}

// Over the gates of all units; rows that fill up stay 0, as their gain is.
void Layer::normalise(float* row, const std::vector<float>& gain) const {
  const std::size_t padded = gain.size();
  const double count = static_cast<double>(gates_) * hidden_size_;
  double sum = 0;
  for (std::size_t k = 0; k < padded; ++k) sum += row[k];
  const double mean = sum / count;
  double squares = 0;
  for (int gate = 0; gate < gates_; ++gate)
    for (int unit = 0; unit < hidden_size_; ++unit) {
      const double apart = row[place(gate, unit)] - mean;
      squares += apart * apart;
    }
  const double inverse = 1.0 / std::sqrt(squares / count + kNormEpsilon);
  for (std::size_t k = 0; k < padded; ++k) row[k] = static_cast<float>((row[k] - mean) * inverse) * gain[k];
}

void Layer::project(const Member& member, Room& room, std::size_t rows, const float* const* x,
                    float* projected) const {
  auto& workspace = static_cast<Workspace&>(room);
  const PackedView& weights = input_.view();
  const PreparedView prepared = workspace.x.view(weights);
  const auto stride = projected_floats();
  const bool normalised = !norm_ih_.empty();
  for (std::size_t row = member.begin(rows); row < member.end(rows); ++row) {
    kernels_.prepare(weights.precision, x[row], input_size(), prepared.lanes + row * prepared.stride,
                     weights.groups, prepared.scales + row);
    float* target = projected + row * stride;
    if (normalised)
      std::fill(target, target + stride, 0.0f);
    else
      std::copy(start_bias_.data(), start_bias_.data() + stride, target);
  }
  member.barrier();
  const auto blocks = static_cast<std::size_t>(weights.blocks);
  kernels_.accumulate(weights, prepared, static_cast<int>(rows), static_cast<int>(member.begin(blocks)),
                      static_cast<int>(member.end(blocks)), projected, stride);
  member.barrier();
  if (!normalised) return;
  for (std::size_t row = member.begin(rows); row < member.end(rows); ++row) {
    normalise(projected + row * stride, norm_ih_);
    add_bias(projected + row * stride);
  }
  member.barrier();
}

void Layer::project_one_hot(int column, const float* weight_ih, float* projected) const {
  std::fill(projected, projected + projected_floats(), 0.0f);
  for (int gate = 0; gate < gates_; ++gate)
    for (int unit = 0; unit < hidden_size_; ++unit) {
      const std::size_t row = kind_ == CellKind::kRnn ? static_cast<std::size_t>(unit) : place(gate, unit);
      projected[row] =
          weight_ih[(static_cast<std::size_t>(gate) * hidden_size_ + unit) * input_size() + column];
    }
  if (!norm_ih_.empty()) normalise(projected, norm_ih_);
  add_bias(projected);
}

void Layer::ready(const Member& member, Room& room, std::size_t n, float* const* states) const {
  auto& workspace = static_cast<Workspace&>(room);
  float* const* hidden = states;
  const PackedView& recurrent = recurrent_.view();
  const Readying mine(member, n);
  const PreparedView h = workspace.h.view(recurrent, mine.place);
  for (std::size_t slot = mine.begin; slot < mine.end; ++slot) {
    kernels_.prepare(recurrent.precision, hidden[slot], state_size_, h.lanes + slot * h.stride,
                     recurrent.groups, h.scales + slot);
    workspace.starts[mine.place + slot] = start_bias_.data();
    workspace.outputs[mine.place + slot] =
        projection_.bytes() > 0 ? workspace.raw.data() + slot * static_cast<std::size_t>(padded_hidden_)
                                : hidden[slot];
  }
}

void Layer::step(const Member& member, Room& room, std::size_t n, const float* const* start,
                 const float* const* x, float* const* states) const {
  auto& workspace = static_cast<Workspace&>(room);
  float* const* hidden = states;
  float* const* cell = state_sizes().size() > 1 ? states + n : nullptr;
  const PackedView& recurrent = recurrent_.view();
  const Readying mine(member, n);
  const PreparedView h = workspace.h.view(recurrent, mine.place);
  const PreparedView prepared_x = workspace.x.view(input_.view(), mine.place);
  float** outputs = workspace.outputs.data() + mine.place;
  if (x != nullptr) {
    for (std::size_t slot = mine.begin; slot < mine.end; ++slot)
      kernels_.prepare(recurrent.precision, x[slot], input_size(),
                       prepared_x.lanes + slot * prepared_x.stride, input_.view().groups,
                       prepared_x.scales + slot);
    if (!mine.apart) member.barrier();
  }
  if (!norm_ih_.empty()) return step_normalised(member, workspace, n, start, h, hidden, cell, outputs);
  if (candidate_.bytes() > 0) return step_reset_before(member, workspace, n, start, h, hidden);
  const bool projects = projection_.bytes() > 0;
  const CellStep step{.kind = kind_,
                      .relu = relu_,
                      .coupled = coupled_,
                      .keeps_hidden = keep_hidden_ > 0 && !projects,
                      .keep_hidden = keep_hidden_,
                      .keep_cell = keep_cell_,
                      .input = x != nullptr ? &input_.view() : nullptr,
                      .recurrent = &recurrent,
                      .x = prepared_x,
                      .h = h,
                      .start = x != nullptr ? workspace.starts.data() + mine.place : start,
                      .recurrent_bias = recurrent_bias_.data(),
                      .peephole = peephole_.data(),
                      .hidden = hidden,
                      .cell = cell,
                      .output = outputs};
  const auto blocks = static_cast<std::size_t>(recurrent.blocks);
  kernels_.step_cell(step, static_cast<int>(n), static_cast<int>(member.begin(blocks)),
                     static_cast<int>(member.end(blocks)));
  member.barrier();
  if (projects) finish_projection(member, workspace, n, outputs, hidden);
}

// h = W_hr (o * tanh(c)), from `outputs` into the hidden states.
void Layer::finish_projection(const Member& member, Workspace& workspace, std::size_t n,
                              float* const* outputs, float* const* hidden) const {
  const PackedView& weights = projection_.view();
  const PreparedView inner = workspace.inner.view(weights);
  const auto stride = static_cast<std::size_t>(padded_state_);
  float* product = workspace.inner_raw.data();
  for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot) {
    kernels_.prepare(weights.precision, outputs[slot], hidden_size_, inner.lanes + slot * inner.stride,
                     weights.groups, inner.scales + slot);
    std::fill(product + slot * stride, product + (slot + 1) * stride, 0.0f);
  }
  member.barrier();
  const auto blocks = static_cast<std::size_t>(weights.blocks);
  kernels_.accumulate(weights, inner, static_cast<int>(n), static_cast<int>(member.begin(blocks)),
                      static_cast<int>(member.end(blocks)), product, stride);
  member.barrier();
  for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot)
    for (int unit = 0; unit < state_size_; ++unit) {
      const float next = product[slot * stride + unit];
      hidden[slot][unit] = next + keep_hidden_ * (hidden[slot][unit] - next);
    }
  member.barrier();
}

void Layer::step_normalised(const Member& member, Workspace& workspace, std::size_t n,
                            const float* const* start, const PreparedView& h, float* const* hidden,
                            float* const* cell, float** outputs) const {
  const PackedView& recurrent = recurrent_.view();
  const auto stride = projected_floats();
  float* raw = workspace.raw.data();
  for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot)
    std::fill(raw + slot * stride, raw + (slot + 1) * stride, 0.0f);
  member.barrier();
  const auto blocks = static_cast<std::size_t>(recurrent.blocks);
  kernels_.accumulate(recurrent, h, static_cast<int>(n), static_cast<int>(member.begin(blocks)),
                      static_cast<int>(member.end(blocks)), raw, stride);
  member.barrier();
  const auto H = static_cast<std::size_t>(padded_hidden_);
  const bool projects = projection_.bytes() > 0;
  float* i = workspace.rows.data() + static_cast<std::size_t>(member.index) * kRows * H;
  float *f = i + H, *g = f + H, *o = g + H, *t = o + H;
  for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot) {
    float* gates = raw + slot * stride;
    normalise(gates, norm_hh_);
    float* c = cell[slot];
    for (int unit = 0; unit < hidden_size_; ++unit) {
      const auto value = [&](int gate) { return start[slot][place(gate, unit)] + gates[place(gate, unit)]; };
      const auto peephole = [&](int gate) {
        return peephole_.size()
                   ? peephole_[(static_cast<std::size_t>(unit / kLanes) * (gates_ - 1) + gate) * kLanes +
                               unit % kLanes]
                   : 0.0f;
      };
      i[unit] = value(0) + peephole(0) * c[unit];
      if (!coupled_) f[unit] = value(1) + peephole(1) * c[unit];
      g[unit] = value(gates_ - 2);
      o[unit] = value(gates_ - 1);
    }
    kernels_.sigmoid(i, H);
    kernels_.sigmoid(f, H);
    kernels_.tanh(g, H);
    double sum = 0;
    for (int unit = 0; unit < hidden_size_; ++unit) {
      const float forget = coupled_ ? 1.0f - i[unit] : f[unit];
      t[unit] = forget * c[unit] + i[unit] * g[unit];
      if (peephole_.size())
        o[unit] += peephole_[(static_cast<std::size_t>(unit / kLanes) * (gates_ - 1) + gates_ - 2) * kLanes +
                             unit % kLanes] *
                   t[unit];
      sum += t[unit];
    }
    const double mean = sum / hidden_size_;
    double squares = 0;
    for (int unit = 0; unit < hidden_size_; ++unit) squares += (t[unit] - mean) * (t[unit] - mean);
    const double inverse = 1.0 / std::sqrt(squares / hidden_size_ + kNormEpsilon);
    for (int unit = 0; unit < hidden_size_; ++unit) {
      const float next = t[unit];
      t[unit] = static_cast<float>((next - mean) * inverse) * norm_cell_[unit] + norm_cell_bias_[unit];
      c[unit] = next + keep_cell_ * (c[unit] - next);
    }
    kernels_.sigmoid(o, H);
    kernels_.tanh(t, H);
    // `gates` has been read; the raw buffer's beginning of this slot takes what the projection reads.
    float* output = projects ? gates : hidden[slot];
    outputs[slot] = output;
    for (int unit = 0; unit < hidden_size_; ++unit) {
      const float next = o[unit] * t[unit];
      output[unit] = projects ? next : next + keep_hidden_ * (output[unit] - next);
    }
  }
  member.barrier();
  if (projects) finish_projection(member, workspace, n, outputs, hidden);
}

void Layer::step_reset_before(const Member& member, Workspace& workspace, std::size_t n,
                              const float* const* start, const PreparedView& h, float* const* hidden) const {
  const PackedView& gate_weights = recurrent_.view();
  const PackedView& candidate = candidate_.view();
  const PreparedView reset_h = workspace.inner.view(candidate);
  const auto stride = static_cast<std::size_t>(2 * padded_hidden_);
  const auto H = static_cast<std::size_t>(padded_hidden_),
             plain = static_cast<std::size_t>(candidate_.rows());
  float* raw = workspace.raw.data();
  float* product = workspace.inner_raw.data();
  const auto two = [](int gate, int unit) {
    return static_cast<std::size_t>(unit / kLanes) * 2 * kLanes + gate * kLanes + unit % kLanes;
  };
  for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot) {
    for (int gate = 0; gate < 2; ++gate)
      for (int unit = 0; unit < padded_hidden_; ++unit)
        raw[slot * stride + two(gate, unit)] =
            start[slot][place(gate, unit)] + recurrent_bias_[place(gate, unit)];
    std::fill(product + slot * plain, product + (slot + 1) * plain, 0.0f);
  }
  member.barrier();
  const auto blocks = static_cast<std::size_t>(gate_weights.blocks);
  kernels_.accumulate(gate_weights, h, static_cast<int>(n), static_cast<int>(member.begin(blocks)),
                      static_cast<int>(member.end(blocks)), raw, stride);
  member.barrier();
  float* reset = workspace.rows.data() + static_cast<std::size_t>(member.index) * kRows * H;
  for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot) {
    kernels_.sigmoid(raw + slot * stride, stride);
    for (int unit = 0; unit < hidden_size_; ++unit)
      reset[unit] = raw[slot * stride + two(0, unit)] * hidden[slot][unit];
    kernels_.prepare(candidate.precision, reset, state_size_, reset_h.lanes + slot * reset_h.stride,
                     candidate.groups, reset_h.scales + slot);
  }
  member.barrier();
  const auto candidate_blocks = static_cast<std::size_t>(candidate.blocks);
  kernels_.accumulate(candidate, reset_h, static_cast<int>(n),
                      static_cast<int>(member.begin(candidate_blocks)),
                      static_cast<int>(member.end(candidate_blocks)), product, plain);
  member.barrier();
  for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot) {
    float* next = product + slot * plain;
    for (int unit = 0; unit < hidden_size_; ++unit)
      next[unit] += start[slot][place(2, unit)] + recurrent_bias_[place(2, unit)];
    kernels_.tanh(next, plain);
    for (int unit = 0; unit < hidden_size_; ++unit) {
      const float old = hidden[slot][unit], z = raw[slot * stride + two(1, unit)];
      const float mixed = next[unit] + z * (old - next[unit]);
      hidden[slot][unit] = mixed + keep_hidden_ * (old - mixed);
    }
  }
  member.barrier();
}

}  // namespace throughtime
