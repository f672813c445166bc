-- GCRA, operation by operation as in src/core/rate.c.
--
--   gate25_rate   no keys; COUNT PERIOD_US TAT NOW N -> {available, TAT after taking, wait}, the
--                 last two as text: this file's arithmetic alone, for its comparison with rate.c

local function increment(w, n)
    local us = n * w.period / w.count + 0.5
    return us - us % 1
end

-- No debt is over two periods: what is beyond was written by a clock that was set back since.
local function base_of(w, now)
    local base, most = w.tat, now + 2 * w.period
    base = base > now and base or now
    return base < most and base or most
end

local function fits(w, base, now, n)
    return base + increment(w, n) - now <= w.period
end

local function available(w, now, want)
    local base = base_of(w, now)
    if want == 1 then -- what comes of the rest, by fewer steps
        return fits(w, base, now, 1) and 1 or 0
    end
    local n = floor((w.period - (base - now)) * w.count / w.period)
    n = n > want and want or n
    n = n > 0 and n or 0
    if n < want and fits(w, base, now, n + 1) then
        n = n + 1
    end
    while n > 0 and not fits(w, base, now, n) do
        n = n - 1
    end
    return n
end

local function after_taking(w, now, n)
    local tat, most = base_of(w, now) + increment(w, n), now + 2 * w.period
    return tat < most and tat or most
end

local function wait(w, now, n)
    local us = base_of(w, now) + increment(w, n < w.count and n or w.count) - now - w.period
    return us > 0 and us or 0
end

local function rate(_, args)
    ready()
    local w = { count = tonumber(args[1]), period = tonumber(args[2]), tat = tonumber(args[3]) }
    local now, n = tonumber(args[4]), tonumber(args[5])
    return {
        available(w, now, n),
        string.format('%.17g', after_taking(w, now, n)),
        string.format('%.17g', wait(w, now, n)),
    }
end

redis.register_function{ function_name = 'gate25_rate', callback = rate, flags = { 'no-writes' } }
