// The inner loops, written once for every instruction set; included by kernels_*.cpp only, which say which.
//
// The sum of a row always runs over the columns from the first to the last in one chain, whatever the batch:
// that is why a slot's numbers do not depend on who shares its batch.
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels.h"

namespace throughtime {
namespace {

#include "simd.h"
#include "vector_math.h"

constexpr int kParts = kLanes / W;  // vectors in a group of 16 rows

// A multiply-add takes about 4 cycles and two can begin in each, so fewer than 8 sums at once would wait.
constexpr int kChains = 8;

// The most slots that share one reading of the weights. More would not fit into registers with any layout.
constexpr int kMostSlots = 8;

template <Precision P>
struct Dot {
  using Sum = F;
  static F begin(const float* out) { return load(out); }
  static F add_product(I input, I weight, F sum) {
    if constexpr (P == Precision::kFloat32) {
      return multiply_add(as_float(input), as_float(weight), sum);
    } else {
      return dot_bf16(input, weight, sum);
    }
  }
  static void finish(F sum, const PackedView&, std::size_t, float, float* out) { store(out, sum); }
};

template <>
struct Dot<Precision::kInt8> {
  using Sum = Whole;
  static Sum begin(const float*) { return (Sum)zero_lanes(); }
  static Sum add_product(I input, I weight, Sum sum) { return dot_u8s8(input, weight, sum); }
  static void finish(Sum sum, const PackedView& weights, std::size_t row, float input_scale, float* out) {
    const I whole =
        subtract_lanes((I)sum, load_lanes(reinterpret_cast<const std::uint32_t*>(weights.corrections + row)));
    store(out,
          multiply_add(to_float(whole), multiply(load(weights.scales + row), set(input_scale)), load(out)));
  }
};

// out[s][...] += the rows of T blocks from `block` on, for S slots from `slot` on.
template <Precision P, int R, int T, int S>
inline void multiply_tile(const PackedView& weights, int block, const PreparedView& inputs, int slot,
                          float* out, std::size_t stride) {
  // One pass over the 16 lanes of a group where the sums fit into registers, else one for each vector of it.
  constexpr int L = R * T * S * kParts <= kSums ? kParts : 1;
  const std::uint32_t* x[S];
  float scales[S] = {};
  for (int s = 0; s < S; ++s) {
    x[s] = inputs.lanes + static_cast<std::size_t>(slot + s) * inputs.stride;
    if constexpr (P == Precision::kInt8) scales[s] = inputs.scales[slot + s];
  }
  const int groups = weights.groups;
  for (int pass = 0; pass < kParts; pass += L) {
    const std::uint32_t* w[T];
    for (int t = 0; t < T; ++t) w[t] = weights.weights + (block + t) * weights.block_lanes + pass * W;
    typename Dot<P>::Sum sums[T][R][L][S];
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r)
        for (int l = 0; l < L; ++l)
          for (int s = 0; s < S; ++s)
            sums[t][r][l][s] = Dot<P>::begin(out + s * stride + (t * R + r) * kLanes + (pass + l) * W);
    for (int g = 0; g < groups; ++g) {
      I input[S];
      for (int s = 0; s < S; ++s) input[s] = set_lanes(x[s][g]);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
          for (int l = 0; l < L; ++l) {
            const I weight = load_lanes(w[t] + r * kLanes + l * W);
#pragma GCC unroll 8
            for (int s = 0; s < S; ++s)
              sums[t][r][l][s] = Dot<P>::add_product(input[s], weight, sums[t][r][l][s]);
          }
        }
        w[t] += R * kLanes;
      }
    }
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r)
        for (int l = 0; l < L; ++l)
          for (int s = 0; s < S; ++s) {
            const std::size_t row = (t * R + r) * kLanes + (pass + l) * W;
            Dot<P>::finish(sums[t][r][l][s], weights, static_cast<std::size_t>(block) * R * kLanes + row,
                           scales[s], out + s * stride + row);
          }
  }
}

constexpr int at_least_one(int n) { return n < 1 ? 1 : n; }

// Calls body<T, S>(block, slot) so that every block of [begin, end) meets every slot: blocks outside, so that
// a block's weights come from memory once and from the nearest cache for the other slots.
template <int R, int S, class Body>
inline void for_slots(int block, int slot, int slots, const Body& body) {
  while (slots - slot >= S) {
    body.template operator()<1, S>(block, slot);
    slot += S;
  }
  if constexpr (S > 1) {
    if (slot < slots) for_slots<R, S - 1>(block, slot, slots, body);
  }
}

