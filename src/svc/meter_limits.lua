-- Whether the windows of each kind of limit have what is asked for, and taking it from them.

local SLOT_RETRY_US = 60 * 1000000 -- nobody knows when a session ends: a polite guess

-- What refuses the question under way, and what its bytes have left.
local refusal, debt = { window = 0, us = 0 }, { window = 0, us = 0 }

-- Of several windows that refuse, the one to name is the one that refuses longest: whoever waits
-- so long finds the others open too.
local function refuse(by, w, us)
    if by.window == 0 or us > by.us then
        by.window, by.us = w.at, us
    end
end

-- The exact look: what is too old goes, what is too young comes back.
local function count_spread(key, windows, last, ms, longest_ms)
    call('ZREMRANGEBYSCORE', key, '-inf', format(WHOLE, ms - longest_ms))
    bring_back(key, ms + CLOCK_STEP_MS, ms)
    for i = 1, #windows do
        local w = windows[i]
        local since = ms - w.period_ms
        if not (last and last > since) then
            local from = '(' .. format(WHOLE, since)
            local used = call('ZCOUNT', key, from, '+inf')
            if used >= w.count then
                local blocker = call(
                    'ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', used - w.count, 1)
                refuse(refusal, w, (tonumber(blocker[2]) - since) * 1000)
            end
        end
    end
end

-- Returns when the destination was contacted last (Unix ms), or nil. As long as there is room for it
-- whatever the others' times are, nobody has to look at them.
local function check_spread(key, destination, plan, ms)
    local last, most = tonumber(call('ZSCORE', key, destination)), nil
    for i = 1, #plan.spread do
        local w = plan.spread[i]
        if not (last and last > ms - w.period_ms) and not (most and most <= w.count) then
            most = w.count
        end
    end
    if most and call('ZCARD', key) >= most then
        count_spread(key, plan.spread, last, ms, plan.spread_ms)
    end
    return last
end

-- The key lives as long as the longest window from the last contact on, at least. That is seen to by
-- a destination's first contact in each eighth of the window, for all of them in that eighth.
local function contact(key, destination, plan, ms, last)
    local eighth = ceil(plan.spread_ms / 8)
    call('ZADD', key, format(WHOLE, ms), destination)
    if not last or floor(last / eighth) ~= floor(ms / eighth) then
        keep_alive(key, plan.spread_ms + eighth, eighth)
    end
end

local function check_concurrent(key, slot, plan, ms)
    local used = call('ZCARD', key)
    for i = 1, #plan.concurrent do
        local w = plan.concurrent[i]
        if used >= w.count then
            call('ZREMRANGEBYSCORE', key, '-inf', format(WHOLE, ms))
            bring_back(key, ms + SLOT_MS + CLOCK_STEP_MS, ms + SLOT_MS)
            used = call('ZCARD', key)
        end
        if used >= w.count and not call('ZSCORE', key, slot) then
            refuse(refusal, w, SLOT_RETRY_US)
        end
    end
end

local function note_debt(w, now, by)
    if w.tat - now > w.period then
        refuse(by, w, wait(w, now, 0))
    end
end

-- Takes `n` tokens, which may leave a debt.
local function charge(windows, now, n, by)
    for i = 1, #windows do
        local w = windows[i]
        if n > 0 then
            take_tokens(w, now, n)
        end
        note_debt(w, now, by)
    end
end

local function check(windows, now, n)
    for i = 1, #windows do
        local w = windows[i]
        if available(w, now, n) < n then
            refuse(refusal, w, wait(w, now, n))
        end
    end
end

-- The content of an encrypted message. Nobody can tell its sender why it is refused but in the place
-- of a banner: his sessions are refused until there is a token for it. Returns until when.
local function take_content(windows, now, n)
    check(windows, now, n)
    if refusal.window > 0 then
        return now + refusal.us
    end
    charge(windows, now, n, refusal)
end

-- How many of the recipients every window has.
local function grant_recipients(windows, now, wanted)
    local granted = wanted
    for i = 1, #windows do
        local w = windows[i]
        granted = available(w, now, granted)
    end
    return granted
end

local function refuse_recipients(windows, now, n)
    for i = 1, #windows do
        local w = windows[i]
        local us = wait(w, now, n)
        if us > 0 then
            refuse(refusal, w, us)
        end
    end
end

local function check_session(keys, slot, destination, plan, now, awaited)
    local ms, last = floor(now / 1000), nil
    check(plan.sessions, now, 1)
    -- Encrypted sessions pay some of their messages behind: that may have left a debt.
    charge(plan.messages, now, 0, refusal)
    if awaited and awaited + 0 > now then
        check(plan.messages, now, 1)
    end
    if #plan.spread > 0 then
        last = check_spread(keys[3], destination, plan, ms)
    end
    if #plan.concurrent > 0 then
        check_concurrent(keys[2], slot, plan, ms)
    end
    return last
end

local function take_all(windows, now, n)
    if n > 0 then
        for i = 1, #windows do
            take_tokens(windows[i], now, n)
        end
    end
end

-- Of each kind that was asked for up to `ahead` more, the same number of all, and of none more than
-- half of what is left.
local function take_more(plan, now, ahead, asked)
    for kind, is in pairs(asked) do
        for _, w in ipairs(is and plan[kind] or {}) do
            ahead = math.min(ahead, floor(available(w, now, 2 * ahead) / 2))
        end
    end
    local taken = {}
    for kind, is in pairs(asked) do
        local windows = is and plan[kind] or {}
        taken[kind] = #windows > 0 and ahead or 0
        take_all(windows, now, ahead)
    end
    return taken
end
