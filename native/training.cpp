#include "training.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace throughtime {
namespace {

// Multiply-adds that take as long as a member more makes the barriers of a step. Two cores of an AVX-512
// machine: with 16,000 for each and more, two are faster than one.
constexpr double kMember = 8e3;
// What calls leave behind for the next ones at most: 1 GiB.
constexpr std::size_t kMostHeld = std::size_t{1} << 28;

int round_up(int n, int to) { return (n + to - 1) / to * to; }

// Groups of 16 rows that a panel of a group holds, and units from one panel to the next.
int vectors_of(const BatchGroup& group) {
  if (group.places.size() > 1) return static_cast<int>(group.places.size());
  return group.units > kLanes ? 2 : 1;
}
int unit_step_of(const BatchGroup& group) {
  return group.places.size() > 1 ? kLanes : vectors_of(group) * kLanes;
}
int panels_of(const BatchGroup& group, const BatchSegment& segment) {
  const int step = unit_step_of(group);
  return (segment.rows + step - 1) / step;
}

// What members share out of a phase's units: shares begin where panels of 32 may.
std::size_t blocks_of(const BatchLanes& lanes) {
  return static_cast<std::size_t>((lanes.size + 2 * kLanes - 1) / (2 * kLanes));
}

std::uint32_t* as_pairs(float* lanes) { return reinterpret_cast<std::uint32_t*>(lanes); }

// Lanes of 4 bytes that a row of so many numbers takes.
int lanes_of(int columns, Precision precision) {
  return precision == Precision::kBfloat16 ? (columns + 1) / 2 : columns;
}

}  // namespace

Arena& arena() {
  static Arena* const one = new Arena;  // never destroyed: arrays may outlive the module
  return *one;
}

Buffer<float> Arena::take(std::size_t floats) {
  {
    const std::lock_guard lock(mutex_);
    // The smallest that is large enough, unless it is far too large.
    auto best = free_.end();
    for (auto one = free_.begin(); one != free_.end(); ++one)
      if (one->size() >= floats && one->size() / 2 <= floats &&
          (best == free_.end() || one->size() < best->size()))
        best = one;
    if (best != free_.end()) {
      Buffer<float> found = std::move(*best);
      free_.erase(best);
      held_ -= found.size();
      return found;
    }
  }
  return Buffer<float>(floats);
}

void Arena::give(Buffer<float>&& buffer) {
  const std::lock_guard lock(mutex_);
  held_ += buffer.size();
  free_.push_back(std::move(buffer));
  while (held_ > kMostHeld) {
    held_ -= free_.front().size();
    free_.erase(free_.begin());
  }
}

// What one call needs, all of it taken before its threads begin.
struct TrainingStep::Call {
  int batch = 0;
  std::vector<std::vector<Buffer<float>>> panels;  // of each segment of each group
  Buffer<float> scratch, constants, registers, rounded;
  std::size_t registers_each = 0, rounded_each = 0;  // of each member
  std::vector<std::vector<float*>> bases;            // of each member
  // The instructions with the places that this batch's size gives.
  std::vector<std::vector<std::vector<TileInstruction>>> units, rows;

  TilePlace resolve(const BatchPlace& place) const {
    return {place.base, place.step, place.stride, place.exact,
            place.base == kRegister ? place.start : place.block * batch + place.start};
  }
  std::vector<TileInstruction> resolve(const std::vector<BatchInstruction>& instructions) const {
    std::vector<TileInstruction> resolved;
    for (const BatchInstruction& one : instructions)
      resolved.push_back({one.operation,
                          resolve(one.target),
                          {resolve(one.operands[0]), resolve(one.operands[1]), resolve(one.operands[2])}});
    return resolved;
  }
  float* at(const Member& member, const BatchPlace& place) const {
    return bases[static_cast<std::size_t>(member.index)][static_cast<std::size_t>(place.base)] +
           place.block * batch + place.start;
  }
};

TrainingStep::TrainingStep(TrainingSpec spec, const Kernels& kernels, Precision precision)
    : spec_(std::move(spec)), kernels_(kernels), precision_(precision) {
  if (precision == Precision::kInt8) throw std::invalid_argument("a training step multiplies fp32 or bf16");
  check();
  for (const BatchGroup& group : spec_.groups)
    for (const BatchSegment& segment : group.segments)
      work_ += static_cast<double>(segment.rows) * segment.columns * static_cast<double>(group.places.size());
}

