#!lua name=gate25

-- The meters of gate25, shared by all nodes. Every call is about one subscriber:
--
--   KEYS  1  g25:meter:{ID}   hash    "KIND:SECONDS" -> theoretical arrival time (TAT), Unix us;
--                                     "at" -> when the last of them was written, Unix us
--         2  g25:open:{ID}    zset    session slot -> Unix ms at which it expires
--         3  g25:spread:{ID}  zset    destination -> Unix ms of the last contact
--
-- The third is needed only with windows of spread, the second only with one of concurrent, or to
-- leave a slot.
--
-- gate25_take and gate25_leave take these arguments, gate25_peek takes the windows alone:
--
--   ARGV  1  question: session | envelope | checkpoint | content | leave
--         2  messages: 0 or 1 (envelope, content); those sent since the last question (checkpoint,
--            leave): charged whatever the answer is. A content that is refused leaves the word
--            "awaited" in the meter: until when sessions are refused, if there is no token before
--         3  recipients wanted (envelope)
--         4  bytes sent since the last question: charged whatever the answer is
--         5  the session's slot; empty: none
--         6  the destination's address (session)
--         7  windows, three words each: KIND COUNT PERIOD_US, KIND being sessions, messages,
--            recipients, bytes, spread or concurrent (whose period is not used). No two windows
--            of one kind have the same period.
--
--   gate25_take   {state, recipients, bytes_over, window, retry_us}
--                 state: 1 within, tokens are taken; 2 over, nothing was taken but the bytes; of a
--                 checkpoint: its messages were, and have left a debt
--                 recipients: granted, at most those wanted
--                 bytes_over: 1 while a byte window is in debt
--                 window: position (from 1) of the one that refuses longest, 0: none does
--                 retry_us: until what that window refuses is there
--   gate25_take_ahead  the same, with one argument before the others: how many tokens more to take at
--                 once, of each kind that is asked for. Never more than half of what is left; all or
--                 nothing of all kinds. Three integers follow the answer: sessions, messages and
--                 recipients that were taken so
--   gate25_leave  1 if the slot was there, else 0
--   gate25_settle OK. KEYS meter [spread]; ARGV the longest window of spread in us, then by threes
--                 KIND PERIOD_US US (outstanding time of a bucket elsewhere, which is added to the
--                 one here until that is empty: nobody gets into debt for what he was allowed) and
--                 "contact" DESTINATION AGE_US
--   gate25_peek   two integers a window: tokens left (spread, concurrent: used) and microseconds
--                 until the window is full of tokens again (spread: empty again; concurrent: 0)
--   gate25_rate   no keys; COUNT PERIOD_US TAT NOW N -> {available, TAT after taking, wait}, the
--                 last two as text: this file's arithmetic alone, for its comparison with rate.c
--
-- The clock is Redis's. All numbers are doubles, exact up to 2^53: 285 years in microseconds.

local SLOT_MS = 15 * 60 * 1000 -- a session that asks nothing for so long is taken for dead
local SLOT_RETRY_US = 60 * 1000000 -- nobody knows when a session ends: a polite guess
local CLOCK_STEP_MS = 60 * 1000 -- times further in the future come from a clock that was set back

local WITHIN, OVER = 1, 2
local IS_BUCKET = { sessions = true, messages = true, recipients = true, bytes = true }

-- GCRA, operation by operation as in src/core/rate.c ----------------------------------------------

local function increment(w, n)
    return math.floor(n * w.period / w.count + 0.5)
end

-- No debt is over two periods: what is beyond was written by a clock that was set back since.
local function base_of(w, now)
    return math.min(math.max(w.tat, now), now + 2 * w.period)
end

local function fits(w, base, now, n)
    return base + increment(w, n) - now <= w.period
end

local function available(w, now, want)
    local base = base_of(w, now)
    local n = math.floor((w.period - (base - now)) * w.count / w.period)
    n = math.max(math.min(n, want), 0)
    if n < want and fits(w, base, now, n + 1) then
        n = n + 1
    end
    while n > 0 and not fits(w, base, now, n) do
        n = n - 1
    end
    return n
end

