-- Reading and writing what Redis keeps of a meter: the keys that meter.lua lists.

local SLOT_MS = 15 * 60 * 1000 -- a slot that is not renewed for so long is taken for a dead session's
local CLOCK_STEP_MS = 60 * 1000 -- times further in the future come from a clock that was set back
local SLACK_LEAST_S, SLACK_MOST_S = 60, 3600 -- that a meter lives longer than it must

local ZEROS = { '00000', '0000', '000', '00', '0', '' }

-- In microseconds, as a number and as text.
local function time_us()
    local time = call('TIME')
    local s, us = time[1], time[2]
    local text = s .. ZEROS[#us] .. us
    return text + 0, text
end

-- The clock was set back by `ahead` us since the meter was written: its times go back with it, so that
-- nobody has more or less than before.
local function set_back(key, ahead)
    local found, words = call('HSCAN', key, '0', 'COUNT', '1000')[2], {}
    for i = 1, #found, 2 do
        local name, us = found[i], tonumber(found[i + 1])
        if us and (name == 'at' or name == 'awaited' or IS_BUCKET[string.match(name, '^(%a+):')]) then
            words[#words + 1] = name
            words[#words + 1] = format(WHOLE, us - ahead)
        end
    end
    call('HSET', key, unpack(words))
end

-- Reads the TATs of the plan's buckets. Returns until when the meter lives (Unix s), and what the
-- field behind the TATs says, if there is one: a text, or false.
local function load_buckets(key, plan, now, fields, read_only)
    local buckets = plan.buckets
    if #buckets == 0 then
        return 0
    end
    local times = call('HMGET', key, unpack(fields))
    local ahead = (times[1] or 0) - now
    ahead = ahead > 0 and ahead or 0
    for i = 1, #buckets do
        local w = buckets[i]
        w.tat, w.changed = (times[i + 2] or 0) - ahead, false
    end
    if ahead > 0 and not read_only then
        set_back(key, ahead)
    end
    return (times[2] or 0) + 0, times[#buckets + 3]
end

local function take_tokens(w, now, n)
    w.tat, w.changed = after_taking(w, now, n), true
end

local words = {} -- of save()

-- Writes what has changed; `awaited`: that too, or nil. The meter lives as long as any of it matters
-- and, so that most questions need not look after that, up to as long again.
local function save(key, plan, now, now_text, until_s, awaited)
    local n, last, buckets = 0, awaited or 0, plan.buckets
    for i = 1, #buckets do
        local w = buckets[i]
        if w.changed then
            words[n + 1], words[n + 2] = w.field, format(WHOLE, w.tat)
            n = n + 2
            last = w.tat > last and w.tat or last
        end
    end
    if awaited then
        words[n + 1], words[n + 2] = 'awaited', format(WHOLE, awaited)
        n = n + 2
    end
    if n == 0 then
        return
    end
    words[n + 1], words[n + 2] = 'at', now_text
    n = n + 2
    if last <= until_s * 1000000 then
        call('HSET', key, unpack(words, 1, n))
        return
    end
    local life_s = ceil((last - now) / 1000000)
    life_s = life_s + math.min(math.max(life_s, SLACK_LEAST_S), SLACK_MOST_S)
    words[n + 1], words[n + 2] = 'until', format(WHOLE, floor(now / 1000000) + life_s)
    call('HSET', key, unpack(words, 1, n + 2))
    call('PEXPIRE', key, (life_s + 1) * 1000)
end

-- Lengthens the life of `key` to `ms` at least, and by `slack` more. A key just made has none yet.
local function keep_alive(key, ms, slack)
    if call('PTTL', key) < ms then
        call('PEXPIRE', key, ms + slack)
    end
end

local function renew_slot(key, slot, now)
    call('ZADD', key, format(WHOLE, floor(now / 1000) + SLOT_MS), slot)
    call('PEXPIRE', key, SLOT_MS)
end

-- What a clock left in the future that was set back since counts from now on.
local function bring_back(key, last_ms, to_ms)
    local members = call('ZRANGEBYSCORE', key, '(' .. format(WHOLE, last_ms), '+inf')
    for _, member in ipairs(members) do
        call('ZADD', key, format(WHOLE, to_ms), member)
    end
end