template <int R, class Body>
inline void for_tiles(int slots, int begin, int end, const Body& body) {
  constexpr int kAlone = at_least_one((kChains + R * kParts - 1) / (R * kParts));
  constexpr int kTogether = W == 1 ? 1 : kSums / R < kMostSlots ? kSums / R : kMostSlots;
  int block = begin;
  if (slots == 1) {
    for (; block + kAlone <= end; block += kAlone) body.template operator()<kAlone, 1>(block, 0);
  }
  for (; block < end; ++block) for_slots<R, kTogether>(block, 0, slots, body);
}

template <Precision P, int R>
void accumulate_rows(const PackedView& weights, const PreparedView& inputs, int slots, int begin, int end,
                     float* out, std::size_t stride) {
  for_tiles<R>(slots, begin, end, [&]<int T, int S>(int block, int slot) {
    multiply_tile<P, R, T, S>(weights, block, inputs, slot,
                              out + slot * stride + static_cast<std::size_t>(block) * R * kLanes, stride);
  });
}

// ---- the cells' updates, for one block of one slot; `gates` holds its pre-activations

template <int R>
inline void update_rnn(const CellStep& step, int slot, int block, const float* gates, const float*) {
  const F keep = set(step.keep_hidden);
  for (int row = 0; row < R * kLanes; row += W) {
    const std::size_t unit = static_cast<std::size_t>(block) * R * kLanes + row;
    F h = step.relu ? at_least(0.0f, load(gates + row)) : tanh(load(gates + row));
    if (step.keeps_hidden) h = multiply_add(keep, subtract(load(step.hidden[slot] + unit), h), h);
    store(step.output[slot] + unit, h);
  }
}

template <int R>
inline void update_lstm(const CellStep& step, int slot, int block, const float* gates, const float*) {
  constexpr bool kCoupled = R == 3;
  const F one = set(1.0f);
  for (int part = 0; part < kLanes; part += W) {
    const std::size_t unit = static_cast<std::size_t>(block) * kLanes + part;
    const float* peephole =
        step.peephole ? step.peephole + static_cast<std::size_t>(block) * (R - 1) * kLanes + part : nullptr;
    const F old = load(step.cell[slot] + unit);
    F i = load(gates + part);
    F g = load(gates + (R - 2) * kLanes + part);
    F o = load(gates + (R - 1) * kLanes + part);
    if (peephole) i = multiply_add(load(peephole), old, i);
    i = sigmoid(i);
    F f;
    if constexpr (kCoupled) {
      f = subtract(one, i);
    } else {
      f = load(gates + kLanes + part);
      if (peephole) f = multiply_add(load(peephole + kLanes), old, f);
      f = sigmoid(f);
    }
    g = tanh(g);
    const F c = multiply_add(f, old, multiply(i, g));
    if (peephole) o = multiply_add(load(peephole + (R - 2) * kLanes), c, o);
    F h = multiply(sigmoid(o), tanh(c));
    if (step.keeps_hidden)
      h = multiply_add(set(step.keep_hidden), subtract(load(step.hidden[slot] + unit), h), h);
    store(step.output[slot] + unit, h);
    store(step.cell[slot] + unit, multiply_add(set(step.keep_cell), subtract(old, c), c));
  }
}

// `gates` is W_ih x + b_ih and `recurrent` W_hh h + b_hh: the candidate needs them apart.
template <int R>
inline void update_gru(const CellStep& step, int slot, int block, const float* gates,
                       const float* recurrent) {
  static_assert(R == 3);
  for (int part = 0; part < kLanes; part += W) {
    const std::size_t unit = static_cast<std::size_t>(block) * kLanes + part;
    const F old = load(step.hidden[slot] + unit);
    const F r = sigmoid(add(load(gates + part), load(recurrent + part)));
    const F z = sigmoid(add(load(gates + kLanes + part), load(recurrent + kLanes + part)));
    const F n = tanh(multiply_add(r, load(recurrent + 2 * kLanes + part), load(gates + 2 * kLanes + part)));
    F h = multiply_add(z, subtract(old, n), n);
    if (step.keeps_hidden) h = multiply_add(set(step.keep_hidden), subtract(old, h), h);
    store(step.output[slot] + unit, h);
  }
}

inline void copy_floats(const float* from, int count, float* to) {
  for (int k = 0; k < count; k += W) store(to + k, load(from + k));
}

