// Packing, preparing, products and activations, on every instruction set that runs here.
#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>

#include "dropout.h"
#include "memory.h"
#include "products.h"
#include "softmax.h"
#include "testing.h"

namespace throughtime::testing {
namespace {

// The products of one matrix with a batch, each row of `inputs` once in the batch and once alone.
void check_product(const Kernels& kernels, Precision precision, int rows, int columns, int gates, int slots) {
  const std::string what = std::string(kernels.name) + " product " + std::to_string(rows) + " x " +
                           std::to_string(columns) + ", " + std::to_string(slots) + " slots";
  const auto I = static_cast<std::size_t>(columns), n = static_cast<std::size_t>(slots);
  const Floats weights = random_floats(static_cast<std::size_t>(rows * gates) * I), x = random_floats(n * I);
  const std::vector<int> order = gates == 1 ? plain_rows(rows) : interleaved_rows(gates, rows);
  const PackedMatrix matrix(weights.data(), columns, order, gates == 1 ? kPlainVectors : gates, precision);
  const PackedView& view = matrix.view();
  const auto product = [&](std::size_t first, std::size_t count) {
    Prepared room;
    room.reserve(view, count);
    const PreparedView prepared = room.view(view);
    for (std::size_t slot = 0; slot < count; ++slot)
      kernels.prepare(precision, x.data() + (first + slot) * I, columns,
                      prepared.lanes + slot * prepared.stride, view.groups, prepared.scales + slot);
    Floats out(count * order.size(), 0.5f);
    kernels.accumulate(view, prepared, static_cast<int>(count), 0, view.blocks, out.data(), order.size());
    return out;
  };
  const Floats all = product(0, n);
  for (std::size_t slot = 0; slot < n; ++slot) {
    const Floats alone = product(slot, 1);
    check(std::equal(alone.begin(), alone.end(),
                     all.begin() + static_cast<std::ptrdiff_t>(slot * alone.size())),
          what + ": a slot's numbers depend on its batch");
    for (std::size_t row = 0; row < order.size(); ++row) {
      double expected = 0.5;
      for (std::size_t k = 0; k < I && order[row] >= 0; ++k)
        expected +=
            static_cast<double>(weights[static_cast<std::size_t>(order[row]) * I + k]) * x[slot * I + k];
      // What each precision rounds a weight and an input to: 24 bits, 8 bits, a 127th of the largest.
      const double relative = precision == Precision::kFloat32    ? 1e-6
                              : precision == Precision::kBfloat16 ? 0.0079
                                                                  : 0.009;
      check(std::abs(alone[row] - expected) <= relative * (columns + 1), what + ": not the product");
    }
  }
  check(product(0, 0).empty(), what + ": an empty batch");
}

void check_prepare(const Kernels& kernels) {
  const float smallest = std::numeric_limits<float>::denorm_min(),
              largest = std::numeric_limits<float>::max();
  const Floats odd[] = {{},         {0, -0.0f, 0},       {kNaN, 1, 2},    {kInfinity, 1, -kInfinity},
                        {smallest}, {largest, -largest}, {1, 2, 3, 4, 5}, {smallest, -smallest, 1e-31f}};
  for (const Precision precision : kPrecisions)
    for (const Floats& values : odd) {
      const auto size = static_cast<int>(values.size());
      const int lanes = (size + columns_per_lane(precision) - 1) / columns_per_lane(precision) + 1;
      std::vector<std::uint32_t> prepared(static_cast<std::size_t>(lanes), 77u);
      float scale = 0;
      kernels.prepare(precision, values.data(), size, prepared.data(), lanes, &scale);
      const std::uint32_t zero = precision == Precision::kInt8 ? 0x80808080u : 0u;
      check(prepared.back() == zero, "the lanes behind a vector are not zeros");
    }
}

// A large product in arrays without a float to spare, whichever way its sides lie, for one thread and for
// three.
void check_rounded(const Kernels& kernels, int M, int N, int K) {
  const auto m = static_cast<std::size_t>(M), n = static_cast<std::size_t>(N),
             k = static_cast<std::size_t>(K);
  const Floats rows = random_floats(m * k), matrix = random_floats(n * k), bias = random_floats(n);
  for (const bool turned_rows : {false, true})
    for (const bool turned : {false, true}) {
      const ProductOperand left{rows.data(), turned_rows ? 1 : K, turned_rows ? M : 1};
      const ProductOperand right{matrix.data(), turned ? 1 : K, turned ? N : 1};
      Floats one(m * n), three(m * n);
      multiply_rounded(kernels, left, right, bias.data(), one.data(), M, N, K, false, 1);
      multiply_rounded(kernels, left, right, bias.data(), three.data(), M, N, K, false, 3);
      check(one == three, "a large product depends on its threads");
      multiply_rounded(kernels, left, right, nullptr, three.data(), M, N, K, true, 2);
      for (std::size_t i = 0; i < m; ++i)
        for (std::size_t j = 0; j < n; ++j) {
          double product = 0;
          for (std::ptrdiff_t c = 0; c < K; ++c)
            product +=
                static_cast<double>(left.data[static_cast<std::ptrdiff_t>(i) * left.down + c * left.right]) *
                right.data[static_cast<std::ptrdiff_t>(j) * right.down + c * right.right];
          const double far = 0.0079 * (K + 1);
          check(std::abs(one[i * n + j] - product - bias[j]) <= far, "a large product");
          check(std::abs(three[i * n + j] - 2 * product - bias[j]) <= 2 * far, "a large product, added");
        }
    }
}

void check_activations(const Kernels& kernels) {
  Floats x = random_floats(48, 12.0f);
  const Floats ends = {0, -0.0f, 1e-40f, 200, -200, kInfinity, -kInfinity, kNaN};
  std::copy(ends.begin(), ends.end(), x.begin());
  Floats sigmoid = x, tanh = x, exp = x;
  kernels.sigmoid(sigmoid.data(), x.size());
  kernels.tanh(tanh.data(), x.size());
  kernels.exp(exp.data(), 0);
  check(exp[9] == x[9], "exp of nothing wrote something");
  kernels.exp(exp.data(), x.size());
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double value = x[k];
    const bool isnt = std::isnan(x[k]);
    check(isnt ? std::isnan(sigmoid[k]) : std::abs(sigmoid[k] - 1 / (1 + std::exp(-value))) < 1e-6,
          "sigmoid");
    check(isnt ? std::isnan(tanh[k]) : std::abs(tanh[k] - std::tanh(value)) < 1e-6, "tanh");
    if (std::abs(value) < 80) check(std::abs(exp[k] / std::exp(value) - 1) < 1e-6, "exp");
  }
  const std::vector<std::uint32_t> lanes(128, 0x7fffffffu);
  check(kernels.read(lanes.data(), 0) == 0, "a read of nothing");
  check(kernels.read(lanes.data(), 128) == 128u * 0x7fffffffu, "the sum of what was read");
}

// Of rows that end where their memory does, by one thread and by three.
void check_softmax(const Kernels& kernels, int kinds) {
  constexpr int kRows = 5;
  const auto n = static_cast<std::size_t>(kinds);
  const Floats logits = random_floats(kRows * n, 5.0f);
  const std::int64_t tokens[kRows] = {0, kinds - 1, -100, kinds / 2, 0};
  const Wanted wanted{tokens, -100, 0.25f, 0.1f};
  Floats alone = logits, shared = logits, losses(2 * kRows), again(2 * kRows);
  softmax_gradients(kernels, alone.data(), kRows, kinds, wanted, losses.data(), losses.data() + kRows, 1);
  softmax_gradients(kernels, shared.data(), kRows, kinds, wanted, again.data(), again.data() + kRows, 3);
  check(alone == shared && losses == again, "a softmax depends on the threads");
  for (std::size_t row = 0; row < kRows; ++row) {
    double sum = 0.0;
    for (std::size_t k = 0; k < n; ++k) sum += alone[row * n + k];
    check(std::abs(sum) < 1e-5, "what a softmax gives one kind it takes from the others");
    check((losses[row] > 0.0f) == (row != 2 && kinds > 1), "the loss of a softmax");
  }
  const std::int64_t none[] = {kinds};
  check_throws<std::out_of_range>(
      [&] {
        const Wanted bad{none, -100, 0.25f, 0.0f};
        softmax_gradients(kernels, alone.data(), 1, kinds, bad, losses.data(), again.data(), 1);
      },
      "a token that is none");
}

void check_dropout(const Kernels& kernels) {
  const Floats ones(3 * 4 * 31, 1.0f);
  Floats alone(ones.size()), shared(ones.size()), part(3 * 2 * 31);
  drop_out(kernels, ones.data(), alone.data(), {3, 4, 0, 4, 31}, {7, 8}, 0.5, 1);
  drop_out(kernels, ones.data(), shared.data(), {3, 4, 0, 4, 31}, {7, 8}, 0.5, 3);
  drop_out(kernels, ones.data(), part.data(), {3, 4, 1, 2, 31}, {7, 8}, 0.5, 3);
  check(alone == shared, "dropout depends on the threads");
  for (std::size_t k = 0; k < 3; ++k)
    check(std::equal(part.begin() + k * 62, part.begin() + (k + 1) * 62, alone.begin() + k * 124 + 31),
          "rows are dropped out otherwise by themselves");
  check(std::count(alone.begin(), alone.end(), 0.0f) > 100, "dropout drops too little");
  check(std::count(alone.begin(), alone.end(), 2.0f) > 100, "dropout drops too much");
}

}  // namespace