// n members take work / n + n * kMember, which is least at this many.
int TrainingStep::members_of(int batch) const {
  std::size_t shares = 1;
  for (const BatchPhase& phase : spec_.phases) {
    for (const BatchLanes& lanes : phase.units) shares = std::max(shares, blocks_of(lanes));
    if (!phase.rows.empty()) shares = std::max(shares, static_cast<std::size_t>(batch));
  }
  const auto best = static_cast<std::size_t>(std::sqrt(work_ * batch / kMember));
  return static_cast<int>(std::clamp(best, std::size_t{1}, shares));
}

void TrainingStep::run(const std::vector<const float*>& weights, const std::vector<Sequence>& sequences,
                       int steps, int batch, bool backward, int threads) const {
  threads = std::min(threads, members_of(batch));
  Call call;
  call.batch = batch;
  for (const BatchGroup& group : spec_.groups) {
    auto& mine = call.panels.emplace_back();
    for (const BatchSegment& segment : group.segments) {
      const auto lanes = static_cast<std::size_t>(lanes_of(segment.columns, precision_));
      mine.push_back(arena().take(static_cast<std::size_t>(panels_of(group, segment)) * vectors_of(group) *
                                  kLanes * lanes));
      call.rounded_each = std::max(call.rounded_each, lanes * static_cast<std::size_t>(batch));
    }
  }
  if (precision_ == Precision::kFloat32) call.rounded_each = 0;
  call.rounded = arena().take(call.rounded_each * static_cast<std::size_t>(threads));
  call.scratch = arena().take(static_cast<std::size_t>(spec_.scratch) * batch + kTileFloats);
  call.constants = arena().take(static_cast<std::size_t>(spec_.constant_floats));
  int registers = 1;
  for (const BatchPhase& phase : spec_.phases) {
    auto& units = call.units.emplace_back();
    for (const BatchLanes& lanes : phase.units) {
      units.push_back(call.resolve(lanes.instructions));
      registers = std::max(registers, lanes.registers);
    }
    auto& rows = call.rows.emplace_back();
    for (const BatchRows& work : phase.rows) {
      rows.push_back(call.resolve(work.lanes.instructions));
      registers = std::max(registers, work.lanes.registers);
    }
  }
  call.registers_each = static_cast<std::size_t>(registers + kSpareRegisters) * kTileFloats;
  call.registers = arena().take(call.registers_each * static_cast<std::size_t>(threads));
  for (const BatchConstant& constant : spec_.constants) {
    float* to = call.constants.data() + constant.at;
    std::copy(constant.numbers.begin(), constant.numbers.end(), to);
    std::size_t count = constant.numbers.size();
    for (const BatchConstant::Run& run : constant.runs) {
      std::copy_n(weights[static_cast<std::size_t>(run.weight)] + run.start, run.count, to + count);
      count += static_cast<std::size_t>(run.count);
    }
    if (count == 1) std::fill_n(to, kTileFloats, *to);
  }
  call.bases.assign(static_cast<std::size_t>(threads), std::vector<float*>(kBatchFirst + sequences.size()));

  run_team_beside_torch(threads, [&](const Member& member) {
    pack(call, member, weights);
    float** bases = call.bases[static_cast<std::size_t>(member.index)].data();
    bases[kBatchScratch] = call.scratch.data();
    bases[kBatchConstant] = call.constants.data();
    member.barrier();
    for (int step = 0; step < steps; ++step) {
      const int t = backward ? steps - 1 - step : step;
      for (std::size_t k = 0; k < sequences.size(); ++k) {
        const Sequence& one = sequences[k];
        float*& base = bases[kBatchFirst + k];
        if (one.other != nullptr) {
          base = step % 2 == 0 ? one.data : one.other;
        } else {
          const int place = t + one.shift;
          base = place < 0 || place >= steps ? one.outside : one.data + place * one.stride;
        }
      }
      for (std::size_t phase = 0; phase < spec_.phases.size(); ++phase) {
        if (!spec_.phases[phase].units.empty()) {
          run_units(call, member, phase);
          member.barrier();
        }
        if (!spec_.phases[phase].rows.empty()) {
          run_rows(call, member, phase);
          member.barrier();
        }
      }
    }
  });

  for (auto& group : call.panels)
    for (auto& one : group) arena().give(std::move(one));
  arena().give(std::move(call.scratch));
  arena().give(std::move(call.constants));
  arena().give(std::move(call.registers));
  arena().give(std::move(call.rounded));
}