template <Precision P, int R, CellKind K>
void step_blocks(const CellStep& step, int slots, int begin, int end) {
  for_tiles<R>(slots, begin, end, [&]<int T, int S>(int block, int slot) {
    constexpr int kRows = T * R * kLanes;
    const std::size_t first = static_cast<std::size_t>(block) * R * kLanes;
    alignas(64) float gates[S * kRows];
    for (int s = 0; s < S; ++s) copy_floats(step.start[slot + s] + first, kRows, gates + s * kRows);
    if (step.input) multiply_tile<P, R, T, S>(*step.input, block, step.x, slot, gates, kRows);
    if constexpr (K == CellKind::kGru) {
      alignas(64) float recurrent[S * kRows];
      for (int s = 0; s < S; ++s) copy_floats(step.recurrent_bias + first, kRows, recurrent + s * kRows);
      multiply_tile<P, R, T, S>(*step.recurrent, block, step.h, slot, recurrent, kRows);
      for (int s = 0; s < S; ++s)
        for (int t = 0; t < T; ++t)
          update_gru<R>(step, slot + s, block + t, gates + s * kRows + t * R * kLanes,
                        recurrent + s * kRows + t * R * kLanes);
    } else {
      multiply_tile<P, R, T, S>(*step.recurrent, block, step.h, slot, gates, kRows);
      for (int s = 0; s < S; ++s)
        for (int t = 0; t < T; ++t) {
          const float* mine = gates + s * kRows + t * R * kLanes;
          if constexpr (K == CellKind::kLstm)
            update_lstm<R>(step, slot + s, block + t, mine, nullptr);
          else
            update_rnn<R>(step, slot + s, block + t, mine, nullptr);
        }
    }
  });
}

template <int R>
void accumulate_any(const PackedView& weights, const PreparedView& inputs, int slots, int begin, int end,
                    float* out, std::size_t stride) {
  switch (weights.precision) {
    case Precision::kFloat32:
      return accumulate_rows<Precision::kFloat32, R>(weights, inputs, slots, begin, end, out, stride);
    case Precision::kBfloat16:
      return accumulate_rows<Precision::kBfloat16, R>(weights, inputs, slots, begin, end, out, stride);
    case Precision::kInt8:
      return accumulate_rows<Precision::kInt8, R>(weights, inputs, slots, begin, end, out, stride);
  }
}

void accumulate(const PackedView& weights, const PreparedView& inputs, int slots, int begin, int end,
                float* out, std::size_t stride) {
  switch (weights.vectors) {
    case 2:
      return accumulate_any<2>(weights, inputs, slots, begin, end, out, stride);
    case 3:
      return accumulate_any<3>(weights, inputs, slots, begin, end, out, stride);
    case 4:
      return accumulate_any<4>(weights, inputs, slots, begin, end, out, stride);
  }
}

template <Precision P>
void step_any(const CellStep& step, int slots, int begin, int end) {
  switch (step.kind) {
    case CellKind::kRnn:
      return step_blocks<P, 2, CellKind::kRnn>(step, slots, begin, end);
    case CellKind::kGru:
      return step_blocks<P, 3, CellKind::kGru>(step, slots, begin, end);
    case CellKind::kLstm:
      return step.coupled ? step_blocks<P, 3, CellKind::kLstm>(step, slots, begin, end)
                          : step_blocks<P, 4, CellKind::kLstm>(step, slots, begin, end);
  }
}

void step_cell(const CellStep& step, int slots, int begin, int end) {
  switch (step.recurrent->precision) {
    case Precision::kFloat32:
      return step_any<Precision::kFloat32>(step, slots, begin, end);
    case Precision::kBfloat16:
      return step_any<Precision::kBfloat16>(step, slots, begin, end);
    case Precision::kInt8:
      return step_any<Precision::kInt8>(step, slots, begin, end);
  }
}

// ---- the pointwise parts of programs

// Blocks of 16 numbers in one or several rows.
struct LaneRow {
  float* at;
  std::ptrdiff_t stride;   // from one block to the next
  std::ptrdiff_t row = 0;  // from one row to the next
};

struct LaneSize {
  int rows, blocks;
};

template <class Operation>
inline void on_one(LaneSize size, LaneRow out, LaneRow a, const Operation& operation) {
  for (int row = 0; row < size.rows; ++row, out.at += out.row, a.at += a.row)
    for (int k = 0; k < size.blocks; ++k)
      for (int part = 0; part < kLanes; part += W)
        store(out.at + k * out.stride + part, operation(load(a.at + k * a.stride + part)));
}

template <class Operation>
inline void on_two(LaneSize size, LaneRow out, LaneRow a, LaneRow b, const Operation& operation) {
  for (int row = 0; row < size.rows; ++row, out.at += out.row, a.at += a.row, b.at += b.row)
    for (int k = 0; k < size.blocks; ++k)
      for (int part = 0; part < kLanes; part += W)
        store(out.at + k * out.stride + part,
              operation(load(a.at + k * a.stride + part), load(b.at + k * b.stride + part)));
}

template <class Operation>
inline void on_three(LaneSize size, LaneRow out, LaneRow a, LaneRow b, LaneRow c,
                     const Operation& operation) {
  for (int row = 0; row < size.rows; ++row, out.at += out.row, a.at += a.row, b.at += b.row, c.at += c.row)
    for (int k = 0; k < size.blocks; ++k)
      for (int part = 0; part < kLanes; part += W)
        store(out.at + k * out.stride + part,
              operation(load(a.at + k * a.stride + part), load(b.at + k * b.stride + part),
                        load(c.at + k * c.stride + part)));
}

