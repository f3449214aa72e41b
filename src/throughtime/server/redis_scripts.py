"""What Redis runs of a store of sessions: each script is one step that nothing comes between.

Keys, behind the store's prefix:

- `s:ID`, a hash: `model`, `facts`, `position` of the snapshot, `end` of the journal, `expires`, `gone`, and
  `lease`, which is HOLDER:FENCE, or empty while nobody has the session.
- `n:ID` the snapshot, `j:ID` the journal: entries one after the other, see `ENTRY`.
- `c:ID` a hash of calls: `:KEY` holds a letter (d: answered, o: begun, s: superseded) and the call, `open`
  the key of the one that is begun, `#N` the key of the N-th, by which old ones are forgotten.
- `server:HOLDER`, which ends with a server's lease. `fences`, a counter.
- Channels `to:HOLDER` tell a server what others want of it.
"""

from __future__ import annotations

from throughtime.server.store import REMEMBERED_CALLS

# An entry of a journal: position, tokens or frames, numbers of each, how many were drawn, resets; then 4
# bytes for each number. Lua's is the same: I8 is 8 bytes, I4 is 4.
ENTRY = "<QIIIB"
ENTRY_BYTES = 21

# ARGV: prefix, holder, then for each session "FENCE COUNT ID" and its COUNT changes. FENCE is empty for a new
# session, and - for what belongs to none. A change is a letter with its first argument, and more as PARTS
# says. A session's changes are written, all or none, if its lease is the writer's and the journal goes on
# where it ends. A store that lost its last second, as Redis may, is found out by that, too.
# Returns the places, counted from 1, of sessions that were refused, and the fences of new ones.
COMMIT = """
local prefix, me = ARGV[1], ARGV[2]
local PARTS = {A = 1, P = 8, T = 1, R = 3, S = 1, F = 2, L = 1}
local call, format = redis.call, string.format
local REMEMBERED, SLACK, CALLS = 86400000, 60000, $CALLS
local refused, minted = {}, {}

local function touch(id, expires)
  local ends = tonumber(expires) * 1000
  call('pexpireat', prefix .. 's:' .. id, format('%.0f', ends + REMEMBERED))
  for _, kind in ipairs({'n:', 'j:', 'c:'}) do
    call('pexpireat', prefix .. kind .. id, format('%.0f', ends + SLACK))
  end
end

local function between(journal, from, to)
  local kept, at = {}, 1
  while at <= #journal do
    local position, count, width = struct.unpack('<I8I4I4', journal, at)
    local size = 21 + 4 * count * width
    if position >= from and position < to then
      kept[#kept + 1] = string.sub(journal, at, at + size - 1)
    end
    at = at + size
  end
  return table.concat(kept)
end

local function close_open(calls)
  local open = call('hget', calls, 'open')
  if open then
    local before = call('hget', calls, ':' .. open)
    if before then call('hset', calls, ':' .. open, 's' .. string.sub(before, 2)) end
    call('hdel', calls, 'open')
  end
end

local write = {}

function write.A(id, at)
  local entry = string.sub(ARGV[at], 2)
  local position, count = struct.unpack('<I8I4', entry)
  local size = call('append', prefix .. 'j:' .. id, entry)
  call('hset', prefix .. 's:' .. id, 'end', format('%.0f', position + count))
  if size == #entry then
    local expires = call('hget', prefix .. 's:' .. id, 'expires')
    call('pexpireat', prefix .. 'j:' .. id, format('%.0f', tonumber(expires) * 1000 + SLACK))
  end
end

function write.P(id, at)
  local flag, model, facts, snapshot = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local position, expires, from, more = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
  local last = call('hget', prefix .. 's:' .. id, 'end')
  call('hset', prefix .. 's:' .. id, 'model', model, 'facts', facts, 'position', position, 'end', position,
    'expires', expires, 'gone', '')
  if flag == 'P1' then
    call('set', prefix .. 'n:' .. id, snapshot)
  else
    call('del', prefix .. 'n:' .. id)
  end
  local journal = ''
  if tonumber(from) < tonumber(position) then
    -- In the middle of a long call all of the journal stays.
    local first = call('getrange', prefix .. 'j:' .. id, 0, 7)
    if more == '' and last == position and #first == 8 and struct.unpack('<I8', first) == tonumber(from) then
      touch(id, expires)
      return
    end
    journal = between(call('get', prefix .. 'j:' .. id) or '', tonumber(from), tonumber(position))
  end
  journal = journal .. more
  if journal == '' then
    call('del', prefix .. 'j:' .. id)
  else
    call('set', prefix .. 'j:' .. id, journal)
  end
  if more ~= '' then
    local ends, next = 0, 1
    while next <= #more do
      local first, count, width = struct.unpack('<I8I4I4', more, next)
      ends, next = first + count, next + 21 + 4 * count * width
    end
    call('hset', prefix .. 's:' .. id, 'end', format('%.0f', ends))
  end
  touch(id, expires)
end

function write.T(id, at)
  local expires = string.sub(ARGV[at], 2)
  call('hset', prefix .. 's:' .. id, 'expires', expires)
  touch(id, expires)
end

function write.R(id, at)
  local calls = prefix .. 'c:' .. id
  local letter, key = string.sub(ARGV[at], 2), ARGV[at + 1]
  local open = call('hget', calls, 'open')
  if open and open ~= key and letter == 'o' then close_open(calls) end
  if call('hset', calls, ':' .. key, letter .. ARGV[at + 2]) == 1 then
    local number = call('hincrby', calls, 'count', 1)
    call('hset', calls, '#' .. number, key)
    local old = number - CALLS > 1 and call('hget', calls, '#' .. (number - CALLS))
    if old then call('hdel', calls, ':' .. old, '#' .. (number - CALLS)) end
  end
  if letter == 'o' then
    call('hset', calls, 'open', key)
  elseif open == key then
    call('hdel', calls, 'open')
  end
  local expires = call('hget', prefix .. 's:' .. id, 'expires')
  if expires then call('pexpireat', calls, format('%.0f', tonumber(expires) * 1000 + SLACK)) end
end

function write.S(id, at)
  close_open(prefix .. 'c:' .. id)
end

function write.F(id, at)
  call('hset', prefix .. 's:' .. id, 'gone', string.sub(ARGV[at], 2), 'facts', '{}')
  call('pexpireat', prefix .. 's:' .. id, ARGV[at + 1])
  call('del', prefix .. 'n:' .. id, prefix .. 'j:' .. id, prefix .. 'c:' .. id)
end

function write.L(id, at)
  call('hset', prefix .. 's:' .. id, 'lease', '')
  local to = string.sub(ARGV[at], 2)
  if to ~= '' then call('publish', prefix .. 'to:' .. to, 'free ' .. id) end
end

-- Where the first entry begins that goes on with the journal as it is; nil where there is none.
local function goes_on(at, count)
  for _ = 1, count do
    local letter = string.sub(ARGV[at], 1, 1)
    if letter == 'P' or letter == 'F' then return nil end
    if letter == 'A' then return (struct.unpack('<I8', ARGV[at], 2)) end
    at = at + PARTS[letter]
  end
end

local at, place = 3, 0
while at <= #ARGV do
  place = place + 1
  local fence, count, id = string.match(ARGV[at], '^(%S*) (%d+) (.*)$')
  at, count = at + 1, tonumber(count)
  local known = call('hmget', prefix .. 's:' .. id, 'lease', 'end')
  local right = fence == '-'
  if fence == '' then
    right = not known[1]
    if right then
      local number = call('incr', prefix .. 'fences')
      call('hset', prefix .. 's:' .. id, 'lease', me .. ':' .. number)
      minted[#minted + 1] = number
    else
      minted[#minted + 1] = 0
    end
  elseif not right then
    right = known[1] == me .. ':' .. fence
    local begin = right and goes_on(at, count)
    if begin and begin ~= tonumber(known[2]) then right = false end
  end
  if not right then refused[#refused + 1] = place end
  for _ = 1, count do
    local letter = string.sub(ARGV[at], 1, 1)
    if right then write[letter](id, at) end
    at = at + PARTS[letter]
  end
end
return {refused, minted}
""".replace("$CALLS", str(REMEMBERED_CALLS))

