#include "engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>

namespace throughtime {
namespace {

// Sequences are read in pieces: the pre-activations of a piece, and its logits, should stay in the cache.
constexpr std::size_t kPiece = 32;

}  // namespace

// The states that one call advances, as the layers want them.
struct Engine::Batch {
  std::size_t n = 0;
  std::vector<std::vector<float*>> hidden, cell;  // for each layer, each slot
  std::vector<float*> logits;
  std::vector<const float*> starts, inputs;
};

Engine::Engine(const EngineTensors& tensors, Precision precision, int threads, const Kernels& kernels)
    : kernels_(kernels), vocabulary_size_(tensors.vocabulary_size), embedding_size_(tensors.embedding_size) {
  layers_.reserve(tensors.layers.size());
  for (const LayerTensors& layer : tensors.layers) layers_.emplace_back(layer, precision, kernels);
  workspaces_.resize(layers_.size());
  const Layer& first = layers_.front();
  const Layer& last = layers_.back();
  const auto V = static_cast<std::size_t>(vocabulary_size_), E = static_cast<std::size_t>(embedding_size_);
  const auto rows = static_cast<std::size_t>(first.gate_rows());
  const std::vector<int> order = plain_rows(vocabulary_size_);
  output_ = PackedMatrix(tensors.output_weight, last.state_size(), order, kPlainVectors, precision);
  output_bias_ = Buffer<float>(order.size());
  if (tensors.output_bias != nullptr) std::copy_n(tensors.output_bias, V, output_bias_.data());

  // The first layer's share of a token depends on the token alone, so it is a table wherever that takes no
  // more memory than the embeddings and the matrix that it stands for.
  if (E == 0) {
    token_rows_ = Buffer<float>(V * rows);
    for (int token = 0; token < vocabulary_size_; ++token)
      first.project_one_hot(token, tensors.layers.front().weight_ih,
                            token_rows_.data() + static_cast<std::size_t>(token) * rows);
  } else if (V * rows <= (V + rows) * E) {
    token_rows_ = Buffer<float>(V * rows);
    LayerTensors exact = tensors.layers.front();
    const Layer projecting(exact, Precision::kFloat32, kernels);
    Workspace workspace;
    std::vector<const float*> inputs(V);
    for (std::size_t token = 0; token < V; ++token) inputs[token] = tensors.embedding + token * E;
    projecting.reserve(workspace, 1, V, 1);
    run_team(1, [&](const Member& member) {
      projecting.project(member, workspace, V, inputs.data(), token_rows_.data());
    });
  } else {
    embedding_ = Buffer<float>(V * E);
    std::copy_n(tensors.embedding, V * E, embedding_.data());
  }

  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    hidden_at_.push_back(slot_floats_);
    slot_floats_ += static_cast<std::size_t>(layers_[layer].padded_state());
    cell_at_.push_back(slot_floats_);
    state_size_ += static_cast<std::size_t>(layers_[layer].state_size());
    if (layers_[layer].has_cell_state()) {
      slot_floats_ += static_cast<std::size_t>(layers_[layer].padded_hidden());
      state_size_ += static_cast<std::size_t>(layers_[layer].hidden_size());
    }
  }
  logits_at_ = slot_floats_;
  slot_floats_ += V;
  initial_ = Buffer<float>(slot_floats_);
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    if (layer < tensors.initial_hidden.size() && tensors.initial_hidden[layer] != nullptr)
      std::copy_n(tensors.initial_hidden[layer], layers_[layer].state_size(),
                  initial_.data() + hidden_at_[layer]);
    if (layer < tensors.initial_cell.size() && tensors.initial_cell[layer] != nullptr)
      std::copy_n(tensors.initial_cell[layer], layers_[layer].hidden_size(),
                  initial_.data() + cell_at_[layer]);
  }
  if (threads > 0)
    threads_alone_ = threads_many_ = std::min(threads, kMostThreads);
  else
    measure_threads();
}

std::size_t Engine::weight_bytes() const {
  std::size_t bytes = output_.bytes();
  for (std::size_t layer = 0; layer < layers_.size(); ++layer)
    bytes += layers_[layer].weight_bytes(layer > 0 || token_rows_.size() == 0);
  return bytes;
}

void Engine::check_tokens(const std::int64_t* tokens, std::size_t n) const {
  for (std::size_t k = 0; k < n; ++k)
    if (tokens[k] < 0 || tokens[k] >= vocabulary_size_)
      throw std::invalid_argument("token " + std::to_string(tokens[k]) + " lies outside the vocabulary of " +
                                  std::to_string(vocabulary_size_) + " tokens");
}

