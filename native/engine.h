// A language model that holds many independent states and advances any of them as one batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "layer.h"
#include "sampler.h"
#include "turn.h"

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

// Calls from several threads take turns. A call that throws has changed nothing: neither a slot, nor what it
// was given to write on but `logits`. Each call can be given up while it waits for its turn, `read` and
// `generate` also between the steps.
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

  // New states, as before the first token; their logits are those of nothing read: zeros.
  std::vector<std::int64_t> open(std::size_t count, const GivesUp& gives_up = {});
  // Gives slots back. Their numbers never come again.
  void close(const std::vector<std::int64_t>& slots, const GivesUp& gives_up = {});
  // Copies of states, with their logits, in new slots.
  std::vector<std::int64_t> fork(const std::vector<std::int64_t>& slots, const GivesUp& gives_up = {});

  // The states (n, state_size): for each layer its h, then its c where it has one.
  void get_states(const std::vector<std::int64_t>& slots, float* states, const GivesUp& gives_up = {}) const;
  void set_states(const std::vector<std::int64_t>& slots, const float* states, const GivesUp& gives_up = {});
  // The logits (n, V).
  void get_logits(const std::vector<std::int64_t>& slots, float* logits, const GivesUp& gives_up = {}) const;
  void set_logits(const std::vector<std::int64_t>& slots, const float* logits, const GivesUp& gives_up = {});

  // Reads tokens (n, T) for n different slots. logits: (n, V) of the last, or (n, T, V) where `all`; null
  // where nobody wants them.
  void read(const std::vector<std::int64_t>& slots, const std::int64_t* tokens, std::size_t steps, bool all,
            float* logits, const GivesUp& gives_up = {});

  // Draws from each slot's logits and reads what was drawn, `steps` times.
  //   uniforms  (steps, n) in [0, 1)
  //   seen      (n, V) bytes that mark tokens for the repetition penalty, updated; null without one
  //   tokens    (steps, n), written; -1 where the call throws after it had its turn
  void generate(const std::vector<std::int64_t>& slots, std::size_t steps, const double* uniforms,
                const GenerateOptions& options, std::uint8_t* seen, std::int64_t* tokens,
                const GivesUp& gives_up = {});

 private:
  static constexpr std::size_t kManySlots = 4;

  struct Slot {
    Buffer<float> memory;         // for each layer h and c, padded; then the logits
    std::int64_t generation = 0;  // how often the place has been closed
    bool open = false;
  };
  struct Batch;

  std::vector<std::int64_t> open_slots(std::size_t count);
  Slot& slot_at(std::int64_t slot) const;
  std::vector<Slot*> found(const std::vector<std::int64_t>& slots) const;
  std::vector<Slot*> distinct(const std::vector<std::int64_t>& slots) const;
  // What slots hold before a call, and back again after one that did not come to its end.
  void keep(const std::vector<Slot*>& slots);
  void put_back(const std::vector<Slot*>& slots);
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
  mutable Turns turns_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<std::size_t> free_;      // places without a stream
  std::vector<Workspace> workspaces_;  // one a layer
  Prepared prepared_top_;
  Buffer<float> head_, projected_, tops_, kept_;
};

}  // namespace throughtime
