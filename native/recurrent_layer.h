// A recurrent layer in one direction, whatever computes it: what scans and the engine know of one.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels.h"
#include "team.h"

namespace throughtime {

class RecurrentLayer {
 public:
  // What steps need besides their states; one for each call that runs.
  struct Room {
    virtual ~Room() = default;
  };

  RecurrentLayer(int input_size, int output_size, std::vector<int> state_sizes)
      : input_size_(input_size), output_size_(output_size), state_sizes_(std::move(state_sizes)) {}
  virtual ~RecurrentLayer() = default;

  int input_size() const { return input_size_; }
  int output_size() const { return output_size_; }
  // The tensors that the state is made of, the hidden state first.
  const std::vector<int>& state_sizes() const { return state_sizes_; }
  // Floats of an input, an output or a part of a state in memory, the end filled up with anything.
  static std::size_t padded(int size) {
    constexpr std::size_t kRow = 2 * kLanes;
    return (static_cast<std::size_t>(size) + kRow - 1) / kRow * kRow;
  }
  // Floats that `project` writes for one input.
  virtual std::size_t projected_floats() const = 0;
  // Whether a step needs its inputs projected before, by `project`.
  virtual bool needs_projection() const = 0;
  // What a step reads of the weights; the inputs' only where they are not projected before.
  virtual std::size_t weight_bytes(bool with_input = true) const = 0;

  virtual std::unique_ptr<Room> room() const = 0;
  // Room for steps of so many slots and projections of so many rows by so many members of a team.
  virtual void reserve(Room& room, std::size_t slots, std::size_t rows, int members) const = 0;

  // The share of the inputs in a step: projected[row] (projected_floats each) from x[row]
  // (padded(input_size)). All members of the team call it; it ends with a barrier.
  virtual void project(const Member& member, Room& room, std::size_t rows, const float* const* x,
                       float* projected) const = 0;

  // Makes the states of n slots ready for `step`. All members of the team call it, and a barrier has to
  // follow before any state changes.
  //   states  for each part and slot padded(size) floats: states[part * n + slot]
  virtual void ready(const Member& member, Room& room, std::size_t n, float* const* states) const = 0;

  // One step of n slots, in place, after `ready` and a barrier. All members of the team call it; it ends with
  // a barrier.
  //   start  for each slot a row of `project`, or null: then x holds the inputs
  virtual void step(const Member& member, Room& room, std::size_t n, const float* const* start,
                    const float* const* x, float* const* states) const = 0;

  // Where the output of a slot lies after a step of n slots, for the member that asks: in its state, or in
  // the room until the next step.
  virtual const float* output(const Member& member, const Room& room, std::size_t n, std::size_t slot,
                              float* const* states) const = 0;

  // The part of the state that `output` lies in, from its element `output_offset` on; -1 where it lies
  // elsewhere. What lies in the state after a step can be found there later.
  virtual int output_part() const = 0;
  virtual std::size_t output_offset() const { return 0; }

 private:
  int input_size_, output_size_;
  std::vector<int> state_sizes_;
};

}  // namespace throughtime