inline F erf(F x) {
  float each[W];
  store(each, x);
  for (float& one : each) one = __builtin_erff(one);
  return load(each);
}

inline void run_operation(LaneOperation operation, LaneSize n, LaneRow out, LaneRow a, LaneRow b, LaneRow c) {
  const F zero = set(0.0f), one = set(1.0f);
  switch (operation) {
    case LaneOperation::kCopy:
      return on_one(n, out, a, [](F x) { return x; });
    case LaneOperation::kNegative:
      return on_one(n, out, a, [](F x) { return negative(x); });
    case LaneOperation::kAbsolute:
      return on_one(n, out, a, [](F x) { return absolute(x); });
    case LaneOperation::kExp:
      return on_one(n, out, a, [](F x) { return exp(x); });
    case LaneOperation::kLog:
      return on_one(n, out, a, [](F x) { return log(x); });
    case LaneOperation::kSquareRoot:
      return on_one(n, out, a, [](F x) { return square_root(x); });
    case LaneOperation::kSigmoid:
      return on_one(n, out, a, [](F x) { return sigmoid(x); });
    case LaneOperation::kTanh:
      return on_one(n, out, a, [](F x) { return tanh(x); });
    case LaneOperation::kRelu:
      return on_one(n, out, a, [&](F x) { return larger(x, zero); });
    case LaneOperation::kSoftplus:
      return on_one(n, out, a, [](F x) { return softplus(x); });
    case LaneOperation::kErf:
      return on_one(n, out, a, [](F x) { return erf(x); });
    case LaneOperation::kAdd:
      return on_two(n, out, a, b, [](F x, F y) { return add(x, y); });
    case LaneOperation::kSubtract:
      return on_two(n, out, a, b, [](F x, F y) { return subtract(x, y); });
    case LaneOperation::kMultiply:
    case LaneOperation::kAnd:
      return on_two(n, out, a, b, [](F x, F y) { return multiply(x, y); });
    case LaneOperation::kDivide:
      return on_two(n, out, a, b, [](F x, F y) { return divide(x, y); });
    case LaneOperation::kLarger:
    case LaneOperation::kOr:
      return on_two(n, out, a, b, [](F x, F y) { return larger(x, y); });
    case LaneOperation::kSmaller:
      return on_two(n, out, a, b, [](F x, F y) { return smaller(x, y); });
    case LaneOperation::kLess:
      return on_two(n, out, a, b, [&](F x, F y) { return less(x, y, one, zero); });
    case LaneOperation::kLessEqual:
      return on_two(n, out, a, b, [&](F x, F y) { return less_equal(x, y, one, zero); });
    case LaneOperation::kEqual:
      return on_two(n, out, a, b, [&](F x, F y) { return equal(x, y, one, zero); });
    case LaneOperation::kNot:
      return on_one(n, out, a, [&](F x) { return subtract(one, x); });
    case LaneOperation::kWhere:
      return on_three(n, out, a, b, c, [&](F x, F y, F z) { return equal(x, zero, z, y); });
    case LaneOperation::kMultiplyAdd:
      return on_three(n, out, a, b, c, [](F x, F y, F z) { return multiply_add(x, y, z); });
    case LaneOperation::kCount:
      return;
  }
}

void run_lanes(const LaneInstruction* instructions, int count, float* const* bases, int begin, int end,
               float* registers) {
  const auto row = [&](const LanePlace& place, int block) {
    if (place.base == kRegister) return LaneRow{registers + place.offset * kBlocksTogether * kLanes, kLanes};
    return LaneRow{bases[place.base] + place.offset + static_cast<std::ptrdiff_t>(block) * place.stride,
                   place.stride};
  };
  for (int block = begin; block < end; block += kBlocksTogether) {
    const int n = end - block < kBlocksTogether ? end - block : kBlocksTogether;
    for (int k = 0; k < count; ++k) {
      const LaneInstruction& one = instructions[k];
      run_operation(one.operation, {1, n}, row(one.target, block), row(one.operands[0], block),
                    row(one.operands[1], block), row(one.operands[2], block));
    }
  }
}

#include "panels.h"
#include "rows.h"
#include "tiles.h"

}  // namespace

extern const Kernels THROUGHTIME_TABLE;
const Kernels THROUGHTIME_TABLE = {
    THROUGHTIME_NAME, accumulate,   step_cell,        run_lanes, multiply_panels, multiply_pairs, run_tiles,
    sum_all,          softmax_sums, softmax_gradient, drop,      prepare,         pair_rows,      sigmoid_all,
    tanh_all,         exp_all,      read_all};

}  // namespace throughtime