# ARGV: prefix, holder, seconds since 1970, and sessions. Takes the leases of those that are there, and asks
# whoever has one of them for it. Of each: 0 where it is not known, 1 where another server has it; else its
# fence (0 where it is over), model, facts, snapshot, position, journal, expires, and why it is gone.
TAKE = """
local prefix, me, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local call = redis.call
local found = {}
for at = 4, #ARGV do
  local id = ARGV[at]
  local key = prefix .. 's:' .. id
  local known = call('hmget', key, 'model', 'facts', 'position', 'expires', 'gone', 'lease')
  if not known[1] then
    found[#found + 1] = 0
  elseif known[5] ~= '' or tonumber(known[4]) < now then
    found[#found + 1] = {0, known[1], '{}', false, known[3], '', known[4], known[5]}
  else
    local holder = string.match(known[6] or '', '^(.*):')
    if holder and holder ~= me and call('exists', prefix .. 'server:' .. holder) == 1 then
      call('publish', prefix .. 'to:' .. holder, 'want ' .. me .. ' ' .. id)
      found[#found + 1] = 1
    else
      local fence = call('incr', prefix .. 'fences')
      call('hset', key, 'lease', me .. ':' .. fence)
      local snapshot, journal = call('get', prefix .. 'n:' .. id), call('get', prefix .. 'j:' .. id)
      found[#found + 1] = {fence, known[1], known[2], snapshot, known[3], journal or '', known[4], ''}
    end
  end
end
return found
"""

# ARGV: prefix, holder, then "FENCE ID" of sessions. Returns the places of those that another one has by now.
CHECK = """
local prefix, me = ARGV[1], ARGV[2]
local lost = {}
for at = 3, #ARGV do
  local fence, id = string.match(ARGV[at], '^(%d+) (.*)$')
  if redis.call('hget', prefix .. 's:' .. id, 'lease') ~= me .. ':' .. fence then lost[#lost + 1] = at - 2 end
end
return lost
"""

# ARGV: prefix, holder, a session that the holder knows nothing of, and who wants it.
DISOWN = """
local prefix, me, id, to = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local holder = string.match(redis.call('hget', prefix .. 's:' .. id, 'lease') or '', '^(.*):')
if holder == me then
  redis.call('hset', prefix .. 's:' .. id, 'lease', '')
  redis.call('publish', prefix .. 'to:' .. to, 'free ' .. id)
end
return 0
"""