Engine::Batch Engine::begin(const std::vector<Slot*>& slots, std::size_t rows) {
  Batch batch;
  batch.n = slots.size();
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    batch.hidden.emplace_back();
    batch.cell.emplace_back();
    for (Slot* slot : slots) {
      batch.hidden.back().push_back(slot->memory.data() + hidden_at_[layer]);
      batch.cell.back().push_back(slot->memory.data() + cell_at_[layer]);
    }
    layers_[layer].reserve(workspaces_[layer], batch.n, rows, threads(batch.n));
  }
  for (Slot* slot : slots) batch.logits.push_back(slot->memory.data() + logits_at_);
  const std::size_t places = Readying::places(rows, threads(batch.n));
  batch.starts.resize(places);
  batch.inputs.resize(places);
  prepared_top_.reserve(output_.view(), places);
  head_.reserve(rows * static_cast<std::size_t>(output_.rows()));
  std::size_t widest = 0, top = 0;
  for (const Layer& layer : layers_) {
    widest = std::max(widest, static_cast<std::size_t>(layer.gate_rows()));
    top = std::max(top, static_cast<std::size_t>(layer.padded_state()));
  }
  projected_.reserve(rows * widest);
  tops_.reserve(rows * top);
  return batch;
}

// Logits of n tops (rows of the last layer's output). Each member leaves with its share of them in place.
void Engine::logits(const Member& member, std::size_t n, const float* const* tops, float* const* out) {
  const PackedView& weights = output_.view();
  const Readying mine(member, n);
  const PreparedView prepared = prepared_top_.view(weights, mine.place);
  const auto stride = static_cast<std::size_t>(output_.rows());
  for (std::size_t row = mine.begin; row < mine.end; ++row)
    kernels_.prepare(weights.precision, tops[row], output_.columns(), prepared.lanes + row * prepared.stride,
                     weights.groups, prepared.scales + row);
  if (!mine.apart) member.barrier();
  const auto blocks = static_cast<std::size_t>(weights.blocks);
  const std::size_t first = member.begin(blocks), last = member.end(blocks);
  constexpr std::size_t kBlockRows = kPlainVectors * kLanes;
  for (std::size_t row = 0; row < n; ++row)
    std::copy(output_bias_.data() + first * kBlockRows, output_bias_.data() + last * kBlockRows,
              head_.data() + row * stride + first * kBlockRows);
  kernels_.accumulate(weights, prepared, static_cast<int>(n), static_cast<int>(first), static_cast<int>(last),
                      head_.data(), stride);
  member.barrier();
  for (std::size_t row = member.begin(n); row < member.end(n); ++row)
    std::copy_n(head_.data() + row * stride, vocabulary_size_, out[row]);
}

// Before `step`, with a barrier between.
void Engine::ready(const Member& member, Batch& batch) {
  for (std::size_t layer = 0; layer < layers_.size(); ++layer)
    layers_[layer].ready(member, workspaces_[layer], batch.n, batch.hidden[layer].data());
}

// One token for each slot, up to the last layer's hidden state.
void Engine::step(const Member& member, Batch& batch, const std::int64_t* tokens) {
  const std::size_t n = batch.n;
  const auto rows = static_cast<std::size_t>(layers_.front().gate_rows());
  const bool table = token_rows_.size() > 0;
  const Readying mine(member, n);
  const float** my_starts = batch.starts.data() + mine.place;
  const float** my_inputs = batch.inputs.data() + mine.place;
  for (std::size_t slot = mine.begin; slot < mine.end; ++slot) {
    const auto token = static_cast<std::size_t>(tokens[slot]);
    if (table)
      my_starts[slot] = token_rows_.data() + token * rows;
    else
      my_inputs[slot] = embedding_.data() + token * static_cast<std::size_t>(embedding_size_);
  }
  if (!mine.apart) member.barrier();
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const Layer& current = layers_[layer];
    const float* const* inputs =
        layer == 0 ? my_inputs : const_cast<const float* const*>(batch.hidden[layer - 1].data());
    const float* const* starts = layer == 0 && table ? my_starts : nullptr;
    if (starts == nullptr && current.needs_projection()) {
      const auto stride = static_cast<std::size_t>(current.gate_rows());
      current.project(member, workspaces_[layer], n, inputs, projected_.data());
      for (std::size_t slot = mine.begin; slot < mine.end; ++slot)
        my_starts[slot] = projected_.data() + slot * stride;
      if (!mine.apart) member.barrier();
      starts = my_starts;
    }
    current.step(member, workspaces_[layer], n, starts, starts == nullptr ? inputs : nullptr,
                 batch.hidden[layer].data(), batch.cell[layer].data());
  }
}

