// A language model that holds many independent states and advances any of them as one batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "layer.h"
#include "sampler.h"

namespace throughtime {

struct EngineTensors {
  int vocabulary_size = 0;
  int embedding_size = 0;            // 0: one-hot input
  const float* embedding = nullptr;  // (V, E)
  std::vector<LayerTensors> layers;
  const float* output_weight = nullptr;  // (V, S of the last layer)
  const float* output_bias = nullptr;
  // What a new slot's state is, for each layer its h and its c; null is zero.
  std::vector<const float*> initial_hidden, initial_cell;
};

struct GenerateOptions {
  SamplingOptions sampling;
  float repetition_penalty = 1.0f;
};

class Engine {
 public:
  // threads: 0 measures what is fastest here, for one slot and for many.
  Engine(const EngineTensors& tensors, Precision precision, int threads, const Kernels& kernels);

  int vocabulary_size() const { return vocabulary_size_; }
  std::size_t state_size() const { return state_size_; }  // floats of a slot's state without padding
  std::size_t weight_bytes() const;                       // what a step of one slot reads
  const char* isa() const { return kernels_.name; }
  // The threads that a step of so many slots uses.
  int threads(std::size_t slots) const { return slots >= kManySlots ? threads_many_ : threads_alone_; }

  // A new state, as before the first token; its logits are those of nothing read: zeros.
  std::int64_t open();
  void close(std::int64_t slot);
  void copy(std::int64_t from, std::int64_t to);

  // The state: for each layer its h, then its c where it has one.
  void get_state(std::int64_t slot, float* state) const;
  void set_state(std::int64_t slot, const float* state);
  void get_logits(std::int64_t slot, float* logits) const;
  void set_logits(std::int64_t slot, const float* logits);

  // Reads tokens (n, T) for n different slots. logits: (n, V) of the last, or (n, T, V) where `all`; null
  // where nobody wants them.
  void read(const std::vector<std::int64_t>& slots, const std::int64_t* tokens, std::size_t steps, bool all,
            float* logits);

  // Draws from each slot's logits and reads what was drawn, `steps` times.
  //   uniforms  (steps, n) in [0, 1)
  //   seen      (n, V) bytes that mark tokens for the repetition penalty, updated; null without one
  //   tokens    (steps, n), written
  void generate(const std::vector<std::int64_t>& slots, std::size_t steps, const double* uniforms,
                const GenerateOptions& options, std::uint8_t* seen, std::int64_t* tokens);

 private:
  static constexpr std::size_t kManySlots = 4;

  struct Slot {
    Buffer<float> memory;  // for each layer h and c, padded; then the logits
    bool open = false;
  };
  struct Batch;

  Slot& slot_at(std::int64_t slot);
  const Slot& slot_at(std::int64_t slot) const;
  std::vector<Slot*> distinct(const std::vector<std::int64_t>& slots);
  void check_tokens(const std::int64_t* tokens, std::size_t n) const;
  Batch begin(const std::vector<Slot*>& slots, std::size_t rows);
  void ready(const Member& member, Batch& batch);
  void step(const Member& member, Batch& batch, const std::int64_t* tokens);
  void read_piece(const Member& member, Batch& batch, const std::int64_t* tokens, std::size_t stride,
                  std::size_t T);
  void logits(const Member& member, std::size_t n, const float* const* tops, float* const* out);
  void measure_threads();

  const Kernels& kernels_;
  int vocabulary_size_, embedding_size_;
  std::vector<Layer> layers_;
  PackedMatrix output_;
  Buffer<float> output_bias_;
  Buffer<float> token_rows_;  // (V, gate rows): the first layer's share of each token, where that is small
  Buffer<float> embedding_;   // (V, E), where it is not
  std::vector<std::size_t> hidden_at_, cell_at_;  // of each layer in a slot's memory
  std::size_t logits_at_ = 0, slot_floats_ = 0, state_size_ = 0;
  Buffer<float> initial_;
  int threads_alone_ = 1, threads_many_ = 1;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::int64_t> free_;
  std::vector<Workspace> workspaces_;  // one a layer
  Prepared prepared_top_;
  Buffer<float> head_, projected_, tops_;
};

}  // namespace throughtime
