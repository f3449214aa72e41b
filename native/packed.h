// Matrices packed for the kernels, and vectors prepared for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels.h"
#include "memory.h"

namespace throughtime {

// "fp32", "bf16" or "int8"; throws std::invalid_argument for another name.
Precision precision_named(const std::string& name);

// How many columns share a 4-byte lane.
int columns_per_lane(Precision precision);

// Which source row each packed row holds; -1 is a row of zeros that fills up a block.
//
// interleaved: block b holds the gates of units 16 b to 16 b + 15, the g-th group of 16 rows being gate g.
std::vector<int> interleaved_rows(int gates, int hidden_size);
// plain: rows in their own order, two groups of 16 a block.
std::vector<int> plain_rows(int rows);
inline constexpr int kPlainVectors = 2;

class PackedMatrix {
 public:
  PackedMatrix() = default;

  // Args:
  //   weights    rows x columns, row after row
  //   order      of interleaved_rows or plain_rows
  //   vectors    groups of 16 rows in a block
  PackedMatrix(const float* weights, int columns, const std::vector<int>& order, int vectors,
               Precision precision);

  const PackedView& view() const { return view_; }
  int rows() const { return view_.blocks * view_.vectors * kLanes; }  // with those that fill up
  int columns() const { return columns_; }
  std::size_t bytes() const { return weights_.size() * sizeof(std::uint32_t); }

 private:
  int columns_ = 0;
  Buffer<std::uint32_t> weights_;
  Buffer<float> scales_;
  Buffer<std::int32_t> corrections_;
  PackedView view_{};
};

// Room for a batch of prepared vectors.
class Prepared {
 public:
  void reserve(const PackedView& weights, std::size_t vectors) {
    lanes_.reserve(vectors * static_cast<std::size_t>(weights.groups));
    scales_.reserve(vectors);
  }
  // The vectors from `place` on.
  PreparedView view(const PackedView& weights, std::size_t place = 0) {
    const auto stride = static_cast<std::size_t>(weights.groups);
    return {lanes_.data() + place * stride, stride, scales_.data() + place};
  }

 private:
  Buffer<std::uint32_t> lanes_;
  Buffer<float> scales_;
};

}  // namespace throughtime
