#include "program.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace throughtime {
namespace {

// Many slots go through a few blocks at a time, so that what products leave stays in the cache.
constexpr std::size_t kManySlots = 8;

std::ptrdiff_t element(const LanePlace& place, int k) {
  return place.offset + static_cast<std::ptrdiff_t>(k / kLanes) * place.stride + k % kLanes;
}

}  // namespace

ProgramLayer::ProgramLayer(const ProgramSpec& spec, Precision precision, const Kernels& kernels)
    : RecurrentLayer(spec.input_size, spec.output_size, spec.state_sizes),
      spec_(spec),
      kernels_(kernels),
      base_count_(kState + spec_.state_sizes.size()),
      reader_(spec_.sources.size(), nullptr) {
  pack(precision);
  check();
  for (std::size_t k = 0; k < matrices_.size(); ++k)
    for (std::size_t j = 0; j < matrices_[k].size(); ++j)
      reader_[spec_.products[k].segments[j].source] = &matrices_[k][j].view();
  for (const Schedule* schedule : {&spec_.project, &spec_.step, &spec_.fused})
    for (const ProgramPhase& phase : *schedule)
      for (const ProgramLanes& lanes : phase.lanes)
        most_registers_ = std::max(most_registers_, lanes.registers);
}

void ProgramLayer::pack(Precision precision) {
  for (ProgramProduct& product : spec_.products) {
    const int vectors = product.place.stride / kLanes;
    if (vectors < 1 || vectors > kMaxVectors || product.place.stride % kLanes != 0 || product.units < 1)
      throw std::invalid_argument("the plan has a product of no such width");
    matrices_.emplace_back();
    for (ProgramSegment& segment : product.segments) {
      if (segment.rows < 1 || segment.columns < 1 || segment.rows % vectors != 0)
        throw std::invalid_argument("the plan has a matrix of no such shape");
      const int units = segment.rows / vectors;
      const bool alone = vectors == 1;
      matrices_.back().emplace_back(segment.weights, segment.columns,
                                    alone ? plain_rows(units) : interleaved_rows(vectors, units),
                                    alone ? kPlainVectors : vectors, precision);
      segment.weights = nullptr;
    }
  }
}

std::size_t ProgramLayer::weight_bytes(bool with_input) const {
  std::size_t bytes = 0;
  for (std::size_t k = 0; k < matrices_.size(); ++k)
    if (with_input || spec_.products[k].place.base == kScratch)
      for (const PackedMatrix& matrix : matrices_[k]) bytes += matrix.bytes();
  return bytes;
}

void ProgramLayer::reserve(Room& room, std::size_t slots, std::size_t rows, int members) const {
  auto& workspace = static_cast<Workspace&>(room);
  const std::size_t places = std::max(Readying::places(slots, members), Readying::places(rows, members));
  workspace.prepared.resize(spec_.sources.size());
  for (std::size_t k = 0; k < spec_.sources.size(); ++k)
    if (reader_[k] != nullptr) workspace.prepared[k].reserve(*reader_[k], places);
  workspace.projected.reserve(slots * projected_floats());
  workspace.scratch.reserve(slots * static_cast<std::size_t>(spec_.scratch_floats));
  workspace.registers.reserve(static_cast<std::size_t>(members) * most_registers_ * kBlocksTogether * kLanes);
  if (workspace.bases.size() < places * base_count_) workspace.bases.resize(places * base_count_);
}

void ProgramLayer::project(const Member& member, Room& room, std::size_t rows, const float* const* x,
                           float* projected) const {
  if (rows == 0) return;
  auto& workspace = static_cast<Workspace&>(room);
  const Readying mine(member, rows);
  for (std::size_t row = mine.begin; row < mine.end; ++row) {
    float** to = bases(workspace, mine, row);
    to[kProjected] = projected + row * projected_floats();
    to[kConstant] = const_cast<float*>(spec_.constants.data());
    to[kInput] = const_cast<float*>(x[row]);
  }
  if (!mine.apart) member.barrier();
  run(member, workspace, spec_.project, rows, mine, false);
}

void ProgramLayer::ready(const Member& member, Room& room, std::size_t n, float* const* states) const {
  auto& workspace = static_cast<Workspace&>(room);
  if (spec_.step.empty()) return;
  const Readying mine(member, n);
  for (int source : spec_.step.front().sources) {
    const LanePlace& place = spec_.sources[source].place;
    if (place.base < kState) continue;
    const std::size_t part = place.base - kState;
    for (std::size_t slot = mine.begin; slot < mine.end; ++slot)
      prepare(workspace, source, slot, mine, states[part * n + slot]);
  }
}

