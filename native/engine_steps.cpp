// An engine's steps: what a batch of slots goes through for each token.
#include <algorithm>

#include "engine_batch.h"

namespace throughtime {

Engine::Batch Engine::begin(const std::vector<Slot*>& slots, std::size_t rows) {
  Batch batch;
  batch.n = slots.size();
  for (std::size_t layer = 0; layer < model_->layers.size(); ++layer) {
    batch.states.emplace_back();
    batch.states.back().reserve(slots.size() * model_->state_at[layer].size());
    for (const std::size_t at : model_->state_at[layer])
      for (Slot* slot : slots) batch.states.back().push_back(slot->state.data() + at);
    model_->layers[layer]->reserve(*rooms_[layer], batch.n, rows, threads(batch.n));
  }
  batch.logits.reserve(slots.size());
  for (Slot* slot : slots) batch.logits.push_back(slot->logits.data());
  const std::size_t places = Readying::places(rows, threads(batch.n));
  batch.starts.resize(places);
  batch.inputs.resize(places);
  batch.tops.resize(places);
  prepared_top_.reserve(model_->output.view(), places);
  head_.reserve(rows * static_cast<std::size_t>(model_->output.rows()));
  std::size_t widest = 0, top = 0;
  for (const auto& layer : model_->layers) {
    widest = std::max(widest, layer->projected_floats());
    top = std::max(top, RecurrentLayer::padded(layer->output_size()));
  }
  projected_.reserve(rows * widest);
  tops_.reserve(rows * top);
  return batch;
}

// Logits of n tops (rows of the last layer's output). Each member leaves with its share of them in place.
void Engine::logits(const Member& member, std::size_t n, const float* const* tops, float* const* out) {
  const PackedView& weights = model_->output.view();
  const Readying mine(member, n);
  const PreparedView prepared = prepared_top_.view(weights, mine.place);
  const auto stride = static_cast<std::size_t>(model_->output.rows());
  for (std::size_t row = mine.begin; row < mine.end; ++row)
    model_->kernels.prepare(weights.precision, tops[row], model_->output.columns(),
                            prepared.lanes + row * prepared.stride, weights.groups, prepared.scales + row);
  if (!mine.apart) member.barrier();
  const auto blocks = static_cast<std::size_t>(weights.blocks);
  const std::size_t first = member.begin(blocks), last = member.end(blocks);
  constexpr std::size_t kBlockRows = kPlainVectors * kLanes;
  for (std::size_t row = 0; row < n; ++row)
    std::copy(model_->output_bias.data() + first * kBlockRows, model_->output_bias.data() + last * kBlockRows,
              head_.data() + row * stride + first * kBlockRows);
  model_->kernels.accumulate(weights, prepared, static_cast<int>(n), static_cast<int>(first),
                             static_cast<int>(last), head_.data(), stride);
  member.barrier();
  for (std::size_t row = member.begin(n); row < member.end(n); ++row)
    std::copy_n(head_.data() + row * stride, model_->vocabulary_size, out[row]);
}

// Before `step`, with a barrier between.
void Engine::ready(const Member& member, Batch& batch) {
  for (std::size_t layer = 0; layer < model_->layers.size(); ++layer)
    model_->layers[layer]->ready(member, *rooms_[layer], batch.n, batch.states[layer].data());
}

// One token for each slot, up to the last layer's output.
void Engine::step(const Member& member, Batch& batch, const std::int64_t* tokens) {
  const std::size_t n = batch.n, rows = model_->layers.front()->projected_floats(),
                    width = RecurrentLayer::padded(model_->embedding_size);
  const bool table = model_->has_table();
  const Readying mine(member, n);
  const float** my_starts = batch.starts.data() + mine.place;
  const float** my_inputs = batch.inputs.data() + mine.place;
  for (std::size_t slot = mine.begin; slot < mine.end; ++slot) {
    const auto token = static_cast<std::size_t>(tokens[slot]);
    if (table)
      my_starts[slot] = model_->token_rows.data() + token * rows;
    else
      my_inputs[slot] = model_->embedding.data() + token * width;
  }
  if (!mine.apart) member.barrier();
  for (std::size_t layer = 0; layer < model_->layers.size(); ++layer) {
    const RecurrentLayer& current = *model_->layers[layer];
    RecurrentLayer::Room& room = *rooms_[layer];
    float* const* states = batch.states[layer].data();
    const float* const* starts = layer == 0 && table ? my_starts : nullptr;
    if (starts == nullptr && current.needs_projection()) {
      const std::size_t stride = current.projected_floats();
      current.project(member, room, n, my_inputs, projected_.data());
      for (std::size_t slot = mine.begin; slot < mine.end; ++slot)
        my_starts[slot] = projected_.data() + slot * stride;
      if (!mine.apart) member.barrier();
      starts = my_starts;
    }
    current.step(member, room, n, starts, starts == nullptr ? my_inputs : nullptr, states);
    const float** outputs = layer + 1 < model_->layers.size() ? my_inputs : batch.tops.data() + mine.place;
    for (std::size_t slot = mine.begin; slot < mine.end; ++slot)
      outputs[slot] = current.output(member, room, n, slot, states);
  }
}

// The tokens [first, first + T) of each slot's text, layer by layer: the inputs' products of all steps at
// once. The outputs of the last layer are left in `tops_`.
void Engine::read_piece(const Member& member, Batch& batch, const std::int64_t* const* texts,
                        std::size_t first, std::size_t T) {
  const std::size_t n = batch.n, all = T * n;
  const bool table = model_->has_table();
  for (std::size_t layer = 0; layer < model_->layers.size(); ++layer) {
    const RecurrentLayer& current = *model_->layers[layer];
    RecurrentLayer::Room& room = *rooms_[layer];
    float* const* states = batch.states[layer].data();
    const std::size_t rows = current.projected_floats(), below = RecurrentLayer::padded(current.input_size()),
                      width = RecurrentLayer::padded(current.output_size());
    for (std::size_t row = member.begin(all); row < member.end(all); ++row) {
      const auto token = static_cast<std::size_t>(texts[row % n][first + row / n]);
      if (layer > 0)
        batch.inputs[row] = tops_.data() + row * below;
      else if (!table)
        batch.inputs[row] = model_->embedding.data() + token * below;
      batch.starts[row] =
          layer == 0 && table ? model_->token_rows.data() + token * rows : projected_.data() + row * rows;
    }
    member.barrier();
    if (layer > 0 || !table) current.project(member, room, all, batch.inputs.data(), projected_.data());
    for (std::size_t t = 0; t < T; ++t) {
      current.ready(member, room, n, states);
      member.barrier();
      current.step(member, room, n, batch.starts.data() + t * n, nullptr, states);
      // The inputs of these steps have gone into `projected`, so their place is free.
      for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot)
        std::copy_n(current.output(member, room, n, slot, states), current.output_size(),
                    tops_.data() + (t * n + slot) * width);
    }
    member.barrier();
  }
}

}  // namespace throughtime
