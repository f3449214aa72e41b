// Plans of throughtime.runtime.planning as they come: one row of whole numbers, and the arrays that it names.
//
// throughtime/runtime/planning/flat.py writes them. A list is its length and its members, an array of floats
// its number among the arrays (-1: none), an array of whole numbers its two sides and its numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "program.h"
#include "training.h"

namespace throughtime {

class FlatPlan {
 public:
  struct Array {
    const float* data;
    std::vector<std::size_t> shape;
  };

  // What it is made of has to outlive it.
  FlatPlan(const std::int64_t* numbers, std::size_t count, std::vector<Array> arrays)
      : next_(numbers), end_(numbers + count), arrays_(std::move(arrays)) {}

  // All of these throw std::invalid_argument where the plan ends or says something else.
  std::int64_t number();
  // From 0 to 2^30.
  int whole();
  // The number of members that a list has; each takes a number at least.
  std::size_t length();
  std::vector<int> wholes();
  // A row of numbers for each row of a table of so many columns.
  const std::int64_t* table(std::size_t columns, std::size_t& rows);
  // Of so many dimensions; null where there is none.
  const Array* array(std::size_t dimensions);
  void end() const;

 private:
  const std::int64_t* take(std::size_t count);

  const std::int64_t *next_, *end_;
  std::vector<Array> arrays_;
};

// The matrices of a plan have to outlive what packs them.
ProgramSpec program_of(FlatPlan plan);
TrainingSpec training_of(FlatPlan plan);

}  // namespace throughtime