void TrainingStep::pack(Call& call, const Member& member, const std::vector<const float*>& weights) const {
  for (std::size_t g = 0; g < spec_.groups.size(); ++g) {
    const BatchGroup& group = spec_.groups[g];
    const int vectors = vectors_of(group), step = unit_step_of(group);
    const bool together = group.places.size() > 1;
    for (std::size_t s = 0; s < group.segments.size(); ++s) {
      const BatchSegment& segment = group.segments[s];
      const std::size_t panels = static_cast<std::size_t>(panels_of(group, segment));
      for (std::size_t panel = member.begin(panels); panel < member.end(panels); ++panel) {
        if (precision_ == Precision::kBfloat16) {
          const std::size_t lanes = static_cast<std::size_t>((segment.columns + 1) / 2) * vectors * kLanes;
          pack_pairs(as_pairs(call.panels[g][s].data()) + panel * lanes, vectors, step,
                     static_cast<int>(panel), segment, weights);
          continue;
        }
        float* to = call.panels[g][s].data() + panel * segment.columns * vectors * kLanes;
        for (int vector = 0; vector < vectors; ++vector) {
          const BatchMatrix& matrix = segment.matrices[together ? static_cast<std::size_t>(vector) : 0];
          const int first = static_cast<int>(panel) * step + (together ? 0 : vector * kLanes);
          const int count = std::clamp(segment.rows - first, 0, kLanes);
          const float* from =
              weights[static_cast<std::size_t>(matrix.weight)] + matrix.start + first * matrix.down;
          float* out = to + vector * kLanes;
          const std::ptrdiff_t next = static_cast<std::ptrdiff_t>(vectors) * kLanes;
          // Some columns at a time, so that the lines that are written stay in the first cache.
          constexpr int kColumns = 64;
          for (int begin = 0; begin < segment.columns; begin += kColumns) {
            const int end = std::min(begin + kColumns, segment.columns);
            for (int lane = 0; lane < kLanes; ++lane) {
              const float* row = from + lane * matrix.down;
              if (lane < count)
                for (int k = begin; k < end; ++k) out[k * next + lane] = row[k * matrix.right];
              else
                for (int k = begin; k < end; ++k) out[k * next + lane] = 0.0f;
            }
          }
        }
      }
    }
  }
}

// One panel, two neighbouring columns a lane.
void TrainingStep::pack_pairs(std::uint32_t* panel, int vectors, int step, int number,
                              const BatchSegment& segment, const std::vector<const float*>& weights) const {
  const bool together = segment.matrices.size() > 1;
  const std::ptrdiff_t next = static_cast<std::ptrdiff_t>(vectors) * kLanes;
  for (int vector = 0; vector < vectors; ++vector) {
    const BatchMatrix& matrix = segment.matrices[together ? static_cast<std::size_t>(vector) : 0];
    const int first = number * step + (together ? 0 : vector * kLanes);
    const int count = std::clamp(segment.rows - first, 0, kLanes);
    const float* from = weights[static_cast<std::size_t>(matrix.weight)] + matrix.start + first * matrix.down;
    std::uint32_t* out = panel + vector * kLanes;
    if (matrix.down == 1) {
      // The rows of a matrix that is read transposed lie beside each other, as the lanes do.
      for (int k = 0; k < segment.columns; k += 2) {
        const float* low = from + k * matrix.right;
        std::uint32_t* lanes = out + k / 2 * next;
        kernels_.pair_rows(low, k + 1 < segment.columns ? low + matrix.right : nullptr, count, lanes);
        for (int lane = count; lane < kLanes; ++lane) lanes[lane] = 0;
      }
      continue;
    }
    // Some columns at a time, so that the lines that are written stay in the first cache.
    constexpr int kColumns = 128;
    float row[kColumns];
    std::uint32_t pairs[kColumns / 2];
    for (int begin = 0; begin < segment.columns; begin += kColumns) {
      const int columns = std::min(kColumns, segment.columns - begin), half = (columns + 1) / 2;
      for (int lane = 0; lane < kLanes; ++lane) {
        if (lane < count) {
          const float* at = from + lane * matrix.down + begin * matrix.right;
          for (int k = 0; matrix.right != 1 && k < columns; ++k) row[k] = at[k * matrix.right];
          kernels_.prepare(Precision::kBfloat16, matrix.right == 1 ? at : row, columns, pairs, half, nullptr);
        } else {
          std::fill_n(pairs, half, 0u);
        }
        std::uint32_t* lanes = out + begin / 2 * next + lane;
        for (int k = 0; k < half; ++k) lanes[k * next] = pairs[k];
      }
    }
  }
}