void test_kernels() {
  constexpr int kShapes[][2] = {{1, 1}, {1, 5}, {33, 1}, {33, 5}, {16, 64}, {70, 131}};
  for (const Kernels* kernels : versions()) {
    for (const Precision precision : kPrecisions)
      for (const auto& [rows, columns] : kShapes)
        for (const int gates : {1, 2, 3, 4})
          for (const int slots : {1, 2, 3, 5, 8, 13})
            check_product(*kernels, precision, rows, columns, gates, slots);
    check_prepare(*kernels);
    for (const auto& [rows, columns] : kShapes) check_rounded(*kernels, rows, columns, rows + columns);
    check_rounded(*kernels, 7, 40, 1029);
    check_activations(*kernels);
    for (const int kinds : {1, 15, 16, 1000, 9000}) check_softmax(*kernels, kinds);
    check_dropout(*kernels);
  }
  check_throws<std::runtime_error>([] { kernels_named("none"); }, "an unknown instruction set");
  check_throws<std::invalid_argument>([] { precision_named("fp16"); }, "an unknown precision");
  for (const float bad : {kNaN, kInfinity})
    check_throws<std::invalid_argument>(
        [&] { PackedMatrix(&bad, 1, plain_rows(1), kPlainVectors, Precision::kInt8); },
        "a weight that int8 cannot hold");
  const Floats tiny(8, std::numeric_limits<float>::denorm_min());
  PackedMatrix(tiny.data(), 8, plain_rows(1), kPlainVectors, Precision::kInt8);
  // Sums of 300 000 bytes leave 31 bits; that has to wrap around alike in all versions, and end nowhere.
  const Floats ones(300'000, 1.0f);
  const PackedMatrix wide(ones.data(), 300'000, plain_rows(1), kPlainVectors, Precision::kInt8);
  Prepared room;
  room.reserve(wide.view(), 1);
  Floats sums;
  for (const Kernels* kernels : versions()) {
    const PreparedView prepared = room.view(wide.view());
    kernels->prepare(Precision::kInt8, ones.data(), 300'000, prepared.lanes, wide.view().groups,
                     prepared.scales);
    Floats out(32);
    kernels->accumulate(wide.view(), prepared, 1, 0, 1, out.data(), 32);
    sums.push_back(out[0]);
  }
  check(std::equal(sums.begin() + 1, sums.end(), sums.begin()),
        "a sum that is too long differs among versions");
  check_throws<std::bad_alloc>([] { Buffer<double>(std::numeric_limits<std::size_t>::max() / 8); },
                               "a size whose bytes do not fit into a number");
}

}  // namespace throughtime::testing
