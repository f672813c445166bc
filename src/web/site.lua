#!lua name=gate25site

-- As gate25_version in functions.lua of src/svc.
local LIBRARY_VERSION = 1
redis.register_function{
    function_name = 'gate25site_version',
    callback = function() return LIBRARY_VERSION end,
    flags = { 'no-writes' } }

-- What the sign-up site must do in one step. Each call touches the keys of one slot.

-- One's own release from quarantine: counted, and the standing's hash removed, if it still is the
-- one that the subscriber saw.
--   KEYS 1  g25:standing:{ID}  hash
--        2  g25:released:{ID}  hash: since of the standing that was released -> when, Unix seconds
--   ARGV 1  class of the standing   2  its since   3  how many releases   4  in how many seconds
-- 1: released; 0: the standing is another one or gone; -1: no release is left
local function release(keys, args)
    local standing, released = keys[1], keys[2]
    local now = tonumber(redis.call('TIME')[1])
    local oldest = now - tonumber(args[4])

    local past = redis.call('HGETALL', released)
    for i = 1, #past, 2 do
        if tonumber(past[i + 1]) <= oldest then
            redis.call('HDEL', released, past[i])
        end
    end
    if redis.call('HGET', standing, 'class') ~= args[1] or redis.call('HGET', standing, 'since') ~= args[2] then
        return 0
    end
    if redis.call('HLEN', released) >= tonumber(args[3]) then
        return -1
    end
    redis.call('HSET', released, args[2], now)
    redis.call('EXPIRE', released, args[4])
    redis.call('DEL', standing)
    return 1
end

-- Removes a standing from the index, if it still is that one.
--   KEYS 1  g25:standings   ARGV 1  id   2  "CLASS UNTIL"
local function forget(keys, args)
    if redis.call('HGET', keys[1], args[1]) ~= args[2] then
        return 0
    end
    return redis.call('HDEL', keys[1], args[1])
end

-- Changes of a standing by somebody who has looked at it (standing_change.c) -----------------------
--
--   gate25_site_look    KEYS g25:standing:{ID}; {digest, field, value, ...}
--   gate25_site_change  ARGV the digest that was seen, then fields and values that take the place of all
--                  that was there; none: it is removed. 1: done. 0: the standing is not the one that
--                  was seen, and stays

local function digest(key)
    local names, values = {}, {}
    local all = redis.call('HGETALL', key)
    for i = 1, #all, 2 do
        names[#names + 1] = all[i]
        values[all[i]] = all[i + 1]
    end
    table.sort(names)
    local parts = {}
    for _, name in ipairs(names) do
        parts[#parts + 1] = #name .. ':' .. name .. #values[name] .. ':' .. values[name]
    end
    return redis.sha1hex(table.concat(parts)), all
end

local function look(keys)
    local seen, all = digest(keys[1])
    table.insert(all, 1, seen)
    return all
end

local function change(keys, args)
    if digest(keys[1]) ~= args[1] then
        return 0
    end
    redis.call('DEL', keys[1])
    if #args > 1 then
        redis.call('HSET', keys[1], unpack(args, 2))
    end
    return 1
end

redis.register_function('gate25_site_release', release)
redis.register_function('gate25_site_forget', forget)
redis.register_function{ function_name = 'gate25_site_look', callback = look, flags = { 'no-writes' } }
redis.register_function('gate25_site_change', change)