void TrainingStep::run_units(Call& call, const Member& member, std::size_t phase) const {
  float* registers = call.registers.data() + call.registers_each * static_cast<std::size_t>(member.index);
  float* const* bases = call.bases[static_cast<std::size_t>(member.index)].data();
  std::uint32_t* rounded =
      as_pairs(call.rounded.data() + call.rounded_each * static_cast<std::size_t>(member.index));
  // What is rounded now: products that follow one another often read the same rows.
  const float* rows_rounded = nullptr;
  int columns_rounded = 0;
  for (std::size_t k = 0; k < spec_.phases[phase].units.size(); ++k) {
    const BatchLanes& lanes = spec_.phases[phase].units[k];
    const std::size_t blocks = blocks_of(lanes);
    const int begin = static_cast<int>(member.begin(blocks)) * 2 * kLanes;
    const int end = std::min(static_cast<int>(member.end(blocks)) * 2 * kLanes, lanes.size);
    if (begin >= end) continue;
    for (int number : lanes.groups) {
      const BatchGroup& group = spec_.groups[static_cast<std::size_t>(number)];
      const int step = unit_step_of(group);
      const auto fill = [&](auto& product, const BatchSegment& segment) {
        product.vectors = vectors_of(group);
        product.unit_step = step;
        product.out_stride = group.places[0].stride;
        for (int vector = 0; vector < product.vectors; ++vector)
          product.out[vector] =
              group.places.size() > 1
                  ? call.at(member, group.places[static_cast<std::size_t>(vector)]) + segment.unit
                  : call.at(member, group.places[0]) + segment.unit + vector * kLanes;
      };
      for (std::size_t s = 0; s < group.segments.size(); ++s) {
        const BatchSegment& segment = group.segments[s];
        const int low = std::max(begin, segment.unit) - segment.unit;
        const int high = std::min(end, segment.unit + segment.rows) - segment.unit;
        if (low >= high) continue;
        float* panels = call.panels[static_cast<std::size_t>(number)][s].data();
        const float* x = call.at(member, segment.source);
        const int first = low / step, last = (high + step - 1) / step;
        if (precision_ == Precision::kFloat32) {
          PanelProduct product{};
          fill(product, segment);
          product.panels = panels;
          product.columns = segment.columns;
          product.x = x;
          product.x_stride = segment.source.stride;
          kernels_.multiply_panels(product, call.batch, first, last);
          continue;
        }
        const int lanes = lanes_of(segment.columns, precision_);
        if (rows_rounded != x || columns_rounded != segment.columns) {
          for (int row = 0; row < call.batch; ++row)
            kernels_.prepare(Precision::kBfloat16,
                             x + row * static_cast<std::ptrdiff_t>(segment.source.stride), segment.columns,
                             rounded + static_cast<std::ptrdiff_t>(row) * lanes, lanes, nullptr);
          rows_rounded = x;
          columns_rounded = segment.columns;
        }
        PairProduct product{};
        fill(product, segment);
        product.panels = as_pairs(panels);
        product.columns = lanes;
        product.x = rounded;
        product.x_step = 1;
        product.x_stride = lanes;
        kernels_.multiply_pairs(product, call.batch, first, last);
      }
    }
    const auto& instructions = call.units[phase][k];
    if (!instructions.empty())
      kernels_.run_tiles(instructions.data(), static_cast<int>(instructions.size()), bases, 0, call.batch,
                         begin, end, registers);
  }
}

void TrainingStep::run_rows(Call& call, const Member& member, std::size_t phase) const {
  float* registers = call.registers.data() + call.registers_each * static_cast<std::size_t>(member.index);
  float* const* bases = call.bases[static_cast<std::size_t>(member.index)].data();
  const auto batch = static_cast<std::size_t>(call.batch);
  const int first = static_cast<int>(member.begin(batch)), last = static_cast<int>(member.end(batch));
  for (std::size_t k = 0; k < spec_.phases[phase].rows.size(); ++k) {
    const BatchRows& work = spec_.phases[phase].rows[k];
    if (work.kind == BatchWork::kLanes) {
      const auto& instructions = call.rows[phase][k];
      kernels_.run_tiles(instructions.data(), static_cast<int>(instructions.size()), bases, first, last, 0,
                         work.lanes.size, registers);
      continue;
    }
    for (int row = first; row < last; ++row) {
      const float* source =
          call.at(member, work.source) + static_cast<std::ptrdiff_t>(row) * work.source.stride;
      float* target = call.at(member, work.target) + static_cast<std::ptrdiff_t>(row) * work.target.stride;
      for (int j = 0; j < work.size; ++j) {
        const float* from = source + static_cast<std::ptrdiff_t>(j) * work.length * work.source.step;
        if (work.kind == BatchWork::kGather) {
          target[j] = source[spec_.index[static_cast<std::size_t>(work.index + j)] * work.source.step];
        } else if (work.kind == BatchWork::kMax) {
          float largest = from[0];
          for (int i = 1; i < work.length; ++i) {
            const float one = from[i * work.source.step];
            if (one > largest || one != one) largest = one;
          }
          target[j] = largest;
        } else if (work.source.step == 1) {
          target[j] = kernels_.sum(from, work.length);
        } else {
          target[j] = from[0] * static_cast<float>(work.length);
        }
      }
    }
  }
}