void ProgramLayer::step(const Member& member, Room& room, std::size_t n, const float* const* start,
                        const float* const* x, float* const* states) const {
  if (n == 0) return;
  auto& workspace = static_cast<Workspace&>(room);
  const Readying mine(member, n);
  for (std::size_t slot = mine.begin; slot < mine.end; ++slot) {
    float** to = bases(workspace, mine, slot);
    to[kProjected] = start != nullptr ? const_cast<float*>(start[slot])
                                      : workspace.projected.data() + slot * projected_floats();
    to[kScratch] = workspace.scratch.data() + slot * static_cast<std::size_t>(spec_.scratch_floats);
    to[kConstant] = const_cast<float*>(spec_.constants.data());
    to[kInput] = x != nullptr ? const_cast<float*>(x[slot]) : nullptr;
    for (std::size_t part = 0; part < state_sizes().size(); ++part)
      to[kState + part] = states[part * n + slot];
  }
  if (!mine.apart) member.barrier();
  run(member, workspace, start != nullptr ? spec_.step : spec_.fused, n, mine, true);
}

const float* ProgramLayer::output(const Member& member, const Room& room, std::size_t n, std::size_t slot,
                                  float* const*) const {
  const auto& workspace = static_cast<const Workspace&>(room);
  const Readying mine(member, n);
  return workspace.bases[(mine.place + slot) * base_count_ + spec_.output.base] + spec_.output.offset;
}

// Outputs lie in one row, as `output` gives its beginning alone.
int ProgramLayer::output_part() const {
  const int part = spec_.output.base - kState;
  if (part < 0 || spec_.output.offset < 0) return -1;
  return spec_.output.offset + output_size() <= state_sizes()[static_cast<std::size_t>(part)] ? part : -1;
}

void ProgramLayer::run(const Member& member, Workspace& workspace, const Schedule& schedule, std::size_t n,
                       const Readying& mine, bool states_ready) const {
  for (std::size_t number = 0; number < schedule.size(); ++number) {
    const ProgramPhase& phase = schedule[number];
    bool prepares = false;
    for (int source : phase.sources) {
      const LanePlace& place = spec_.sources[source].place;
      if (states_ready && number == 0 && place.base >= kState) continue;
      prepares = true;
      for (std::size_t slot = mine.begin; slot < mine.end; ++slot)
        prepare(workspace, source, slot, mine, bases(workspace, mine, slot)[place.base]);
    }
    if (prepares && !mine.apart) member.barrier();
    for (const ProgramLanes& lanes : phase.lanes) run_lanes(member, workspace, lanes, n, mine);
    for (std::size_t slot = member.begin(n); slot < member.end(n); ++slot)
      for (const ProgramRow& row : phase.rows) run_row(row, bases(workspace, mine, slot));
    member.barrier();
  }
}

void ProgramLayer::prepare(Workspace& workspace, int source, std::size_t slot, const Readying& mine,
                           const float* row) const {
  const PackedView& weights = *reader_[source];
  const PreparedView view = workspace.prepared[source].view(weights, mine.place);
  kernels_.prepare(weights.precision, row + spec_.sources[source].place.offset, spec_.sources[source].size,
                   view.lanes + slot * view.stride, weights.groups, view.scales + slot);
}

void ProgramLayer::run_lanes(const Member& member, Workspace& workspace, const ProgramLanes& lanes,
                             std::size_t n, const Readying& mine) const {
  const auto grains = static_cast<std::size_t>((lanes.blocks + lanes.grain - 1) / lanes.grain);
  const int first = static_cast<int>(member.begin(grains)) * lanes.grain;
  const int last = std::min(static_cast<int>(member.end(grains)) * lanes.grain, lanes.blocks);
  const int together = n < kManySlots ? std::max(last - first, 1) : kBlocksTogether;
  float* registers = workspace.registers.data() +
                     static_cast<std::size_t>(member.index) * most_registers_ * kBlocksTogether * kLanes;
  for (int begin = first; begin < last; begin += together) {
    const int end = std::min(begin + together, last);
    for (int number : lanes.products) {
      const ProgramProduct& product = spec_.products[number];
      const std::ptrdiff_t from =
          product.place.offset + static_cast<std::ptrdiff_t>(begin) * product.place.stride;
      const std::ptrdiff_t floats = static_cast<std::ptrdiff_t>(end - begin) * product.place.stride;
      for (std::size_t slot = 0; slot < n; ++slot) {
        float* row = bases(workspace, mine, slot)[product.place.base] + from;
        if (product.bias.size() > 0)
          std::copy_n(product.bias.data() + (from - product.place.offset), floats, row);
        else
          std::fill_n(row, floats, 0.0f);
      }
      // The slots' rows lie one behind the other in their arena.
      float* out = bases(workspace, mine, 0)[product.place.base] + product.place.offset;
      const auto stride = static_cast<std::size_t>(product.place.base == kProjected ? spec_.projected_floats
                                                                                    : spec_.scratch_floats);
      for (std::size_t k = 0; k < product.segments.size(); ++k) {
        const ProgramSegment& segment = product.segments[k];
        const PackedView& weights = matrices_[number][k].view();
        const int unit_blocks =
            weights.vectors * kLanes / product.place.stride;  // blocks of units a packed block has
        const int start = segment.unit / kLanes;
        const int low = std::max(begin - start, 0) / unit_blocks;
        const int high = std::min((std::max(end - start, 0) + unit_blocks - 1) / unit_blocks, weights.blocks);
        if (low >= high) continue;
        kernels_.accumulate(weights, workspace.prepared[segment.source].view(weights, mine.place),
                            static_cast<int>(n), low, high,
                            out + static_cast<std::ptrdiff_t>(start) * product.place.stride, stride);
      }
    }
    if (lanes.instructions.empty()) continue;
    for (std::size_t slot = 0; slot < n; ++slot)
      kernels_.run_lanes(lanes.instructions.data(), static_cast<int>(lanes.instructions.size()),
                         bases(workspace, mine, slot), begin, end, registers);
  }
}