// A piece of T tokens for each slot, layer by layer: the inputs' products of all steps at once.
void Engine::read_piece(const Member& member, Batch& batch, const std::int64_t* tokens, std::size_t stride,
                        std::size_t T) {
  const std::size_t n = batch.n;
  const bool table = token_rows_.size() > 0;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const Layer& current = layers_[layer];
    const auto rows = static_cast<std::size_t>(current.gate_rows());
    const auto top = static_cast<std::size_t>(layer == 0 ? 0 : layers_[layer - 1].padded_state());
    const auto width = static_cast<std::size_t>(current.padded_state());
    const std::size_t all = T * n;
    for (std::size_t row = member.begin(all); row < member.end(all); ++row) {
      const auto token = static_cast<std::size_t>(tokens[(row % n) * stride + row / n]);
      if (layer > 0)
        batch.inputs[row] = tops_.data() + row * top;
      else if (!table)
        batch.inputs[row] = embedding_.data() + token * static_cast<std::size_t>(embedding_size_);
      batch.starts[row] =
          layer == 0 && table ? token_rows_.data() + token * rows : projected_.data() + row * rows;
    }
    member.barrier();
    if (layer > 0 || !table)
      current.project(member, workspaces_[layer], all, batch.inputs.data(), projected_.data());
    for (std::size_t t = 0; t < T; ++t) {
      current.ready(member, workspaces_[layer], n, batch.hidden[layer].data());
      member.barrier();
      current.step(member, workspaces_[layer], n, batch.starts.data() + t * n, nullptr,
                   batch.hidden[layer].data(), batch.cell[layer].data());
      // The inputs of these steps have gone into `projected`, so their place is free.
      for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot)
        std::copy_n(batch.hidden[layer][slot], width, tops_.data() + (t * n + slot) * width);
    }
    member.barrier();
  }
}

void Engine::read(const std::vector<std::int64_t>& slots, const std::int64_t* tokens, std::size_t steps,
                  bool all, float* logits_out, const GivesUp& gives_up) {
  if (slots.empty() || steps == 0) return;
  if (logits_out == nullptr) all = false;
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> found = distinct(slots);
  check_tokens(tokens, slots.size() * steps);
  const std::size_t n = found.size(), piece = std::min(steps, std::max<std::size_t>(1, kPiece / n)),
                    V = static_cast<std::size_t>(vocabulary_size_);
  Batch batch = begin(found, n * piece);
  const auto width = static_cast<std::size_t>(layers_.back().padded_state());
  std::vector<const float*> tops(n * piece);
  std::vector<float*> outs(n * piece);
  const bool asks = gives_up && steps > piece;
  if (asks) keep(found);
  Question question(gives_up);
  std::atomic<bool> given_up{false};
  run_team(threads(n), [&](const Member& member) {
    for (std::size_t first = 0; first < steps; first += piece) {
      if (asks) {
        // The next piece has barriers of its own, so that no member can ask again before all have seen the
        // answer.
        if (member.index == 0 && question.answer()) given_up.store(true);
        member.barrier();
        if (given_up.load()) return;
      }
      const std::size_t T = std::min(piece, steps - first);
      if (steps == 1) {
        ready(member, batch);
        member.barrier();
        step(member, batch, tokens);
      } else {
        read_piece(member, batch, tokens + first, steps, T);
      }
      if (all && steps > 1) {
        const std::size_t rows = T * n;
        for (std::size_t row = member.begin(rows); row < member.end(rows); ++row) {
          tops[row] = tops_.data() + row * width;
          outs[row] = logits_out + ((row % n) * steps + first + row / n) * V;
        }
        // Where the rows are few, every member makes all of them ready.
        member.barrier();
        logits(member, rows, tops.data(), outs.data());
        member.barrier();
      }
    }
    const float* const* last = const_cast<const float* const*>(batch.hidden.back().data());
    logits(member, n, last, batch.logits.data());
    if (logits_out == nullptr || (all && steps > 1)) return;
    for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot)
      std::copy_n(batch.logits[slot], V, logits_out + slot * V);
  });
  if (!given_up.load()) return;
  put_back(found);
  throw GivenUp();
}