// Sizes and numbers of the plan against each other; that tensors are as long as they have to be is the
// caller's.
void TrainingStep::check() const {
  const auto refuse = [](const char* what) {
    throw std::invalid_argument(std::string("the training plan's ") + what);
  };
  const int bases = kBatchFirst + static_cast<int>(sequences());
  const auto width = [&](int base) {
    const auto number = static_cast<std::size_t>(base - kBatchFirst);
    return number < spec_.inputs.size() ? spec_.inputs[number] : spec_.outputs[number - spec_.inputs.size()];
  };
  const auto inside = [&](const BatchPlace& place, int count) {
    if (place.base <= kRegister || place.base >= bases || place.block < 0 || place.start < 0) return false;
    const std::ptrdiff_t last = place.start + (place.step == 0 ? 1 : count);
    if (place.base == kBatchConstant) return last <= spec_.constant_floats;
    if (place.base == kBatchScratch)
      return last <= place.stride && place.block + place.stride <= spec_.scratch;
    return place.block == 0 && place.exact && place.stride == width(place.base) && last <= place.stride;
  };
  const auto check_lanes = [&](const BatchLanes& lanes) {
    if (lanes.size < 1 || lanes.registers < 1 || lanes.registers > 4096) refuse("lanes have no such size");
    for (const BatchInstruction& one : lanes.instructions)
      for (const BatchPlace* place : {&one.target, &one.operands[0], &one.operands[1], &one.operands[2]}) {
        const bool fits = place->base == kRegister ? place->start >= 0 && place->start < lanes.registers
                          : place->base == kBatchConstant && place->step == 0
                              ? inside(*place, 1) && place->start + kTileFloats <= spec_.constant_floats
                              : inside(*place, lanes.size);
        if (!fits || (place == &one.target && (place->base == kBatchConstant || place->step == 0)))
          refuse("instruction reads or writes outside its memory");
      }
  };
  for (const BatchGroup& group : spec_.groups) {
    if (group.places.empty() || group.places.size() > kMaxVectors) refuse("group has no such size");
    for (const BatchPlace& place : group.places)
      if (place.base != kBatchScratch || !inside(place, round_up(group.units, 2 * kLanes)))
        refuse("product lies outside its memory");
    for (const BatchSegment& segment : group.segments) {
      if (segment.rows < 1 || segment.columns < 1 || segment.unit % (2 * kLanes) != 0 || segment.unit < 0 ||
          segment.unit + segment.rows > group.units || segment.matrices.size() != group.places.size() ||
          !inside(segment.source, segment.columns) || segment.source.step != 1)
        refuse("segment does not fit");
    }
  }
  for (const BatchPhase& phase : spec_.phases) {
    for (const BatchLanes& lanes : phase.units) {
      check_lanes(lanes);
      for (int group : lanes.groups)
        if (group < 0 || group >= static_cast<int>(spec_.groups.size()) ||
            spec_.groups[static_cast<std::size_t>(group)].units != lanes.size)
          refuse("group does not belong to its lanes");
    }
    for (const BatchRows& work : phase.rows) {
      if (work.kind == BatchWork::kLanes) {
        check_lanes(work.lanes);
        continue;
      }
      bool fits =
          work.size >= 0 && work.length >= 1 && work.target.step == 1 && inside(work.target, work.size);
      if (fits && work.kind == BatchWork::kGather) {
        fits = work.index >= 0 && static_cast<std::size_t>(work.index) + work.size <= spec_.index.size();
        for (int j = 0; fits && j < work.size; ++j)
          fits = spec_.index[static_cast<std::size_t>(work.index + j)] >= 0 &&
                 inside(work.source, spec_.index[static_cast<std::size_t>(work.index + j)] + 1);
      } else if (fits) {
        fits = inside(work.source, work.size * work.length);
      }
      if (!fits) refuse("row lies outside its memory");
    }
  }
}

}  // namespace throughtime