void ProgramLayer::run_row(const ProgramRow& row, float* const* bases) const {
  const float* source = bases[row.source.base];
  float* target = bases[row.target.base] + row.target.offset;
  const auto at = [&](int k) { return source[element(row.source, k)]; };
  switch (row.kind) {
    case RowKind::kCopy:
      for (int k = 0; k < row.count; ++k) target[k] = at(k);
      return;
    case RowKind::kGather:
      for (int k = 0; k < row.count; ++k) target[k] = at(spec_.index[row.extra + k]);
      return;
    case RowKind::kSum:
      for (int k = 0; k < row.count; ++k) {
        double sum = 0;
        for (int j = 0; j < row.length; ++j) sum += at(k * row.length + j);
        target[k] = static_cast<float>(sum);
      }
      return;
    case RowKind::kMax:
      for (int k = 0; k < row.count; ++k) {
        float largest = at(k * row.length);
        for (int j = 1; j < row.length; ++j) {
          const float one = at(k * row.length + j);
          if (one > largest || one != one) largest = one;
        }
        target[k] = largest;
      }
      return;
    case RowKind::kNormalise: {
      const double epsilon = spec_.constants[row.extra];
      for (int group = 0; group < row.count; ++group) {
        const int first = group * row.length;
        double sum = 0, squares = 0;
        for (int j = 0; j < row.length; ++j) sum += at(first + j);
        const double mean = sum / row.length;
        for (int j = 0; j < row.length; ++j) {
          const double apart = at(first + j) - mean;
          squares += apart * apart;
        }
        const double inverse = 1.0 / std::sqrt(squares / row.length + epsilon);
        for (int j = 0; j < row.length; ++j)
          target[first + j] = static_cast<float>((at(first + j) - mean) * inverse);
      }
      return;
    }
  }
}

