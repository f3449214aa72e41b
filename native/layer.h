// One recurrent layer in one direction: any cell of throughtime.cells with all its options, in evaluation.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "packed.h"
#include "team.h"

namespace throughtime {

// A layer's tensors as torch.nn names and stacks them; null where the cell has none. G is the number of
// gates, S the size of the hidden state.
struct LayerTensors {
  CellKind kind = CellKind::kLstm;
  int input_size = 0;
  int hidden_size = 0;
  int state_size = 0;       // S: below hidden_size with a projection
  bool relu = false;        // RNN
  bool coupled = false;     // LSTM with 3 gates
  bool reset_after = true;  // GRU
  float keep_hidden = 0;    // zoneout rates
  float keep_cell = 0;
  const float* weight_ih = nullptr;  // (G * H, I)
  const float* weight_hh = nullptr;  // (G * H, S)
  const float* bias_ih = nullptr;    // (G * H,)
  const float* bias_hh = nullptr;
  const float* weight_hr = nullptr;        // (S, H)
  const float* weight_peephole = nullptr;  // (3 or 2, H)
  const float* norm_ih = nullptr;          // (G * H,)
  const float* norm_hh = nullptr;
  const float* norm_cell = nullptr;  // (H,)
  const float* norm_cell_bias = nullptr;
};

// What a step needs besides its states; one for each call that runs, used again by all layers.
struct Workspace {
  Prepared x, h, inner;
  Buffer<float> raw, inner_raw;
  std::vector<float*> outputs;
  std::vector<const float*> starts;
};

class Layer {
 public:
  Layer(const LayerTensors& tensors, Precision precision, const Kernels& kernels);

  int input_size() const { return input_size_; }
  int hidden_size() const { return hidden_size_; }
  int state_size() const { return state_size_; }
  bool has_cell_state() const { return kind_ == CellKind::kLstm; }
  // Floats of a hidden state and of a cell state in memory, the end filled up with zeros.
  int padded_state() const { return padded_state_; }
  int padded_hidden() const { return padded_hidden_; }
  // Floats of a row of pre-activations, in block order.
  int gate_rows() const { return input_.rows(); }
  // Whether a step needs its input's share computed before, by `project`.
  bool needs_projection() const { return !norm_ih_.empty() || candidate_.bytes() > 0; }
  // What a step reads of the weights; the input's only where it is not a table.
  std::size_t weight_bytes(bool with_input = true) const;

  // Room for steps of so many slots by so many members of a team, and projections of so many rows.
  void reserve(Workspace& workspace, std::size_t slots, std::size_t rows, int members) const;

  // The share of the inputs in the pre-activations: projected[row] (gate_rows floats each) from x[row]
  // (input_size). All members of the team call it.
  void project(const Member& member, Workspace& workspace, std::size_t rows, const float* const* x,
               float* projected) const;

  // The same for an input that is 1 at `column` and 0 elsewhere, without a product.
  void project_one_hot(int column, const float* weight_ih, float* projected) const;

  // Makes the hidden states of n slots ready for `step`. All members of the team call it, and a barrier has
  // to follow before any state changes.
  void ready(const Member& member, Workspace& workspace, std::size_t n, float* const* hidden) const;

  // One step of n slots, in place, after `ready` and a barrier. All members of the team call it; it ends with
  // a barrier.
  //   start   for each slot a row of `project`, or null: then x holds the inputs
  //   hidden  for each slot padded_state floats; cell padded_hidden floats
  void step(const Member& member, Workspace& workspace, std::size_t n, const float* const* start,
            const float* const* x, float* const* hidden, float* const* cell) const;

 private:
  void add_bias(float* row) const;
  void normalise(float* row, const std::vector<float>& gain) const;
  void step_normalised(const Member& member, Workspace& workspace, std::size_t n, const float* const* start,
                       const PreparedView& h, float* const* hidden, float* const* cell,
                       float** outputs) const;
  void step_reset_before(const Member& member, Workspace& workspace, std::size_t n, const float* const* start,
                         const PreparedView& h, float* const* hidden) const;
  void finish_projection(const Member& member, Workspace& workspace, std::size_t n, float* const* outputs,
                         float* const* hidden) const;
  // Where a gate of a unit lies in a row of pre-activations.
  std::size_t place(int gate, int unit) const {
    return (static_cast<std::size_t>(unit / kLanes) * gates_ + gate) * kLanes + unit % kLanes;
  }

  const Kernels& kernels_;
  CellKind kind_;
  bool relu_, coupled_, reset_after_;
  float keep_hidden_, keep_cell_;
  int input_size_, hidden_size_, state_size_, gates_;
  int padded_state_, padded_hidden_;
  PackedMatrix input_, recurrent_, candidate_, projection_;
  Buffer<float> start_bias_, recurrent_bias_, peephole_;  // block order
  std::vector<float> norm_ih_, norm_hh_;                  // block order
  std::vector<float> norm_cell_, norm_cell_bias_;
};

}  // namespace throughtime