local function after_taking(w, now, n)
    return math.min(base_of(w, now) + increment(w, n), now + 2 * w.period)
end

local function wait(w, now, n)
    return math.max(base_of(w, now) + increment(w, math.min(n, w.count)) - now - w.period, 0)
end

-- Reading and writing -----------------------------------------------------------------------------

local function time_us()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function read_windows(args, first)
    local windows = {}
    for i = first, #args, 3 do
        local w = { kind = args[i], count = tonumber(args[i + 1]), period = tonumber(args[i + 2]) }
        if not w.kind or not w.count or not w.period or w.count < 1 then
            error('gate25: windows are KIND COUNT PERIOD_US')
        end
        w.at = #windows + 1
        windows[w.at] = w
    end
    return windows
end

-- The clock was set back by `ahead` us since the meter was written: its times go back with it, so that
-- nobody has more or less than before.
local function set_back(key, ahead)
    local found, words = redis.call('HSCAN', key, '0', 'COUNT', '1000')[2], {}
    for i = 1, #found, 2 do
        local name, us = found[i], tonumber(found[i + 1])
        if us and (name == 'at' or name == 'awaited' or IS_BUCKET[string.match(name, '^(%a+):')]) then
            words[#words + 1] = name
            words[#words + 1] = string.format('%.0f', us - ahead)
        end
    end
    redis.call('HSET', key, unpack(words))
end

-- The windows that are token buckets, with their TATs.
local function load_buckets(key, windows, now, read_only)
    local buckets, fields = {}, { 'at' }
    for _, w in ipairs(windows) do
        if IS_BUCKET[w.kind] then
            w.field = w.kind .. ':' .. string.format('%.14g', w.period / 1000000)
            buckets[#buckets + 1] = w
            fields[#fields + 1] = w.field
        end
    end
    if #buckets == 0 then
        return buckets
    end
    local times = redis.call('HMGET', key, unpack(fields))
    local ahead = math.max((tonumber(times[1]) or 0) - now, 0)
    for i, w in ipairs(buckets) do
        w.tat = (tonumber(times[i + 1]) or 0) - ahead
    end
    if ahead > 0 and not read_only then
        set_back(key, ahead)
    end
    return buckets
end

local function take_tokens(w, now, n)
    if n > 0 then
        w.tat = after_taking(w, now, n)
        w.changed = true
    end
end

-- Lengthens the life of `key` to `ms` at least. A key just made has none yet.
local function keep_alive(key, ms)
    if redis.call('PTTL', key) < ms then
        redis.call('PEXPIRE', key, string.format('%.0f', ms))
    end
end

local function save_buckets(key, buckets, now)
    local words, last = {}, 0
    for _, w in ipairs(buckets) do
        if w.changed then
            words[#words + 1] = w.field
            words[#words + 1] = string.format('%.0f', w.tat)
            last = math.max(last, w.tat)
        end
    end
    if #words > 0 then
        redis.call('HSET', key, 'at', string.format('%.0f', now), unpack(words))
        keep_alive(key, math.ceil((last - now) / 1000) + 1)
    end
end

local function renew_slot(key, slot, now)
    redis.call('ZADD', key, string.format('%.0f', math.floor(now / 1000) + SLOT_MS), slot)
    keep_alive(key, SLOT_MS)
end

-- What a clock left in the future that was set back since counts from now on.
local function bring_back(key, last_ms, to_ms)
    local members = redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', last_ms), '+inf')
    for _, member in ipairs(members) do
        redis.call('ZADD', key, string.format('%.0f', to_ms), member)
    end
end

local function has_kind(windows, kind)
    for _, w in ipairs(windows) do
        if w.kind == kind then
            return true
        end
    end
    return false
end

-- Deciding ----------------------------------------------------------------------------------------

-- Of several windows that refuse, the one to name is the one that refuses longest: whoever waits
-- so long finds the others open too.
local function refuse(refusal, w, us)
    if refusal.window == 0 or us > refusal.us then
        refusal.window, refusal.us = w.at, us
    end
end

local function check_spread(key, destination, windows, now, refusal)
    local longest = 0
    for _, w in ipairs(windows) do
        if w.kind == 'spread' then
            longest = math.max(longest, w.period)
        end
    end
    if longest == 0 then
        return 0
    end
    local ms = math.floor(now / 1000)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', ms - math.floor(longest / 1000)))
    bring_back(key, ms + CLOCK_STEP_MS, ms)
    local last = tonumber(redis.call('ZSCORE', key, destination) or nil)
    for _, w in ipairs(windows) do
        local since = ms - math.floor(w.period / 1000)
        if w.kind == 'spread' and not (last and last > since) then
            local from = string.format('(%.0f', since)
            local used = redis.call('ZCOUNT', key, from, '+inf')
            if used >= w.count then
                local blocker = redis.call(
                    'ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', used - w.count, 1)
                refuse(refusal, w, (tonumber(blocker[2]) - since) * 1000)
            end
        end
    end
    return longest
end

local function check_concurrent(key, slot, windows, now, refusal)
    if not has_kind(windows, 'concurrent') then
        return
    end
    local ms = math.floor(now / 1000)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', ms))
    bring_back(key, ms + SLOT_MS + CLOCK_STEP_MS, ms + SLOT_MS)
    local used = redis.call('ZCARD', key)
    for _, w in ipairs(windows) do
        if w.kind == 'concurrent' and used >= w.count and not redis.call('ZSCORE', key, slot) then
            refuse(refusal, w, SLOT_RETRY_US)
        end
    end
end

local function charge(buckets, kind, now, n, debt)
    for _, w in ipairs(buckets) do
        if w.kind == kind then
            take_tokens(w, now, n)
            if wait(w, now, 0) > 0 then
                refuse(debt, w, wait(w, now, 0))
            end
        end
    end
end

-- The content of an encrypted message. Nobody can tell its sender why it is refused but in the place
-- of a banner: his sessions are refused until there is a token for it.
local function take_content(key, buckets, now, n, refusal)
    for _, w in ipairs(buckets) do
        if w.kind == 'messages' and available(w, now, n) < n then
            refuse(refusal, w, wait(w, now, n))
        end
    end
    if refusal.window == 0 then
        charge(buckets, 'messages', now, n, refusal)
    else
        redis.call('HSET', key, 'awaited', string.format('%.0f', now + refusal.us))
        keep_alive(key, math.ceil(refusal.us / 1000) + 1)
    end
end

local function check_awaited(key, buckets, now, refusal)
    local awaited = tonumber(redis.call('HGET', key, 'awaited') or nil)
    for _, w in ipairs(buckets) do
        if awaited and awaited > now and w.kind == 'messages' and available(w, now, 1) < 1 then
            refuse(refusal, w, wait(w, now, 1))
        end
    end
end

-- How many of the recipients every window has.
local function grant_recipients(buckets, now, wanted)
    local granted = wanted
    for _, w in ipairs(buckets) do
        if w.kind == 'recipients' then
            granted = available(w, now, granted)
        end
    end
    return granted
end

local function refuse_recipients(buckets, now, n, refusal)
    for _, w in ipairs(buckets) do
        if w.kind == 'recipients' and wait(w, now, n) > 0 then
            refuse(refusal, w, wait(w, now, n))
        end
    end
end

local function read_question(args)
    local question = {
        kind = args[1],
        messages = tonumber(args[2]),
        recipients = tonumber(args[3]),
        bytes = tonumber(args[4]),
        slot = args[5],
        destination = args[6],
    }
    if not (question.messages and question.recipients and question.bytes and args[6]) then
        error('gate25: a question is KIND MESSAGES RECIPIENTS BYTES SLOT DESTINATION')
    end
    return question
end

local function answer(state, recipients, debt, named)
    local in_debt = debt.window > 0 and 1 or 0
    return { state, recipients, in_debt, named.window, math.ceil(named.us) }
end

local function take(keys, args)
    local question, windows, now = read_question(args), read_windows(args, 7), time_us()
    local buckets = load_buckets(keys[1], windows, now)
    local cost = {
        sessions = question.kind == 'session' and 1 or 0,
        messages = question.messages,
    }
    local debt, refusal = { window = 0, us = 0 }, { window = 0, us = 0 }
    local contact_us = 0

    charge(buckets, 'bytes', now, question.bytes, debt)
    if question.kind == 'checkpoint' or question.kind == 'content' then
        if question.kind == 'content' then
            take_content(keys[1], buckets, now, question.messages, refusal)
        else
            charge(buckets, 'messages', now, question.messages, refusal)
        end
        save_buckets(keys[1], buckets, now)
        if has_kind(windows, 'concurrent') and question.slot ~= '' then
            renew_slot(keys[2], question.slot, now)
        end
        if refusal.window > 0 then
            return answer(OVER, 0, debt, refusal)
        end
        return answer(WITHIN, 0, debt, debt)
    end

    if debt.window > 0 then
        refuse(refusal, windows[debt.window], debt.us)
    end
    for _, w in ipairs(buckets) do
        local n = cost[w.kind] or 0
        if available(w, now, n) < n then
            refuse(refusal, w, wait(w, now, n))
        end
    end
    local granted = grant_recipients(buckets, now, question.recipients)
    if granted == 0 and question.recipients > 0 and question.messages == 0 then
        refuse_recipients(buckets, now, question.recipients, refusal)
    end
    if question.kind == 'session' then
        -- Encrypted sessions pay some of their messages behind: that may have left a debt.
        charge(buckets, 'messages', now, 0, refusal)
        if has_kind(windows, 'messages') then
            check_awaited(keys[1], buckets, now, refusal)
        end
        contact_us = check_spread(keys[3], question.destination, windows, now, refusal)
        check_concurrent(keys[2], question.slot, windows, now, refusal)
    end

    local over = refusal.window > 0
    if not over then
        for _, w in ipairs(buckets) do
            take_tokens(w, now, w.kind == 'recipients' and granted or cost[w.kind] or 0)
        end
        if contact_us > 0 then
            local ms = math.floor(now / 1000)
            redis.call('ZADD', keys[3], string.format('%.0f', ms), question.destination)
            keep_alive(keys[3], math.ceil(contact_us / 1000))
        end
    end
    save_buckets(keys[1], buckets, now)
    -- A session that asks for an envelope is open, whatever becomes of the envelope.
    local open = not over or question.kind == 'envelope'
    if open and has_kind(windows, 'concurrent') and question.slot ~= '' then
        renew_slot(keys[2], question.slot, now)
    end
    if over then
        return answer(OVER, 0, debt, refusal)
    end
    if granted < question.recipients then
        refuse_recipients(buckets, now, question.recipients - granted, refusal)
    end
    return answer(WITHIN, granted, debt, refusal)
end

local function take_ahead(keys, args)
    local ahead = tonumber(table.remove(args, 1))
    local result = take(keys, args)
    local question, windows, now = read_question(args), read_windows(args, 7), time_us()
    local asked = {
        sessions = question.kind == 'session',
        messages = question.messages > 0,
        recipients = question.recipients > 0,
    }
    local taken = { sessions = 0, messages = 0, recipients = 0 }

    if result[1] == WITHIN and result[2] == question.recipients then
        local buckets = load_buckets(keys[1], windows, now)
        for _, w in ipairs(buckets) do
            if asked[w.kind] then
                ahead = math.min(ahead, math.floor(available(w, now, 2 * ahead) / 2))
            end
        end
        for _, w in ipairs(buckets) do
            if asked[w.kind] then
                take_tokens(w, now, ahead)
                taken[w.kind] = ahead
            end
        end
        save_buckets(keys[1], buckets, now)
    end
    for _, kind in ipairs({ 'sessions', 'messages', 'recipients' }) do
        result[#result + 1] = taken[kind]
    end
    return result
end

local function leave(keys, args)
    local question, windows, now = read_question(args), read_windows(args, 7), time_us()
    local buckets = load_buckets(keys[1], windows, now)
    charge(buckets, 'bytes', now, question.bytes, { window = 0, us = 0 })
    charge(buckets, 'messages', now, question.messages, { window = 0, us = 0 })
    save_buckets(keys[1], buckets, now)
    return keys[2] and redis.call('ZREM', keys[2], question.slot) or 0
end

-- What went through at a node that could not ask.
local function settle(keys, args)
    local now, spread_us, owed = time_us(), tonumber(args[1]), {}
    if not spread_us or #args % 3 ~= 1 then
        error('gate25: what is owed is SPREAD_US, then KIND PERIOD_US US or contact DESTINATION AGE_US')
    end
    for i = 2, #args, 3 do
        if IS_BUCKET[args[i]] then
            local w = { kind = args[i], period = tonumber(args[i + 1]), owed = tonumber(args[i + 2]) }
            owed[#owed + 1] = w
        end
    end
    local buckets = load_buckets(keys[1], owed, now)
    for _, w in ipairs(buckets) do
        local tat = math.min(math.max(w.tat, now) + w.owed, now + w.period)
        if tat > w.tat then
            w.tat, w.changed = tat, true
        end
    end
    save_buckets(keys[1], buckets, now)
    for i = 2, #args, 3 do
        if args[i] == 'contact' then
            local at_ms = math.floor((now - tonumber(args[i + 2])) / 1000)
            redis.call('ZADD', keys[2], 'GT', string.format('%.0f', at_ms), args[i + 1])
            keep_alive(keys[2], math.ceil(spread_us / 1000))
        end
    end
    return redis.status_reply('OK')
end

local function peek(keys, args)
    local windows, now, result = read_windows(args, 1), time_us(), {}
    load_buckets(keys[1], windows, now, true)
    for _, w in ipairs(windows) do
        local n, us = 0, 0
        if IS_BUCKET[w.kind] then
            n, us = available(w, now, w.count), math.max(w.tat - now, 0)
        elseif w.kind == 'spread' then
            local since = math.floor(now / 1000) - math.floor(w.period / 1000)
            n = redis.call('ZCOUNT', keys[3], string.format('(%.0f', since), '+inf')
            local newest = redis.call('ZRANGE', keys[3], -1, -1, 'WITHSCORES')
            us = newest[2] and math.max(tonumber(newest[2]) - since, 0) * 1000 or 0
        elseif w.kind == 'concurrent' then
            n = redis.call('ZCOUNT', keys[2], string.format('(%.0f', math.floor(now / 1000)), '+inf')
        end
        result[#result + 1] = n
        result[#result + 1] = us
    end
    return result
end

local function rate(_, args)
    local w = { count = tonumber(args[1]), period = tonumber(args[2]), tat = tonumber(args[3]) }
    local now, n = tonumber(args[4]), tonumber(args[5])
    return {
        available(w, now, n),
        string.format('%.17g', after_taking(w, now, n)),
        string.format('%.17g', wait(w, now, n)),
    }
end

-- Who did how much in an hour (src/svc/tally.c) ---------------------------------------------------
--
--   gate25_tally  KEYS  g25:tally:{HOUR}:KIND, sorted sets of ids, one for each kind
--                 ARGV  1 seconds that they live, 2 most, then an id and a count for each key
--                 A set that has grown to twice `most` is cut down to the `most` largest, so that
--                 newcomers always have room to become large.

local function tally(keys, args)
    local most = tonumber(args[2])
    for k, key in ipairs(keys) do
        local touched = false
        for i = 3, #args, 1 + #keys do
            if args[i + k] ~= '0' then
                redis.call('ZINCRBY', key, args[i + k], args[i])
                touched = true
            end
        end
        if touched then
            if redis.call('ZCARD', key) > 2 * most then
                redis.call('ZREMRANGEBYRANK', key, 0, -most - 1)
            end
            redis.call('EXPIRE', key, args[1])
        end
    end
    return redis.status_reply('OK')
end

redis.register_function('gate25_tally', tally)
redis.register_function('gate25_take', take)
redis.register_function('gate25_take_ahead', take_ahead)
-- Leaving frees memory: allowed when Redis has none left.
redis.register_function{ function_name = 'gate25_leave', callback = leave, flags = { 'allow-oom' } }
redis.register_function('gate25_settle', settle)
redis.register_function{ function_name = 'gate25_peek', callback = peek, flags = { 'no-writes' } }
redis.register_function{ function_name = 'gate25_rate', callback = rate, flags = { 'no-writes' } }