// Every place has to lie within its memory, whoever wrote the plan.
void ProgramLayer::check() const {
  const auto refuse = [](const std::string& what) { throw std::invalid_argument("the plan's " + what); };
  std::vector<std::ptrdiff_t> floats(base_count_, 0);
  floats[kProjected] = spec_.projected_floats;
  floats[kScratch] = spec_.scratch_floats;
  floats[kConstant] = static_cast<std::ptrdiff_t>(spec_.constants.size());
  floats[kInput] = static_cast<std::ptrdiff_t>(padded(spec_.input_size));
  for (std::size_t part = 0; part < state_sizes().size(); ++part)
    floats[kState + part] = static_cast<std::ptrdiff_t>(padded(spec_.state_sizes[part]));
  // Whether blocks of 16 elements lie inside.
  const auto inside = [&](const LanePlace& place, std::ptrdiff_t blocks) {
    return place.base > kRegister && place.base < static_cast<int>(base_count_) && place.offset >= 0 &&
           (place.stride == 0 || place.stride >= kLanes) &&
           (blocks == 0 || place.offset + (blocks - 1) * place.stride + kLanes <= floats[place.base]);
  };
  const auto elements_inside = [&](const LanePlace& place, std::ptrdiff_t count) {
    return inside(place, 0) && count >= 0 &&
           (count == 0 || element(place, static_cast<int>(count - 1)) < floats[place.base]);
  };
  // What there is while a schedule runs: a projection knows no state, and a step after it no input.
  const auto there = [&](const LanePlace& place, const Schedule* schedule) {
    if (schedule == &spec_.project) return place.base != kScratch && place.base < kState;
    return schedule != &spec_.step || place.base != kInput;
  };
  const auto writable = [&](const LanePlace& place) {
    return place.base == kProjected || place.base == kScratch || place.base >= kState;
  };
  if (!elements_inside(spec_.output, spec_.output_size) || spec_.output.base == kInput)
    refuse("output lies outside its memory");
  for (const ProgramSource& source : spec_.sources)
    if (!elements_inside(source.place, source.size) || source.place.stride != kLanes)
      refuse("source lies outside its memory");
  std::vector<bool> is_read(spec_.sources.size());
  for (std::size_t number = 0; number < spec_.products.size(); ++number) {
    const ProgramProduct& product = spec_.products[number];
    const int vectors = product.place.stride / kLanes;
    const std::ptrdiff_t blocks = (product.units + kLanes - 1) / kLanes;
    if ((product.place.base != kProjected && product.place.base != kScratch) || !inside(product.place, 0))
      refuse("product lies outside its memory");
    for (std::size_t k = 0; k < product.segments.size(); ++k) {
      const ProgramSegment& segment = product.segments[k];
      const PackedMatrix& matrix = matrices_[number][k];
      const bool fits =
          segment.unit >= 0 && segment.unit % ((vectors == 1 ? kPlainVectors : 1) * kLanes) == 0;
      const std::ptrdiff_t end = product.place.offset +
                                 static_cast<std::ptrdiff_t>(segment.unit / kLanes) * product.place.stride +
                                 static_cast<std::ptrdiff_t>(matrix.rows());
      if (!fits || end > floats[product.place.base] || segment.source < 0 ||
          segment.source >= static_cast<int>(spec_.sources.size()) ||
          matrix.columns() != spec_.sources[segment.source].size)
        refuse("product does not fit its memory");
      is_read[segment.source] = true;
    }
    const std::ptrdiff_t room = blocks * product.place.stride;
    if (product.place.offset + room > floats[product.place.base] ||
        (product.bias.size() > 0 && static_cast<std::ptrdiff_t>(product.bias.size()) < room))
      refuse("product does not fit its memory");
  }
  for (const Schedule* schedule : {&spec_.project, &spec_.step, &spec_.fused})
    for (const ProgramPhase& phase : *schedule) {
      for (int source : phase.sources)
        if (source < 0 || source >= static_cast<int>(spec_.sources.size()) || !is_read[source] ||
            !there(spec_.sources[source].place, schedule))
          refuse("source does not exist");
      for (const ProgramLanes& lanes : phase.lanes) {
        if (lanes.blocks < 0 || lanes.grain < 1 || lanes.registers < 1 || lanes.registers > 4096)
          refuse("lane group has no such size");
        for (int product : lanes.products)
          if (product < 0 || product >= static_cast<int>(spec_.products.size()) ||
              (spec_.products[product].units + kLanes - 1) / kLanes != lanes.blocks ||
              !there(spec_.products[product].place, schedule) ||
              (spec_.products[product].place.stride == kLanes && lanes.grain % kPlainVectors != 0))
            refuse("product does not belong to its lanes");
        for (const LaneInstruction& one : lanes.instructions) {
          if (one.operation >= LaneOperation::kCount) refuse("operation does not exist");
          for (const LanePlace* place : {&one.target, &one.operands[0], &one.operands[1], &one.operands[2]}) {
            const bool is_target = place == &one.target;
            const bool fits = place->base == kRegister
                                  ? place->offset >= 0 && place->offset < lanes.registers
                                  : inside(*place, lanes.blocks) && there(*place, schedule) &&
                                        (!is_target || writable(*place));
            if (!fits) refuse("instruction reads or writes outside its memory");
          }
        }
      }
      for (const ProgramRow& row : phase.rows) {
        const std::ptrdiff_t results =
            row.kind == RowKind::kNormalise ? std::ptrdiff_t{row.count} * row.length : row.count;
        const std::ptrdiff_t reads = row.kind == RowKind::kSum || row.kind == RowKind::kMax
                                         ? std::ptrdiff_t{row.count} * row.length
                                         : results;
        bool fits = row.count >= 0 && row.length >= 1 && results < (1 << 30) && reads < (1 << 30) &&
                    there(row.source, schedule) && there(row.target, schedule) &&
                    row.target.base != kConstant && row.target.base != kInput &&
                    row.target.stride == kLanes && elements_inside(row.target, results) && row.extra >= 0;
        if (fits && row.kind == RowKind::kGather) {
          fits = static_cast<std::size_t>(row.extra) + row.count <= spec_.index.size();
          for (int k = 0; fits && k < row.count; ++k)
            fits = spec_.index[row.extra + k] >= 0 &&
                   elements_inside(row.source, spec_.index[row.extra + k] + 1);
        } else if (fits) {
          fits = elements_inside(row.source, reads);
          if (row.kind == RowKind::kNormalise)
            fits = fits && static_cast<std::size_t>(row.extra) < spec_.constants.size();
        }
        if (!fits) refuse("row lies outside its memory");
      }
    }
}

}  // namespace throughtime
