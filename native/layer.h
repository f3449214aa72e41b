// One recurrent layer in one direction: any cell of throughtime.cells with all its options, in evaluation.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "packed.h"
#include "recurrent_layer.h"
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

class Layer : public RecurrentLayer {
 public:
  struct Workspace : Room {
    Prepared x, h, inner;
    Buffer<float> raw, inner_raw;
    Buffer<float> rows;  // some of padded_hidden_ floats for each member
    std::vector<float*> outputs;
    std::vector<const float*> starts;
  };

  Layer(const LayerTensors& tensors, Precision precision, const Kernels& kernels);

  // Floats of a row of pre-activations, in block order.
  std::size_t projected_floats() const override { return static_cast<std::size_t>(input_.rows()); }
  bool needs_projection() const override { return !norm_ih_.empty() || candidate_.bytes() > 0; }
  std::size_t weight_bytes(bool with_input = true) const override;
  std::unique_ptr<Room> room() const override { return std::make_unique<Workspace>(); }
  void reserve(Room& room, std::size_t slots, std::size_t rows, int members) const override;
  void project(const Member& member, Room& room, std::size_t rows, const float* const* x,
               float* projected) const override;
  void ready(const Member& member, Room& room, std::size_t n, float* const* states) const override;
  void step(const Member& member, Room& room, std::size_t n, const float* const* start, const float* const* x,
            float* const* states) const override;
  const float* output(const Member&, const Room&, std::size_t, std::size_t slot,
                      float* const* states) const override {
    return states[slot];
  }
  int output_part() const override { return 0; }

  // `project` for an input that is 1 at `column` and 0 elsewhere, without a product.
  void project_one_hot(int column, const float* weight_ih, float* projected) const;

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
  int hidden_size_, state_size_, gates_;
  int padded_state_, padded_hidden_;
  PackedMatrix input_, recurrent_, candidate_, projection_;
  Buffer<float> start_bias_, recurrent_bias_, peephole_;  // block order
  std::vector<float> norm_ih_, norm_hh_;                  // block order
  std::vector<float> norm_cell_, norm_cell_bias_;
};

}  // namespace throughtime