void Engine::generate(const std::vector<std::int64_t>& slots, std::size_t steps, const double* uniforms,
                      const GenerateOptions& options, std::uint8_t* seen, std::int64_t* tokens,
                      const GivesUp& gives_up) {
  if (slots.empty() || steps == 0) return;
  const Turn turn(turns_, gives_up);
  const std::vector<Slot*> found = distinct(slots);
  const std::size_t n = found.size(), V = static_cast<std::size_t>(vocabulary_size_);
  Batch batch = begin(found, n);
  // All that can throw is made before any thread runs: a member that left early would leave the others
  // waiting.
  const auto members = static_cast<std::size_t>(threads(n));
  const bool penalises = options.repetition_penalty != 1.0f;
  std::vector<Sampler> samplers;
  for (std::size_t member = 0; member < members; ++member) samplers.emplace_back(V, options.sampling);
  std::vector<std::vector<float>> rows(members, std::vector<float>(penalises ? V : 0));
  std::vector<std::exception_ptr> failures(members);
  const std::vector<std::uint8_t> seen_before(seen, seen == nullptr ? nullptr : seen + n * V);
  keep(found);
  Question question(gives_up);
  std::atomic<bool> ended{false};
  run_team(static_cast<int>(members), [&](const Member& member) {
    Sampler& sampler = samplers[static_cast<std::size_t>(member.index)];
    std::vector<float>& penalised = rows[static_cast<std::size_t>(member.index)];
    for (std::size_t step_number = 0; step_number < steps; ++step_number) {
      std::int64_t* drawn = tokens + step_number * n;
      if (member.index == 0 && question.answer()) ended.store(true);
      try {
        for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot) {
          const float* row = batch.logits[slot];
          std::uint8_t* marks = seen == nullptr ? nullptr : seen + slot * V;
          if (penalises) {
            for (std::size_t token = 0; token < V; ++token)
              penalised[token] = !marks[token]    ? row[token]
                                 : row[token] > 0 ? row[token] / options.repetition_penalty
                                                  : row[token] * options.repetition_penalty;
            row = penalised.data();
          }
          drawn[slot] = sampler.sample(row, uniforms[step_number * n + slot], slot);
          if (marks != nullptr) marks[drawn[slot]] = 1;
        }
      } catch (...) {
        failures[static_cast<std::size_t>(member.index)] = std::current_exception();
        ended.store(true);
      }
      ready(member, batch);
      member.barrier();
      if (ended.load()) return;
      step(member, batch, drawn);
      logits(member, n, const_cast<const float* const*>(batch.hidden.back().data()), batch.logits.data());
    }
  });
  if (!ended.load()) return;
  put_back(found);
  std::copy(seen_before.begin(), seen_before.end(), seen);
  std::fill_n(tokens, steps * n, -1);
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  throw GivenUp();
}

// What is fastest for one slot and for many, by trying: a small model is done before a second thread has
// woken up, and on a busy machine a barrier can cost more than the work that it parts.
void Engine::measure_threads() {
  constexpr int kRounds = 3;
  constexpr std::size_t kMany = 16;
  constexpr double kEnoughSeconds = 5e-4;
  std::vector<int> counts{1};
  for (int count = 2; count < hardware_threads(); count *= 2) counts.push_back(count);
  if (hardware_threads() > 1) counts.push_back(hardware_threads());
  if (counts.size() == 1) return;
  const std::vector<std::int64_t> slots = open(kMany);
  const std::vector<std::int64_t> tokens(kMany, 0);
  for (const std::size_t n : {std::size_t{1}, kMany}) {
    const std::vector<std::int64_t> some(slots.begin(), slots.begin() + static_cast<std::ptrdiff_t>(n));
    int& chosen = n == 1 ? threads_alone_ : threads_many_;
    double best = std::numeric_limits<double>::infinity();
    int fastest = 1;
    for (const int count : counts) {
      chosen = count;
      read(some, tokens.data(), 1, false, nullptr);
      double least = std::numeric_limits<double>::infinity();
      for (int round = 0; round < kRounds; ++round) {
        const auto begin = std::chrono::steady_clock::now();
        double seconds = 0;
        int steps = 0;
        while (seconds < kEnoughSeconds) {
          read(some, tokens.data(), 1, false, nullptr);
          ++steps;
          seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        }
        least = std::min(least, seconds / steps);
      }
      // A thread more has to be worth its core.
      if (least < 0.9 * best) {
        best = least;
        fastest = count;
      }
    }
    chosen = fastest;
  }
  slots_.clear();
}

}  // namespace throughtime
