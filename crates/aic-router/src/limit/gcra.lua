-- Takes from all buckets or from none, in one step and by the server's own clock.
--
-- KEYS: the buckets. Each holds the time at which it is full again, in microseconds since 1970.
-- ARGV: for each bucket the time by which the call puts that off, in microseconds.
--       First comes the time an empty bucket needs to be full.
-- Returns {0, 0}, or the number of the bucket that has no room for longest, and for how many microseconds.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local whole = tonumber(ARGV[1])
local full_at, fullest, longest = {}, 0, 0

for i, key in ipairs(KEYS) do
  local stored = tonumber(redis.call('GET', key) or nil) or now
  -- A bucket is never more than empty, even if it was kept by a server whose clock was ahead.
  local from = math.min(math.max(stored, now), now + whole)
  full_at[i] = from + tonumber(ARGV[i + 1])
  local wait = full_at[i] - whole - now
  if wait > longest then
    fullest, longest = i, wait
  end
end

if fullest > 0 then
  return {fullest, longest}
end
for i, key in ipairs(KEYS) do
  local ttl_ms = math.ceil((full_at[i] - now) / 1000)
  -- Lua would print a number of this size with an exponent.
  redis.call('SET', key, string.format('%.0f', full_at[i]), 'PX', math.max(ttl_ms, 1))
end
return {0, 0}
